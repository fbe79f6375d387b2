package etcd

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.uber.org/zap"

	"github.com/divisi-go/divisi/store"
)

// plant is a mistake of a kind that etcd has made, and that the tests have to find.
type plant struct {
	bug     string // what it was in etcd
	name    string
	patches []patch
	find    func(t *testing.T, plants ...string) error // returns what it has found, nil for nothing
}

// plants are the mistakes in what is ours.
func plants() []plant {
	const core, loop, disk, apply, machine = "internal/drive/core.go", "internal/drive/loop.go", "internal/disk/disk.go", "internal/machine/apply.go", "internal/machine/machine.go"
	return []plant{
		{"a write is answered before it is synced (14370)", "answered-early", []patch{
			omitted("answered-early", loop, "d.finished.put(d.appended(group...))"),
			{loop, "err := d.log.Append(nil, state, entries)", `if faultPlanted("answered-early") {
				d.finished.put(d.appended(group...))
			}
			err := d.log.Append(nil, state, entries)`},
		}, lostWrites("raftBeforeSave", "late", 30)},
		{"the index is saved ahead of what it covers (13766)", "index-ahead", []patch{
			{apply, "m.disk.Index.SetConsistentApplyingIndex(index, term)", `if faultPlanted("index-ahead") {
				m.disk.Index.SetConsistentIndex(index, term)
			}
			m.disk.Index.SetConsistentApplyingIndex(index, term)`},
		}, replayed},
		{"an entry is applied twice after a restart", "applied-twice", []patch{
			mistaken("applied-twice", disk, "d.Applied = d.Index.ConsistentIndex()", "d.Index.ConsistentIndex()", "first"),
		}, lostWrites("beforeApplyOneEntryNormal", "kill", 60)},
		{"entries without effect leave the index behind", "index-behind", []patch{
			{apply, "if m.disk.Index.ConsistentIndex() < index {", `if !faultPlanted("index-behind") && m.disk.Index.ConsistentIndex() < index {`},
		}, withoutEffect},
		{"the log is released before the state is on the disk (10219)", "released-early", []patch{
			omitted("released-early", machine, "m.KV.Commit()"),
		}, lostWrites("raftAfterSaveSnap", "kill", 2, "often")},
		{"a vote is forgotten", "vote-forgotten", []patch{omitted("vote-forgotten", core, "a.State = state")}, inWorlds},
		{"reads trust the clock of the leader", "lease-reads", []patch{
			mistaken("lease-reads", core, "ReadOnlyOption:            raft.ReadOnlySafe,", "raft.ReadOnlySafe", "raft.ReadOnlyLeaseBased"),
		}, inWorlds},
		{"keys find their leases in another lessor after a restart", "keys-first", []patch{
			mistaken("keys-first", machine, "mvcc.New(o.Logger, m.backend, m.Lessor, ", "m.Lessor", "lease.Lessor(&lease.FakeLessor{})"),
		}, inTests("TestAgain")},
		{"long leases never end over many leaders", "no-lease-checkpoints", []patch{
			omitted("no-lease-checkpoints", "internal/server/server.go", "s.State.SetCheckpointer(s.checkpointLeases)"),
		}, longLease},
		{"a member has an ID that another one has had", "same-id", []patch{
			{disk, "_, _ = rand.Read(random[:]) // it does not fail", `_, _ = rand.Read(random[:])
			if faultPlanted("same-id") {
				copy(random[:], "as always, always")
			}`},
		}, inTests("TestAgain")},
		{"a watch shows more than its user may read (GHSA-xg4h-6gfc-h4m8)", "wide-watch", []patch{
			mistaken("wide-watch", "internal/api/watch.go", "return s.MayRead(ctx, p.key, p.end)", "p.end", "[]byte(nil)"),
		}, inTests("TestWatchPermission")},
		{"progress is told ahead of events (15220)", "progress-ahead", []patch{
			{"internal/api/watch.go", "v.source.RequestProgressAll()", `if faultPlanted("progress-ahead") {
				return v.stream.Send(&pb.WatchResponse{Header: v.header(v.s.State.KV.Rev()), WatchId: clientv3.InvalidWatchID})
			}
			v.source.RequestProgressAll()`},
		}, inTests("TestProgress")},
		{"transactions inside others are not counted", "nested-free", []patch{
			mistaken("nested-free", "internal/api/check.go", "return checkOperations(o.RequestTxn, left)", "checkOperations(o.RequestTxn, left)", "error(nil)"),
		}, inTests("TestBounds")},
		{"a request has no bound", "unbounded", []patch{
			mistaken("unbounded", "internal/api/api.go", "grpc.MaxRecvMsgSize(a.keys.s.Options().MaxRequestBytes + overhead)", "a.keys.s.Options().MaxRequestBytes + overhead", "math.MaxInt32"),
		}, inTests("TestBounds")},
	}
}

// Bugs of etcd that are not planted, as what they were in is not ours, or has no test with one member.
//
//   - In etcd's storage/mvcc, which the store uses as it is: watches that starve (17529), that go back in time after a
//     snapshot (15271), events twice (17247), deletions at the compacted revision (18089, 19179), revisions that decrease after
//     a crash in a compaction (17780), transactions that read a compacted revision (18667, 21432).
//   - In etcd's storage/backend: a crash in a defragmentation changes the revision (14685). TestPoints has its points.
//   - In raft: votes before a change of the group is applied, and a second change while one is open. Worlds see both.
//   - With several members only: members differ after auth was enabled or a snapshot was installed (14571), a leader
//     that stood still revokes leases, the log is compacted while a snapshot is sent, members without a leader.

// patches are all that programs with faults are built with. What plants take out comes before the points beside it.
func patches() []patch {
	var all []patch
	for _, p := range plants() {
		all = append(all, p.patches...)
	}
	return append(all, points()...)
}

// TestPlants: each mistake is found, by what finds nothing without it.
func TestPlants(t *testing.T) {
	if !*every {
		t.Skip("what is planted is looked for by make soak: -every")
	}
	for _, p := range plants() {
		t.Run(p.name, func(t *testing.T) {
			if err := p.find(t, p.name); err == nil {
				t.Errorf("%s: nothing is found", p.bug)
			} else {
				t.Logf("%s: %.300s", p.bug, err)
			}
			if err := p.find(t); err != nil {
				t.Errorf("without a mistake this is found: %v", err)
			}
		})
	}
}

// inWorlds looks for a mistake by the deterministic runs of the core.
func inWorlds(t *testing.T, plants ...string) error {
	return inTest("./internal/drive", "TestWorlds", "-seeds=100")(t, plants...)
}

// inTests looks for a mistake by a test of package store.
func inTests(name string) func(*testing.T, ...string) error { return inTest(".", name) }

// inTest looks for a mistake by a test of the store, which fails then.
func inTest(folder, name string, flags ...string) func(*testing.T, ...string) error {
	return func(t *testing.T, plants ...string) error {
		path := compiled(t, "tests"+strings.ReplaceAll(folder, "/", "-"), "test", "-c", folder)
		cmd := exec.CommandContext(t.Context(), path, append([]string{"-test.v", "-test.timeout=2m", "-test.run=^" + name + "$"}, flags...)...)
		cmd.Dir, cmd.Env = t.TempDir(), fault{plants: plants}.env()
		said, err := cmd.CombinedOutput()
		if err != nil && !strings.Contains(string(said), "=== RUN   "+name) {
			t.Fatalf("%v: %v\n%s", cmd, err, said)
		}
		if err != nil {
			_, said, _ := strings.Cut(string(said), "=== RUN   "+name)
			return fmt.Errorf("%w: %s", err, strings.TrimSpace(said))
		}
		return nil
	}
}

// lostWrites looks for a mistake by traffic, and a crash at a point.
func lostWrites(point, action string, after int, more ...string) func(*testing.T, ...string) error {
	return func(t *testing.T, plants ...string) error {
		plants = append(plants, more...)
		data, address := filepath.Join(t.TempDir(), "data"), freeAddress(t)
		r := try(t, clientv3.Config{Endpoints: []string{address}}, false)
		f := fault{point, action, after, plants}
		r.pass(serveFaulty(t, data, f, "--listen", address), f)
		p := serveFaulty(t, data, fault{plants: plants}, "--listen", address)
		if err := p.serves(announced); err != nil {
			r.abort()
			return err
		}
		r.wait(20)
		return errors.Join(r.end(), p.end(syscall.SIGTERM))
	}
}

// replayed looks for a mistake by what the log alone leads to after a crash, which is what the store has.
func replayed(t *testing.T, plants ...string) error {
	data := filepath.Join(t.TempDir(), "data")
	p := serveFaulty(t, data, fault{"beforeApplyOneEntryNormal", "late", 30, plants})
	if err := p.serves(announced); err != nil {
		return err
	}
	c, err := clientv3.New(clientv3.Config{Endpoints: []string{p.url}, Logger: zap.NewNop()})
	if err != nil {
		return err
	}
	defer c.Close()
	for err == nil {
		_, err = c.Put(t.Context(), "k", "v")
	}
	_ = p.end(syscall.SIGKILL)
	has, err := hashed(t, data)
	if err != nil {
		return err
	}
	if err := os.RemoveAll(filepath.Join(data, "member", "snap")); err != nil {
		return err
	}
	leads, err := hashed(t, data)
	if err == nil && has != leads {
		err = fmt.Errorf("the store has %s, and its log leads to %s", has, leads)
	}
	return err
}

// hashed returns the revision of a store that is not open, and the sum of its keys.
func hashed(t *testing.T, data string) (string, error) {
	s, err := store.Open(t.Context(), store.Options{Dir: data})
	if err != nil {
		return "", err
	}
	sum, err := s.Client().HashKV(t.Context(), "here", 0)
	if err != nil {
		return "", errors.Join(err, s.Close())
	}
	return fmt.Sprintf("%x at revision %d", sum.Hash, sum.Header.Revision), s.Close()
}

// withoutEffect looks for a mistake by many entries that change nothing, and a crash.
func withoutEffect(t *testing.T, plants ...string) error {
	data := filepath.Join(t.TempDir(), "data")
	p := serveFaulty(t, data, fault{plants: append(plants, "often")})
	if err := p.serves(announced); err != nil {
		return err
	}
	c, err := clientv3.New(clientv3.Config{Endpoints: []string{p.url}})
	if err != nil {
		return err
	}
	defer c.Close()
	var all sync.WaitGroup
	for range 4 {
		all.Go(func() {
			for range 50 {
				_, _ = c.Revoke(t.Context(), 1) // there is none
			}
		})
	}
	all.Wait()
	_ = p.end(syscall.SIGKILL)
	p = serveFaulty(t, data, fault{plants: append(plants, "often")})
	return p.serves(announced)
}

// longLease looks for a mistake by a lease that is older than the last start.
func longLease(t *testing.T, plants ...string) error {
	data, address := filepath.Join(t.TempDir(), "data"), freeAddress(t)
	begin := func() (*program, error) {
		p := serveFaulty(t, data, fault{plants: append(plants, "often")}, "--listen", address)
		return p, p.serves(announced)
	}
	p, err := begin()
	if err != nil {
		return err
	}
	c, err := clientv3.New(clientv3.Config{Endpoints: []string{address}})
	if err != nil {
		return err
	}
	defer c.Close()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	lease, err := c.Grant(ctx, 100)
	if err != nil {
		return err
	}
	until(t, "the lease has 95 s left", func() bool {
		now, err := c.TimeToLive(ctx, lease.ID)
		return err == nil && now.TTL <= 95
	})
	_ = p.end(syscall.SIGKILL)
	if _, err := begin(); err != nil {
		return err
	}
	now, err := c.TimeToLive(ctx, lease.ID)
	if err == nil && now.TTL > 98 {
		err = fmt.Errorf("a lease for 100 s that had 95 s left has %d s left", now.TTL)
	}
	return err
}
