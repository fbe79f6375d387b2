package store_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/client/v3/concurrency"

	"github.com/divisi-go/divisi/store"
)

func open(t *testing.T, o store.Options) *store.Store {
	t.Helper()
	if o.Dir == "" {
		o.Dir = t.TempDir()
	}
	s, err := store.Open(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

// must returns what a call has answered.
func must[T any](answer T, err error) func(*testing.T) T {
	return func(t *testing.T) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return answer
	}
}

// dial serves a store at a port, and returns a client.
func dial(t *testing.T, s *store.Store, server *tls.Config, c clientv3.Config) *clientv3.Client {
	t.Helper()
	l := must(net.Listen("tcp", "127.0.0.1:0"))(t)
	ctx, cancel := context.WithCancel(t.Context())
	served := make(chan error, 1)
	go func() { served <- s.Serve(ctx, l, server) }()
	t.Cleanup(func() {
		cancel()
		if err := <-served; err != nil {
			t.Error(err)
		}
	})
	c.Endpoints, c.DialTimeout = []string{l.Addr().String()}, time.Minute
	return connect(t, c)
}

func connect(t *testing.T, c clientv3.Config) *clientv3.Client {
	t.Helper()
	client := must(clientv3.New(c))(t)
	t.Cleanup(func() { _ = client.Close() })
	return client
}

// TestAgain: what was answered is there when the folder is opened again, with its revision and its leases.
func TestAgain(t *testing.T) {
	dir := t.TempDir()
	first, err := store.Open(t.Context(), store.Options{Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	_, err = store.Open(t.Context(), store.Options{Dir: dir})
	if err == nil || !strings.Contains(err.Error(), "another process has it") {
		t.Errorf("a folder that is open is opened with %v", err)
	}
	lease := must(first.Client().Grant(t.Context(), 600))(t)
	put := must(first.Client().Put(t.Context(), "k", "v", clientv3.WithLease(lease.ID)))(t)
	if err := first.Close(); err != nil {
		t.Fatal(err)
	}
	<-first.Done()
	if err := first.Err(); err != nil {
		t.Errorf("it has ended with %v", err)
	}
	_, err = first.Client().Get(context.Background(), "k")
	if err == nil {
		t.Error("a closed store answers")
	}

	s := open(t, store.Options{Dir: dir})
	got := must(s.Client().Get(t.Context(), "k"))(t)
	if len(got.Kvs) != 1 || string(got.Kvs[0].Value) != "v" || got.Header.Revision != put.Header.Revision {
		t.Errorf("it has %v, and not revision %d", got, put.Header.Revision)
	}
	left := must(s.Client().TimeToLive(t.Context(), lease.ID, clientv3.WithAttachedKeys()))(t)
	if left.TTL <= 0 || len(left.Keys) != 1 {
		t.Errorf("the lease is %v", left)
	}
	other := must(open(t, store.Options{}).Client().Get(t.Context(), "k"))(t)
	if other.Header.ClusterId == got.Header.ClusterId || other.Header.MemberId == got.Header.MemberId {
		t.Errorf("two stores are both called %v", got.Header)
	}
	must(s.Client().Revoke(t.Context(), lease.ID))(t)
	if got := must(s.Client().Get(t.Context(), "k"))(t); got.Count != 0 {
		t.Errorf("the key has outlived its lease: %v", got)
	}
}

// TestInherited: a transaction that deletes a key, and puts it with the value it had, is refused. It ends etcd, where the
// range has no end.
func TestInherited(t *testing.T) {
	s := open(t, store.Options{Dir: t.TempDir()})
	must(s.Client().Put(t.Context(), "k", "v"))(t)
	for _, last := range []string{"", "l", "\x00"} {
		_, err := s.Client().Txn(t.Context()).Then(
			clientv3.OpDelete("k", clientv3.WithRange(last)),
			clientv3.OpTxn(nil, []clientv3.Op{clientv3.OpPut("k", "", clientv3.WithIgnoreValue())}, nil),
		).Commit()
		if err == nil || !strings.Contains(err.Error(), "duplicate key") {
			t.Errorf("with the end %q: %v", last, err)
		}
	}
	must(s.Client().Txn(t.Context()).Then(clientv3.OpDelete("k", clientv3.WithRange("\x00")), clientv3.OpPut("k", "w")).Commit())(t)
}

// TestSessions: locks and elections, which are etcd's, over a client without a socket.
func TestSessions(t *testing.T) {
	s := open(t, store.Options{})
	first := must(concurrency.NewSession(s.Client()))(t)
	second := must(concurrency.NewSession(s.Client()))(t)
	held, wanted := concurrency.NewMutex(first, "/lock"), concurrency.NewMutex(second, "/lock")
	if err := held.Lock(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := wanted.TryLock(t.Context()); !errors.Is(err, concurrency.ErrLocked) {
		t.Errorf("a lock that is held is taken: %v", err)
	}
	if err := first.Close(); err != nil { // its lease, and so its lock, ends
		t.Fatal(err)
	}
	if err := wanted.Lock(t.Context()); err != nil {
		t.Fatal(err)
	}
	e := concurrency.NewElection(second, "/election")
	if err := e.Campaign(t.Context(), "me"); err != nil {
		t.Fatal(err)
	}
	leader := must(e.Leader(t.Context()))(t)
	if string(leader.Kvs[0].Value) != "me" {
		t.Errorf("the leader is %v", leader)
	}
}

// TestFull: a full store refuses what grows it, and comes back when it was emptied.
func TestFull(t *testing.T) {
	s := open(t, store.Options{Quota: 1 << 20})
	c := s.Client()
	var err error
	for i := 0; err == nil && i < 100; i++ {
		_, err = c.Put(t.Context(), fmt.Sprint(i), strings.Repeat("x", 100<<10))
	}
	if !errors.Is(rpctypes.Error(err), rpctypes.ErrNoSpace) {
		t.Fatalf("a full store says %v", err)
	}
	alarms := must(c.AlarmList(t.Context()))(t)
	if len(alarms.Alarms) != 1 {
		t.Errorf("the alarms are %v", alarms)
	}
	must(c.Get(t.Context(), "0"))(t)
	deleted := must(c.Delete(t.Context(), "", clientv3.WithFromKey()))(t)
	must(c.Compact(t.Context(), deleted.Header.Revision, clientv3.WithCompactPhysical()))(t)
	must(c.Defragment(t.Context(), "here"))(t)
	must(c.AlarmDisarm(t.Context(), (*clientv3.AlarmMember)(alarms.Alarms[0])))(t)
	must(c.Put(t.Context(), "again", "room"))(t)
}

// TestWatchPermission (GHSA-xg4h-6gfc-h4m8): who may read a key may watch that key and no other, however the range is written.
func TestWatchPermission(t *testing.T) {
	s := open(t, store.Options{})
	users(t, s)
	ann := dial(t, s, nil, clientv3.Config{Username: "ann", Password: "pass"})

	for _, test := range []struct {
		key     string
		options []clientv3.OpOption
		allowed bool
	}{
		{"k", nil, true},
		{"k", []clientv3.OpOption{clientv3.WithRange("k\x00")}, true}, // that is k alone
		{"k", []clientv3.OpOption{clientv3.WithFromKey()}, false},
		{"k", []clientv3.OpOption{clientv3.WithRange("\x00")}, false},
		{"k", []clientv3.OpOption{clientv3.WithPrefix()}, false},
		{"k", []clientv3.OpOption{clientv3.WithRange("l")}, false},
		{"", []clientv3.OpOption{clientv3.WithPrefix()}, false},
		{"a", []clientv3.OpOption{clientv3.WithRange("k")}, false},
		{"\x00", []clientv3.OpOption{clientv3.WithFromKey()}, false},
		{"j", nil, false},
	} {
		ctx, cancel := context.WithCancel(t.Context())
		first := <-ann.Watch(ctx, test.key, append(test.options, clientv3.WithCreatedNotify())...)
		err := first.Err()
		cancel()
		if allowed := err == nil && first.Created; allowed != test.allowed {
			t.Errorf("a watch from %q: allowed is %v: %v", test.key, allowed, err)
		}
	}
}

// TestProgress: a watch that is told how far it is has seen all events up to there.
func TestProgress(t *testing.T) {
	c := dial(t, open(t, store.Options{}), nil, clientv3.Config{})
	watch := c.Watch(t.Context(), "", clientv3.WithPrefix(), clientv3.WithCreatedNotify())
	<-watch
	const puts = 200
	done := make(chan struct{})
	var writer sync.WaitGroup
	defer writer.Wait()
	defer close(done)
	writer.Go(func() {
		for i := 0; ; i++ {
			if i < puts {
				must(c.Put(t.Context(), "k", "v"))(t)
			}
			if err := c.RequestProgress(t.Context()); err != nil {
				t.Error(err)
			}
			select {
			case <-done:
				return
			default:
			}
		}
	})
	seen, told := int64(1), 0
	for seen < 1+puts || told == 0 {
		r := <-watch
		for _, e := range r.Events {
			seen = e.Kv.ModRevision
		}
		if r.IsProgressNotify() {
			told++
		}
		if r.IsProgressNotify() && r.Header.Revision > seen {
			t.Fatalf("it is told of revision %d when it has seen %d", r.Header.Revision, seen)
		}
	}
}

// TestBounds: a request that is too large is refused before anybody has read it, and one with too many operations
// however it hides them.
func TestBounds(t *testing.T) {
	c := dial(t, open(t, store.Options{MaxTxnOps: 10}), nil, clientv3.Config{MaxCallSendMsgSize: 8 << 20})
	_, err := c.Put(t.Context(), "k", strings.Repeat("x", 3<<20))
	if err == nil || !strings.Contains(err.Error(), "larger than max") {
		t.Errorf("3 MB are refused with %v", err)
	}
	var ops []clientv3.Op
	for i := range 6 {
		ops = append(ops, clientv3.OpPut(fmt.Sprint(i), ""))
	}
	must(c.Txn(t.Context()).Then(ops...).Commit())(t)
	_, err = c.Txn(t.Context()).Then(clientv3.OpTxn(nil, ops, nil), clientv3.OpGet("a"), clientv3.OpGet("b"), clientv3.OpGet("c"), clientv3.OpGet("d")).Commit()
	if !errors.Is(rpctypes.Error(err), rpctypes.ErrTooManyOps) {
		t.Errorf("11 operations are refused with %v", err)
	}
}

// TestEncrypted: connections are encrypted, and the certificate of a client is its user.
func TestEncrypted(t *testing.T) {
	s := open(t, store.Options{CertUsers: true})
	issued := httptest.NewUnstartedServer(nil)
	issued.StartTLS()
	defer issued.Close()
	roots := x509.NewCertPool()
	roots.AddCert(issued.Certificate())
	server := &tls.Config{Certificates: issued.TLS.Certificates}
	c := dial(t, s, server, clientv3.Config{TLS: &tls.Config{RootCAs: roots, ServerName: "example.com"}})
	must(c.Put(t.Context(), "k", "v"))(t)

	plain := connect(t, clientv3.Config{Endpoints: c.Endpoints()})
	ctx, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	if _, err := plain.Get(ctx, "k"); err == nil {
		t.Error("who does not encrypt is answered")
	}
}

// TestWatchRevoked: who may not read a key any more sees nothing more of it, whatever the reason; who still may goes on where it was.
func TestWatchRevoked(t *testing.T) {
	s := open(t, store.Options{})
	root := users(t, s)
	for _, test := range []struct {
		revokes string
		revoke  func(*clientv3.Client) error
		says    error
	}{
		{"the password", func(c *clientv3.Client) error {
			_, err := c.UserChangePassword(t.Context(), "ann", "other")
			return err
		}, rpctypes.ErrAuthFailed},
		{"the permission", func(c *clientv3.Client) error {
			_, err := c.RoleRevokePermission(t.Context(), "one", "k", "")
			return err
		}, rpctypes.ErrPermissionDenied},
	} {
		ann := dial(t, s, nil, clientv3.Config{Username: "ann", Password: "pass"})
		seen := ann.Watch(t.Context(), "k", clientv3.WithCreatedNotify())
		if first := <-seen; !first.Created {
			t.Fatalf("the watch is %+v", first)
		}
		bob := dial(t, s, nil, clientv3.Config{Username: "bob", Password: "pass"})
		others := bob.Watch(t.Context(), "k", clientv3.WithCreatedNotify())
		<-others
		if err := test.revoke(root); err != nil {
			t.Fatal(err)
		}
		must(root.Put(t.Context(), "k", "secret"))(t)
		for r := range seen {
			if len(r.Events) > 0 {
				t.Errorf("who has lost %s sees %v", test.revokes, r.Events)
			}
		}
		if r := <-others; len(r.Events) != 1 {
			t.Errorf("who has lost nothing sees %+v", r)
		}
		_ = ann.Close()
		must(root.UserChangePassword(t.Context(), "ann", "pass"))(t)
	}
}

// users switches users on: root, ann who may read k, and bob who may read all. It returns a client that is root.
func users(t *testing.T, s *store.Store) *clientv3.Client {
	t.Helper()
	c := s.Client()
	must(c.UserAdd(t.Context(), "root", "secret"))(t)
	must(c.UserGrantRole(t.Context(), "root", "root"))(t)
	must(c.RoleAdd(t.Context(), "one"))(t)
	must(c.RoleGrantPermission(t.Context(), "one", "k", "", clientv3.PermissionType(clientv3.PermRead)))(t)
	must(c.RoleAdd(t.Context(), "all"))(t)
	must(c.RoleGrantPermission(t.Context(), "all", "\x00", "\x00", clientv3.PermissionType(clientv3.PermRead)))(t)
	must(c.UserAdd(t.Context(), "ann", "pass"))(t)
	must(c.UserGrantRole(t.Context(), "ann", "one"))(t)
	must(c.UserAdd(t.Context(), "bob", "pass"))(t)
	must(c.UserGrantRole(t.Context(), "bob", "all"))(t)
	must(c.AuthEnable(t.Context()))(t)
	return dial(t, s, nil, clientv3.Config{Username: "root", Password: "secret"})
}

// TestDenied: what is denied has no effect, and says nothing of what others have.
func TestDenied(t *testing.T) {
	s := open(t, store.Options{})
	root := users(t, s)
	lease := must(root.Grant(t.Context(), 600))(t)
	must(root.Put(t.Context(), "j", "secret", clientv3.WithLease(lease.ID)))(t)
	must(root.Put(t.Context(), "k", "for ann"))(t)
	ann := dial(t, s, nil, clientv3.Config{Username: "ann", Password: "pass"})
	hash := func() uint32 {
		t.Helper()
		return must(root.HashKV(t.Context(), root.Endpoints()[0], 0))(t).Hash
	}
	before, revision := hash(), must(root.Get(t.Context(), "j"))(t).Header.Revision

	ctx := t.Context()
	for name, try := range map[string]func() (any, error){
		"get":         func() (any, error) { return ann.Get(ctx, "j") },
		"count":       func() (any, error) { return ann.Get(ctx, "j", clientv3.WithCountOnly()) },
		"get before":  func() (any, error) { return ann.Get(ctx, "j", clientv3.WithSerializable(), clientv3.WithRev(revision)) },
		"put":         func() (any, error) { return ann.Put(ctx, "k", "x") },
		"put and see": func() (any, error) { return ann.Put(ctx, "j", "x", clientv3.WithPrevKV()) },
		"delete":      func() (any, error) { return ann.Delete(ctx, "j", clientv3.WithPrevKV()) },
		"compare": func() (any, error) {
			return ann.Txn(ctx).If(clientv3.Compare(clientv3.Value("j"), "=", "secret")).Commit()
		},
		"read in a branch": func() (any, error) { return ann.Txn(ctx).Else(clientv3.OpGet("j")).Commit() },
		"write in a branch": func() (any, error) {
			return ann.Txn(ctx).Then(clientv3.OpGet("k")).Else(clientv3.OpDelete("k")).Commit()
		},
		"write deep inside": func() (any, error) {
			return ann.Txn(ctx).Then(clientv3.OpTxn(nil, nil, []clientv3.Op{clientv3.OpTxn(nil, []clientv3.Op{clientv3.OpPut("k", "x")}, nil)})).Commit()
		},
		"keys of a lease": func() (any, error) { return ann.TimeToLive(ctx, lease.ID, clientv3.WithAttachedKeys()) },
		"end of a lease":  func() (any, error) { return ann.Revoke(ctx, lease.ID) },
		"leases":          func() (any, error) { return ann.Leases(ctx) },
		"compact":         func() (any, error) { return ann.Compact(ctx, revision) },
		"users":           func() (any, error) { return ann.UserList(ctx) },
		"another user":    func() (any, error) { return ann.UserGet(ctx, "bob") },
		"another role":    func() (any, error) { return ann.RoleGet(ctx, "all") },
		"members":         func() (any, error) { return ann.MemberAdd(ctx, []string{"http://localhost:1"}) },
		"hash":            func() (any, error) { return ann.HashKV(ctx, ann.Endpoints()[0], 0) },
		"defragment":      func() (any, error) { return ann.Defragment(ctx, ann.Endpoints()[0]) },
		"lead":            func() (any, error) { return ann.MoveLeader(ctx, 1) },
	} {
		answer, err := try()
		if !errors.Is(rpctypes.Error(err), rpctypes.ErrPermissionDenied) {
			t.Errorf("%s: %v, %v", name, answer, err)
		}
	}
	if after := hash(); after != before {
		t.Errorf("the keys are others than before")
	}
}
