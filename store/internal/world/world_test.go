package world

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"log/slog"
	"maps"
	"math/rand/v2"
	"net"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/mvccpb"
	"go.etcd.io/etcd/client/pkg/v3/types"
	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/server/v3/etcdserver/api/membership"
	"go.etcd.io/etcd/server/v3/storage/wal"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/test/bufconn"

	"github.com/divisi-go/divisi/store/internal/api"
	"github.com/divisi-go/divisi/store/internal/drive"
	"github.com/divisi-go/divisi/store/internal/journal"
	"github.com/divisi-go/divisi/store/internal/server"
)

var verbose = flag.Bool("verbose", false, "show what members log")

func TestMain(m *testing.M) {
	wal.SegmentSizeBytes = 1 << 20 // folders are copied here
	os.Exit(m.Run())
}

// world is a store of several members.
type world struct {
	t       *testing.T
	random  *rand.Rand
	net     *network
	cluster uint64
	members map[uint64]*member
	change  func(*server.Options)
	begin   time.Time
	trace   []string
}

// say notes what becomes of members, for a run that fails.
func (w *world) say(format string, arguments ...any) {
	w.trace = append(w.trace, fmt.Sprintf("%8s ", time.Since(w.begin).Round(time.Millisecond))+fmt.Sprintf(format, arguments...))
}

// member is one that runs, or did.
type member struct {
	id     uint64
	dir    string
	begin  server.Beginning
	server *server.Server
	client *clientv3.Client // nil while it is down
	conn   *grpc.ClientConn // to its services, as the network would
	cancel context.CancelFunc
	ended  chan error
}

// newWorld founds a store, and returns when all its members serve.
func newWorld(t *testing.T, seed uint64, size int, change func(*server.Options)) *world {
	t.TempDir() // is removed after the members have ended
	random := rand.New(rand.NewPCG(seed, uint64(size)))
	w := &world{
		t: t, random: random, net: newNetwork(rand.New(rand.NewPCG(random.Uint64(), 0))),
		cluster: random.Uint64(), members: map[uint64]*member{}, change: change, begin: time.Now(),
	}
	t.Cleanup(w.end)
	var founders []*membership.Member
	for i := range size {
		id := random.Uint64()
		founders = append(founders, &membership.Member{
			ID:             types.ID(id),
			RaftAttributes: membership.RaftAttributes{PeerURLs: []string{urlOf(id)}},
			Attributes:     membership.Attributes{Name: fmt.Sprint("member ", i)},
		})
	}
	for _, m := range founders {
		w.start(w.add(uint64(m.ID), founders))
	}
	for _, m := range w.members {
		w.ready(m)
	}
	return w
}

func urlOf(id uint64) string { return fmt.Sprintf("https://%x.mesh:2380", id) }

// add makes a member with an empty folder.
func (w *world) add(id uint64, founders []*membership.Member) *member {
	m := &member{id: id, dir: w.t.TempDir(), begin: server.Beginning{Member: id, Cluster: w.cluster, Founders: founders}}
	w.members[id] = m
	return m
}

// start starts a member.
func (w *world) start(m *member) {
	w.t.Helper()
	lost := func(error) {}
	handler := slog.Handler(slog.DiscardHandler)
	if *verbose {
		handler = slog.NewTextHandler(os.Stderr, nil).WithAttrs([]slog.Attr{slog.String("member", fmt.Sprintf("%x", m.id))})
	}
	options := server.Options{
		Dir: m.dir, Name: fmt.Sprintf("%x", m.id), ClientURLs: []string{"http://" + fmt.Sprintf("%x", m.id)}, PeerURL: urlOf(m.id),
		Quota: 64 << 20, MaxRequestBytes: 1 << 20, MaxTxnOps: 128, Tokens: "simple", BcryptCost: 4,
		Begin: &m.begin, Transport: port{w.net, m.id}, LogEntries: 100, LogKept: 20, CheckInterval: time.Hour,
		Logger: journal.New(handler, func(err error) { lost(err) }),
	}
	if w.change != nil {
		w.change(&options)
	}
	s, err := server.New(options)
	if err != nil {
		w.t.Fatalf("member %x: %v", m.id, err)
	}
	lost = s.Fail
	ctx, cancel := context.WithCancel(context.Background())
	m.server, m.cancel, m.ended = s, cancel, make(chan error, 1)
	services, err := api.New(ctx, s)
	if err != nil {
		w.t.Fatal(err)
	}
	m.client = services.Client
	m.conn = dial(w.t, ctx, services.Server(ctx))
	ended := m.ended
	go func() { ended <- s.Serve(ctx) }()
	w.net.join(m.id, s)
}

// ready waits until a member serves.
func (w *world) ready(m *member) {
	w.t.Helper()
	select {
	case <-m.server.Ready():
	case err := <-m.ended:
		w.t.Fatalf("member %x has ended: %v", m.id, err)
	case <-time.After(time.Minute):
		w.t.Fatalf("member %x does not serve", m.id)
	}
}

// dial serves services until the context ends, and connects to them.
func dial(t *testing.T, ctx context.Context, g *grpc.Server) *grpc.ClientConn {
	t.Helper()
	l := bufconn.Listen(1 << 20)
	go func() { _ = g.Serve(l) }()
	context.AfterFunc(ctx, g.Stop)
	conn, err := grpc.NewClient("passthrough:///member",
		grpc.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) { return l.DialContext(ctx) }),
		grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	return conn
}

// watch shows all events of keys with a prefix until the context ends, and goes on where it has ended, at the member
// that next returns. The watches of etcd's client know channels that are older than a bubble, so its time would stand still.
func watch(ctx context.Context, prefix string, next func() *grpc.ClientConn, show func(*mvccpb.Event)) {
	revision := int64(1)
	for ctx.Err() == nil {
		stream, err := pb.NewWatchClient(next()).Watch(ctx)
		if err == nil {
			err = stream.Send(&pb.WatchRequest{RequestUnion: &pb.WatchRequest_CreateRequest{CreateRequest: &pb.WatchCreateRequest{
				Key: []byte(prefix), RangeEnd: []byte(clientv3.GetPrefixRangeEnd(prefix)), StartRevision: revision,
			}}})
		}
		for err == nil {
			var r *pb.WatchResponse
			r, err = stream.Recv()
			for _, e := range r.GetEvents() {
				revision = e.Kv.ModRevision + 1
				show(e)
			}
		}
		sleep(ctx, drive.Tick)
	}
}

// ends waits until a member has ended by itself, and returns why it has.
func (w *world) ends(m *member) error {
	w.t.Helper()
	select {
	case err := <-m.ended:
		return err
	case <-time.After(5 * time.Minute):
		w.t.Fatalf("member %x does not end", m.id)
		return nil
	}
}

// stop ends a member as a person would.
func (w *world) stop(m *member) {
	w.t.Helper()
	err := m.server.Stop()
	w.gone(m)
	if err != nil {
		w.t.Errorf("member %x: %v", m.id, err)
	}
}

// gone forgets a member that has ended.
func (w *world) gone(m *member) {
	w.net.leave(m.id)
	_ = m.client.Close()
	_ = m.conn.Close()
	m.cancel()
	<-m.server.Ended()
	m.client = nil
}

// crash ends a member as kill -9 does: what it has written is there, and what it has not committed to its database is
// not. The others must not be able to hear of what it does from now on, so it may not be alone.
func (w *world) crash(m *member) {
	w.t.Helper()
	w.net.leave(m.id)
	synctest.Wait() // nobody writes
	next := w.t.TempDir()
	err := copyFolder(next, m.dir)
	if err != nil {
		w.t.Fatal(err)
	}
	w.gone(m)
	_ = os.RemoveAll(m.dir)
	m.dir = next
	time.Sleep(drive.Tick) // no process is as old as the one before it
}

// copyFolder copies a folder, and leaves out what is zero.
func copyFolder(to, from string) error {
	return filepath.WalkDir(from, func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		name := filepath.Join(to, path[len(from):])
		if entry.IsDir() {
			return os.MkdirAll(name, 0o700)
		}
		data, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		written := bytes.TrimRight(data, "\x00")
		err = os.WriteFile(name, written, 0o600)
		return errors.Join(err, os.Truncate(name, int64(len(data))))
	})
}

// end stops all that runs.
func (w *world) end() {
	for _, id := range w.ids() {
		m := w.members[id]
		if m.client != nil {
			w.net.leave(id)
			w.gone(m)
		}
	}
	time.Sleep(time.Minute) // for what is on its way
}

func (w *world) ids() []uint64 { return slices.Sorted(maps.Keys(w.members)) }

// living returns the members that run.
func (w *world) living() []*member {
	var list []*member
	for _, id := range w.ids() {
		if w.members[id].client != nil {
			list = append(list, w.members[id])
		}
	}
	return list
}

// leader waits until one of the members leads, that others follow.
func (w *world) leader() *member {
	w.t.Helper()
	for range 300 {
		for _, m := range w.living() {
			followed := 0
			for _, other := range w.living() {
				if uint64(other.server.Leader()) == m.id {
					followed++
				}
			}
			if followed > len(w.living())/2 && uint64(m.server.Leader()) == m.id {
				return m
			}
		}
		time.Sleep(drive.Tick)
	}
	w.t.Fatal("nobody leads")
	return nil
}

// follower returns a voter that does not lead.
func (w *world) follower() *member {
	w.t.Helper()
	leader := w.leader()
	for _, m := range w.living() {
		if m != leader && !m.server.Learner() {
			return m
		}
	}
	w.t.Fatal("nobody follows")
	return nil
}

// until waits for something.
func (w *world) until(what string, ok func() bool) {
	w.t.Helper()
	for range 600 {
		if ok() {
			return
		}
		time.Sleep(drive.Tick)
	}
	w.t.Fatalf("%s does not come to be within a minute", what)
}

// even waits until all that run have applied the same, and compares what they have.
func (w *world) even() {
	w.t.Helper()
	w.until("that all members have applied the same", func() bool {
		committed := w.leader().server.CommittedIndex()
		for _, m := range w.living() {
			if m.server.AppliedIndex() != committed {
				return false
			}
		}
		return true
	})
	sums := map[string]bool{}
	for _, m := range w.living() {
		hash, err := m.client.HashKV(w.t.Context(), "", 0)
		if err != nil {
			w.t.Fatal(err)
		}
		sums[fmt.Sprintf("revision %d, compacted %d: %x", hash.Header.Revision, hash.CompactRevision, hash.Hash)] = true
	}
	if len(sums) > 1 {
		w.t.Errorf("members with the same log have the keys %v", slices.Sorted(maps.Keys(sums)))
	}
}

// put writes so many keys.
func (w *world) put(c *clientv3.Client, n int) {
	w.t.Helper()
	for i := range n {
		_, err := c.Put(w.t.Context(), fmt.Sprint("put ", i), fmt.Sprint(w.random.Uint64()))
		if err != nil {
			w.t.Fatal(err)
		}
	}
}
