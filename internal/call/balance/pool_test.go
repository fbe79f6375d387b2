package balance

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/divisi-go/divisi/codegen"
	"github.com/divisi-go/divisi/internal/call"
	"github.com/divisi-go/divisi/internal/call/calltest"
	"github.com/divisi-go/divisi/internal/call/link"
	"github.com/divisi-go/divisi/internal/call/memnet"
)

// newPool returns a Pool of the hosts.
func newPool(t testing.TB, o PoolOptions, hosts ...*calltest.Host) *Pool {
	p := NewPool(o)
	t.Cleanup(func() { p.Close() })
	var addrs []string
	for _, h := range hosts {
		addrs = append(addrs, h.Addr)
	}
	p.SetReplicas(addrs)
	return p
}

func memPool(t *testing.T, n *memnet.Network, o PoolOptions, addrs ...string) *Pool {
	o.Dial = n.Dial
	p := newPool(t, o)
	p.SetReplicas(addrs)
	return p
}

// named answers with the name of its server.
func named(name string) calltest.Handlers {
	return calltest.Handlers{1: func(context.Context, *call.Incoming) call.Reply { return call.Reply{Body: []byte(name)} }}
}

// warm makes calls until all replicas are connected.
func warm(t *testing.T, p *Pool, replicas int) {
	t.Helper()
	calltest.Eventually(t, "all replicas are connected", func() bool {
		calltest.MustCall(t, p, &call.Request{Method: codegen.Key{1}})
		return p.Stats().Connections == replicas
	})
}

// TestDrainLosesNothing replaces the replicas one after the other under load: no call fails,
// though none is idempotent.
func TestDrainLosesNothing(t *testing.T) {
	var served atomic.Int64
	work := calltest.Handlers{1: func(_ context.Context, in *call.Incoming) call.Reply {
		served.Add(1)
		return call.Reply{Body: in.Args}
	}, 2: calltest.Count}
	// However little time its callers have, each hangs up.
	options := call.ServerOptions{Lookup: work.Lookup, Linger: time.Minute}
	var hosts []*calltest.Host
	addrs := func() (as []string) {
		for _, h := range hosts {
			as = append(as, h.Addr)
		}
		return as
	}
	for range 3 {
		hosts = append(hosts, calltest.ServeUnix(t, options))
	}
	p := newPool(t, PoolOptions{}, hosts...)
	stop := make(chan bool)
	var made atomic.Int64
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			args := make([]byte, 1+i*20_000)
			args[0] = 5
			for {
				select {
				case <-stop:
					return
				default:
				}
				if i%4 == 3 {
					s, err := p.Stream(t.Context(), &call.Request{Method: codegen.Key{2}, Args: args[:100]})
					n := -1
					for ; err == nil; n++ {
						_, err = s.Recv()
					}
					if n != 5 {
						t.Errorf("a stream ended after %d elements: %v", n, err)
						return
					}
					continue
				}
				made.Add(1)
				if reply, err := p.Call(t.Context(), &call.Request{Method: codegen.Key{1}, Args: args}); err != nil || len(reply.Body) != len(args) {
					t.Errorf("%v, %v", reply.Status, err)
					return
				}
			}
		})
	}
	for round := range 6 {
		old := hosts[round%3]
		before := served.Load()
		calltest.Eventually(t, "calls are served", func() bool { return served.Load() > before+50 })
		if round%2 == 0 { // the new one is announced first
			hosts[round%3] = calltest.ServeUnix(t, options)
			p.SetReplicas(addrs())
		}
		if err := old.Drain(t.Context()); err != nil {
			t.Error(err)
		}
		old.Stop()
		if round%2 == 1 {
			hosts[round%3] = calltest.ServeUnix(t, options)
			p.SetReplicas(addrs())
		}
	}
	close(stop)
	wg.Wait()
	if served.Load() != made.Load() {
		t.Errorf("%d calls were made, %d served", made.Load(), served.Load())
	}
}

func TestSetReplicas(t *testing.T) {
	started, release := make(chan bool, 1), make(chan bool)
	a := calltest.ServeUnix(t, call.ServerOptions{Lookup: calltest.Handlers{1: calltest.Blocking(started, release, "a")}.Lookup})
	b := calltest.ServeUnix(t, call.ServerOptions{Lookup: named("b").Lookup})
	p := newPool(t, PoolOptions{}, a)
	answer := make(chan string, 1)
	go func() { answer <- string(calltest.MustCall(t, p, &call.Request{Method: codegen.Key{1}})) }()
	<-started
	p.SetReplicas([]string{b.Addr, b.Addr})
	for range 10 {
		if got := calltest.MustCall(t, p, &call.Request{Method: codegen.Key{1}}); string(got) != "b" {
			t.Errorf("a removed replica is called: %q", got)
		}
	}
	if p.Stats().Connections != 2 {
		t.Errorf("stats %+v", p.Stats())
	}
	close(release)
	if got := <-answer; got != "a" {
		t.Errorf("the call in flight gets %q", got)
	}
	calltest.Eventually(t, "the removed replica is disconnected", func() bool {
		return p.Stats().Connections == 1 && a.Stats().Connections == 0
	})
}

// TestReconnect restarts the only replica, again and again, on the same address.
func TestReconnect(t *testing.T) {
	h := calltest.ServeUnix(t, call.ServerOptions{Lookup: calltest.Handlers{1: calltest.Echo}.Lookup})
	p := newPool(t, PoolOptions{}, h)
	for range 5 {
		calltest.MustCall(t, p, &call.Request{Method: codegen.Key{1}})
		h.Stop()
		// A call on a connection whose end is not known yet may have been executed.
		calltest.Eventually(t, "the loss is noticed", func() bool { return p.Stats().Connections == 0 })
		l, err := link.Listen(h.Addr)
		if err != nil {
			t.Fatal(err)
		}
		h = calltest.Serve(t, l, call.ServerOptions{Lookup: calltest.Handlers{1: calltest.Echo}.Lookup})
	}
}

func TestRouting(t *testing.T) {
	var hosts []*calltest.Host
	for i := range 4 {
		hosts = append(hosts, calltest.ServeUnix(t, call.ServerOptions{Lookup: named(fmt.Sprint(i)).Lookup}))
	}
	p := newPool(t, PoolOptions{}, hosts...)
	owner := func(shard uint64) string {
		return string(calltest.MustCall(t, p, &call.Request{Method: codegen.Key{1}, Routed: true, Shard: shard}))
	}
	before := map[uint64]string{}
	for shard := range uint64(200) {
		before[shard] = owner(shard)
	}
	for shard, want := range before {
		if got := owner(shard); got != want {
			t.Errorf("shard %d moves from %s to %s", shard, want, got)
		}
	}
	hosts[3].Stop() // and everybody notices by itself
	calltest.Eventually(t, "the loss is noticed", func() bool { return p.Stats().Connections == 3 })
	for shard, was := range before {
		if got := owner(shard); got != was && was != "3" || got == "3" {
			t.Errorf("shard %d moves from %s to %s", shard, was, got)
		}
	}

	p.SetAssignment([]Slice{
		{Start: 100, Replicas: []string{hosts[1].Addr}},
		{Start: 0, Replicas: []string{hosts[0].Addr}},
		{Start: 150, Replicas: []string{hosts[3].Addr}}, // which is down
	})
	for shard := range uint64(200) {
		got, want := owner(shard), "0"
		if shard >= 100 {
			want = "1"
		}
		if shard >= 150 {
			want = before[shard]
			if want == "3" {
				continue
			}
		}
		if got != want {
			t.Errorf("shard %d goes to %s, not %s", shard, got, want)
		}
	}
	p.SetAssignment(nil)
	if got := owner(120); got != before[120] && before[120] != "3" {
		t.Errorf("shard 120 goes to %s, not %s", got, before[120])
	}
}

func TestBalance(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWard(t, 3, 20*time.Millisecond)
		p := memPool(t, w.n, PoolOptions{}, w.addrs...)
		r := call.Request{Method: codegen.Key{1}}
		w.load(t, p, 3, time.Second, time.Minute, r)
		calls, shares := w.load(t, p, 1, 12*time.Second, time.Minute, r)
		for i, n := range shares {
			if n < len(calls)/5 || n > len(calls)/2 {
				t.Errorf("replica %d has had %d of %d calls", i, n, len(calls))
			}
		}
	})
}

// TestEjection: replicas that keep losing connections are left alone for longer and longer,
// but never more than a third of them.
func TestEjection(t *testing.T) {
	p := NewPool(PoolOptions{})
	for i := range 7 {
		p.replicas = append(p.replicas, &replica{addr: fmt.Sprint(i), conn: &call.Client{}})
	}
	now := time.Now()
	ejected := func() (is []int) {
		for i, r := range p.replicas {
			if now.Before(r.ejected) {
				is = append(is, i)
			}
		}
		return is
	}
	for range 2 {
		p.lostLocked(p.replicas[0], now, call.ErrTransport)
	}
	for range 5 {
		p.lostLocked(p.replicas[1], now, call.ErrClosed) // drains
	}
	if got := ejected(); got != nil {
		t.Fatalf("ejected too early: %v", got)
	}
	for i := range 5 {
		for range 3 {
			p.lostLocked(p.replicas[i], now, call.ErrTransport)
		}
	}
	if got := ejected(); !slices.Equal(got, []int{0, 1}) {
		t.Fatalf("%v are ejected", got)
	}
	r := p.replicas[0]
	for _, want := range []time.Duration{2, 4, 8, 16, 32, 60, 60} {
		now = r.ejected
		if p.lostLocked(r, now, call.ErrTransport); r.ejected.Sub(now) != want*time.Second {
			t.Fatalf("ejected for %v, want %v s", r.ejected.Sub(now), want)
		}
	}
}

// TestAvoid: a replica that refuses everything is not the one with the least to do.
func TestAvoid(t *testing.T) {
	busy := calltest.ServeUnix(t, call.ServerOptions{Lookup: calltest.Handlers{1: calltest.Echo}.Lookup, MaxInFlight: -1})
	good := calltest.ServeUnix(t, call.ServerOptions{Lookup: calltest.Handlers{1: calltest.Echo}.Lookup})
	p := newPool(t, PoolOptions{}, busy, good)
	warm(t, p, 2)
	start, before := time.Now(), busy.Stats().Calls
	for range 2000 {
		calltest.MustCall(t, p, &call.Request{Method: codegen.Key{1}})
	}
	if n, most := busy.Stats().Calls-before, 2+uint64(time.Since(start)/avoidFor); n > most {
		t.Errorf("%d of 2000 calls went to the replica that refuses them, want %d at most", n, most)
	}
}

// TestAllEjected: when nothing else is left, ejected replicas are called.
func TestAllEjected(t *testing.T) {
	h := calltest.ServeUnix(t, call.ServerOptions{Lookup: calltest.Handlers{1: calltest.Echo}.Lookup})
	p := newPool(t, PoolOptions{}, h)
	calltest.MustCall(t, p, &call.Request{Method: codegen.Key{1}})
	p.mu.Lock()
	p.replicas[0].ejected = time.Now().Add(time.Hour)
	p.mu.Unlock()
	calltest.MustCall(t, p, &call.Request{Method: codegen.Key{1}})
}
