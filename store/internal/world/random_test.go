package world

import (
	"context"
	"flag"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.etcd.io/etcd/api/v3/mvccpb"
	clientv3 "go.etcd.io/etcd/client/v3"
	"google.golang.org/grpc"

	"github.com/divisi-go/divisi/store/internal/drive"
	"github.com/divisi-go/divisi/store/internal/server"
	"github.com/divisi-go/divisi/store/storetest"
)

var (
	seeds = flag.Int("seeds", 1, "how many runs of each size")
	first = flag.Uint64("first", 1, "the first seed")
	turns = flag.Int("turns", 12, "how often a run harms the members")
)

const (
	workers = 3
	owners  = 2 // of leases
)

// TestWorlds: what clients are told stays true whatever becomes of members and of what they send. The members have the
// same keys in the end, watches have seen every revision once, and leases have lived as long as they had to.
func TestWorlds(t *testing.T) {
	for _, size := range []int{3, 5} {
		for seed := range uint64(*seeds) {
			synctest.Test(t, func(t *testing.T) { run(t, *first+seed, size) })
			if t.Failed() {
				t.Fatalf("%d members, seed %d", size, *first+seed)
			}
		}
	}
}

func run(t *testing.T, seed uint64, size int) {
	w := newWorld(t, seed, size, nil)
	defer func() {
		if t.Failed() {
			t.Logf("what became of the members:\n%s", strings.Join(w.trace, "\n"))
		}
	}()
	clients := newRoster(w)
	var history storetest.History
	leases := newHolders()
	ctx, stop := context.WithCancel(t.Context())
	var all sync.WaitGroup
	for i := range workers {
		random := rand.New(rand.NewPCG(w.random.Uint64(), 0))
		all.Go(func() {
			history.Work(ctx, i, random, func() *clientv3.Client { return clients.any(random).Client })
		})
	}
	for i := range owners {
		random := rand.New(rand.NewPCG(w.random.Uint64(), 0))
		all.Go(func() { leases.hold(ctx, i, random, func() reach { return clients.any(random) }) })
	}
	watching, stopWatching := context.WithCancel(t.Context())
	var seen []*clientv3.Event
	var watchers sync.WaitGroup
	watchers.Go(func() {
		watch(watching, "", clients.first, func(e *mvccpb.Event) { seen = append(seen, (*clientv3.Event)(e)) })
	})
	watchers.Go(func() { watch(watching, "lease ", clients.first, leases.show) })

	for range *turns {
		time.Sleep(time.Duration(w.random.Int64N(int64(3 * drive.Election))))
		w.harm(clients)
	}
	w.mend(clients)
	time.Sleep(3 * drive.Election)
	stop()
	all.Wait()
	time.Sleep(8*time.Second + slack) // the longest lease, and a new leader's extension
	w.even()
	stopWatching()
	watchers.Wait()

	answered, unknown := history.Answered()
	t.Logf("%d members, seed %d: %d answers, %d writes without one, %d leases, %d states sent", size, seed, answered, unknown, len(leases.kept), w.net.states)
	history.Check(t)
	history.Compare(t, seen)
	leases.mu.Lock()
	defer leases.mu.Unlock()
	for _, bad := range leases.bad {
		t.Error(bad)
	}
	for key := range leases.kept {
		if _, gone := leases.gone[key]; !gone {
			t.Errorf("%s has outlived its lease", key)
		}
	}
}

// roster is the members that clients may ask, which change while they do.
type roster struct {
	mu   sync.Mutex // guards list
	list []reach
}

// reach is how a client reaches a member.
type reach struct {
	*clientv3.Client
	conn   *grpc.ClientConn
	server *server.Server
}

func newRoster(w *world) *roster {
	r := &roster{}
	r.set(w)
	return r
}

func (r *roster) set(w *world) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.list = nil
	for _, m := range w.living() {
		r.list = append(r.list, reach{m.client, m.conn, m.server})
	}
}

func (r *roster) any(random *rand.Rand) reach {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.list[random.IntN(len(r.list))]
}

func (r *roster) first() *grpc.ClientConn {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.list[0].conn
}

// pick returns a member that runs.
func (w *world) pick() *member {
	living := w.living()
	return living[w.random.IntN(len(living))]
}

// harm does one thing to the members. Most of them run at any time.
func (w *world) harm(clients *roster) {
	down := len(w.members) - len(w.living())
	spare := down < (len(w.members)-1)/2
	m, other := w.pick(), w.pick()
	dice := w.random.IntN(100)
	switch {
	case dice < 20:
		w.say("isolate %x", m.id)
		w.net.isolate(m.id, w.ids())
	case dice < 30:
		w.say("cut %x to %x", m.id, other.id)
		w.net.mu.Lock()
		w.net.cut[[2]uint64{m.id, other.id}] = true
		w.net.mu.Unlock()
	case dice < 45:
		w.say("heal")
		w.net.heal()
	case dice < 55:
		w.say("lose and repeat messages")
		w.net.mu.Lock()
		w.net.loss, w.net.repeat, w.net.harm = 10, 10, 1
		w.net.mu.Unlock()
	case dice < 65 && spare:
		w.say("crash %x", m.id)
		w.crash(m)
		clients.set(w)
	case dice < 75 && spare:
		w.say("stop %x", m.id)
		w.stop(m)
		clients.set(w)
	case dice < 90:
		w.say("revive")
		w.revive(clients)
	default:
		w.say("move the lead to %x", other.id)
		ctx, cancel := context.WithTimeout(w.t.Context(), drive.Election)
		_, _ = m.client.MoveLeader(ctx, other.id) // refused, but for the leader
		cancel()
	}
}

// revive starts the members that are down.
func (w *world) revive(clients *roster) {
	for _, id := range w.ids() {
		if w.members[id].client == nil {
			w.start(w.members[id])
		}
	}
	clients.set(w)
}

// mend lets everything work again.
func (w *world) mend(clients *roster) {
	w.net.heal()
	w.revive(clients)
	for _, m := range w.living() {
		w.ready(m)
	}
	clients.set(w)
}
