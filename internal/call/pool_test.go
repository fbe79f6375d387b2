package call

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/divisi-go/divisi/codegen"
)

// blocking is a handler that says it has started, and waits.
func blocking(started chan<- bool, release <-chan bool, answer string) Handler {
	return func(ctx context.Context, in *Incoming) Reply {
		started <- true
		<-release
		return Reply{Body: []byte(answer)}
	}
}

// named answers with the name of its server.
func named(name string) handlers {
	return handlers{1: func(context.Context, *Incoming) Reply { return Reply{Body: []byte(name)} }}
}

func TestRetryElsewhere(t *testing.T) {
	for _, idempotent := range []bool{true, false} {
		started, release := make(chan bool, 10), make(chan bool)
		var hosts []*host
		for _, name := range []string{"a", "b"} {
			hosts = append(hosts, serveUnix(t, ServerOptions{Lookup: handlers{1: blocking(started, release, name)}.lookup}))
		}
		p := newPool(t, PoolOptions{}, hosts...)
		type result struct {
			reply Reply
			err   error
		}
		done := make(chan result, 1)
		go func() {
			reply, err := p.Call(t.Context(), &Request{Method: codegen.Key{1}, Idempotent: idempotent})
			done <- result{reply, err}
		}()
		<-started
		first, second := hosts[0], hosts[1]
		if second.Stats().InFlight == 1 {
			first, second = second, first
		}
		first.stop()
		if !idempotent {
			var e *Error
			if r := <-done; !errors.As(r.err, &e) || !e.Executed || e.Addr != first.addr || !errors.Is(r.err, ErrTransport) {
				t.Errorf("a call that may have been executed: %v, %v", r.reply.Status, r.err)
			}
			close(release)
			continue
		}
		<-started
		if second.Stats().InFlight != 1 || p.Stats().Retries != 1 {
			t.Errorf("stats %+v, %+v", second.Stats(), p.Stats())
		}
		p.Close()
		var e *Error
		if r := <-done; !errors.As(r.err, &e) || !errors.Is(r.err, ErrClosed) {
			t.Errorf("after Close: %v, %v", r.reply.Status, r.err)
		}
		if _, err := p.Call(t.Context(), &Request{Method: codegen.Key{1}}); !errors.Is(err, ErrClosed) {
			t.Errorf("after Close: %v", err)
		}
		close(release)
	}
}

// TestPoisonousCall: a call that breaks every connection it comes to is made twice.
func TestPoisonousCall(t *testing.T) {
	var made atomic.Int32
	var h *host
	h = serveUnix(t, ServerOptions{Lookup: handlers{1: echo, 2: func(context.Context, *Incoming) Reply {
		made.Add(1)
		h.mu.Lock()
		defer h.mu.Unlock()
		for ss := range h.sessions {
			ss.fail(ErrClosed)
		}
		return Reply{}
	}}.lookup})
	p := newPool(t, PoolOptions{}, h)
	var e *Error
	if _, err := p.Call(t.Context(), &Request{Method: codegen.Key{2}, Idempotent: true}); !errors.As(err, &e) || !e.Executed {
		t.Errorf("%v", err)
	}
	if made.Load() != 2 {
		t.Errorf("it was made %d times", made.Load())
	}
	mustCall(t, p, &Request{Method: codegen.Key{1}})
}

// TestDrainLosesNothing replaces the replicas one after the other under load: no call fails,
// though none is idempotent.
func TestDrainLosesNothing(t *testing.T) {
	var served atomic.Int64
	work := handlers{1: func(_ context.Context, in *Incoming) Reply {
		served.Add(1)
		return Reply{Body: in.Args}
	}, 2: count}
	var hosts []*host
	addrs := func() (as []string) {
		for _, h := range hosts {
			as = append(as, h.addr)
		}
		return as
	}
	for range 3 {
		hosts = append(hosts, serveUnix(t, ServerOptions{Lookup: work.lookup}))
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
					s, err := p.Stream(t.Context(), &Request{Method: codegen.Key{2}, Args: args[:100]})
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
				if reply, err := p.Call(t.Context(), &Request{Method: codegen.Key{1}, Args: args}); err != nil || len(reply.Body) != len(args) {
					t.Errorf("%v, %v", reply.Status, err)
					return
				}
			}
		})
	}
	for round := range 6 {
		old := hosts[round%3]
		before := served.Load()
		eventually(t, "calls are served", func() bool { return served.Load() > before+50 })
		if round%2 == 0 { // the new one is announced first
			hosts[round%3] = serveUnix(t, ServerOptions{Lookup: work.lookup})
			p.SetReplicas(addrs())
		}
		if err := old.Drain(t.Context()); err != nil {
			t.Error(err)
		}
		old.stop()
		if round%2 == 1 {
			hosts[round%3] = serveUnix(t, ServerOptions{Lookup: work.lookup})
			p.SetReplicas(addrs())
		}
	}
	close(stop)
	wg.Wait()
	if served.Load() != made.Load() {
		t.Errorf("%d calls were made, %d served", made.Load(), served.Load())
	}
}

func TestDrainWaits(t *testing.T) {
	started, release := make(chan bool, 1), make(chan bool)
	h := serveUnix(t, ServerOptions{Lookup: handlers{1: blocking(started, release, "done")}.lookup})
	p := newPool(t, PoolOptions{}, h)
	answer := make(chan string, 1)
	go func() { answer <- string(mustCall(t, p, &Request{Method: codegen.Key{1}})) }()
	<-started
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	if err := h.Drain(ctx); !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), "1 calls are in flight") {
		t.Errorf("%v", err)
	}
	// A caller that has not heard of it, and one that comes now, are sent away.
	c := p.replicas[0].conn
	if c != nil {
		c.mu.Lock()
		c.draining = false
		c.mu.Unlock()
		if reply, err := c.call(t.Context(), &Request{Method: codegen.Key{1}}); reply.Status != codegen.StatusDraining || err != nil {
			t.Errorf("%v, %v", reply.Status, err)
		}
		c.retire()
	}
	late := newPool(t, PoolOptions{}, h)
	if _, err := late.Call(ctx, &Request{Method: codegen.Key{1}}); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("%v", err)
	}
	late.Close()
	drained := make(chan error, 1)
	go func() { drained <- h.Drain(t.Context()) }()
	close(release)
	if got := <-answer; got != "done" {
		t.Errorf("the call in flight gets %q", got)
	}
	if err := <-drained; err != nil {
		t.Error(err)
	}
}

func TestSetReplicas(t *testing.T) {
	started, release := make(chan bool, 1), make(chan bool)
	a := serveUnix(t, ServerOptions{Lookup: handlers{1: blocking(started, release, "a")}.lookup})
	b := serveUnix(t, ServerOptions{Lookup: named("b").lookup})
	p := newPool(t, PoolOptions{}, a)
	answer := make(chan string, 1)
	go func() { answer <- string(mustCall(t, p, &Request{Method: codegen.Key{1}})) }()
	<-started
	p.SetReplicas([]string{b.addr, b.addr})
	for range 10 {
		if got := mustCall(t, p, &Request{Method: codegen.Key{1}}); string(got) != "b" {
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
	eventually(t, "the removed replica is disconnected", func() bool {
		return p.Stats().Connections == 1 && a.Stats().Connections == 0
	})
}

// TestReconnect restarts the only replica, again and again, on the same address.
func TestReconnect(t *testing.T) {
	h := serveUnix(t, ServerOptions{Lookup: handlers{1: echo}.lookup})
	p := newPool(t, PoolOptions{}, h)
	for range 5 {
		mustCall(t, p, &Request{Method: codegen.Key{1}})
		h.stop()
		// A call on a connection whose end is not known yet may have been executed.
		eventually(t, "the loss is noticed", func() bool { return p.Stats().Connections == 0 })
		l, err := Listen(h.addr)
		if err != nil {
			t.Fatal(err)
		}
		h = serve(t, l, ServerOptions{Lookup: handlers{1: echo}.lookup})
	}
}

func TestRouting(t *testing.T) {
	var hosts []*host
	for i := range 4 {
		hosts = append(hosts, serveUnix(t, ServerOptions{Lookup: named(fmt.Sprint(i)).lookup}))
	}
	p := newPool(t, PoolOptions{}, hosts...)
	owner := func(shard uint64) string {
		return string(mustCall(t, p, &Request{Method: codegen.Key{1}, Routed: true, Shard: shard}))
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
	hosts[3].stop() // and everybody notices by itself
	eventually(t, "the loss is noticed", func() bool { return p.Stats().Connections == 3 })
	for shard, was := range before {
		if got := owner(shard); got != was && was != "3" || got == "3" {
			t.Errorf("shard %d moves from %s to %s", shard, was, got)
		}
	}

	p.SetAssignment([]Slice{
		{Start: 100, Replicas: []string{hosts[1].addr}},
		{Start: 0, Replicas: []string{hosts[0].addr}},
		{Start: 150, Replicas: []string{hosts[3].addr}}, // which is down
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

// TestRendezvous compares the moves with the least possible: 1/n of all.
func TestRendezvous(t *testing.T) {
	const shards = 20_000
	for n := 1; n <= 12; n++ {
		p := NewPool(PoolOptions{})
		var rs []*replica
		for i := range n + 1 {
			addr := fmt.Sprintf("unix:///run/app/%d", i)
			rs = append(rs, &replica{addr: addr, hash: hashAddr(addr)})
		}
		moved := 0
		share := map[*replica]int{}
		for shard := range uint64(shards) {
			before, after := p.owner(time.Time{}, rs[:n], shard), p.owner(time.Time{}, rs, shard)
			share[after]++
			if before != after {
				moved++
				if after != rs[n] {
					t.Fatalf("a shard moves between replicas that were there before")
				}
			}
		}
		want := shards / (n + 1)
		for r, got := range share {
			if got < want*85/100 || got > want*115/100 {
				t.Errorf("%d replicas: %s has %d shards, not about %d", n+1, r.addr, got, want)
			}
		}
		if moved != share[rs[n]] {
			t.Errorf("%d shards move to a replica that has %d", moved, share[rs[n]])
		}
	}
}

func TestSliceOf(t *testing.T) {
	parts := []Slice{{Start: 10}, {Start: 20}, {Start: 1 << 63}}
	for shard, want := range map[uint64]int{0: 2, 9: 2, 10: 0, 19: 0, 20: 1, 1<<63 - 1: 1, 1 << 63: 2, 1<<64 - 1: 2} {
		if got := sliceOf(parts, shard); got != want {
			t.Errorf("%d is in slice %d, want %d", shard, got, want)
		}
	}
}

func TestLighter(t *testing.T) {
	rnd := rand.New(rand.NewPCG(1, 2))
	loads := []int{5, 0, 5, 9}
	var picked [4]int
	for range 12_000 {
		picked[lighter(4, func(i int) int { return loads[i] }, rnd.IntN)]++
	}
	// Of the six pairs the idle one wins three, the equal ones share one and win over the
	// busiest, which never wins.
	want := []int{3000, 6000, 3000, 0}
	for i, n := range picked {
		if n < want[i]*9/10 || n > want[i]*11/10 {
			t.Errorf("picked %v, want about %v", picked, want)
			break
		}
	}
}

// warm makes calls until all replicas are connected.
func warm(t *testing.T, p *Pool, replicas int) {
	t.Helper()
	eventually(t, "all replicas are connected", func() bool {
		mustCall(t, p, &Request{Method: codegen.Key{1}})
		return p.Stats().Connections == replicas
	})
}

func TestBalance(t *testing.T) {
	var hosts []*host
	for range 3 {
		hosts = append(hosts, serveUnix(t, ServerOptions{Lookup: handlers{1: echo}.lookup}))
	}
	p := newPool(t, PoolOptions{}, hosts...)
	warm(t, p, 3)
	before := make([]uint64, 3)
	for i, h := range hosts {
		before[i] = h.Stats().Calls
	}
	for range 600 {
		mustCall(t, p, &Request{Method: codegen.Key{1}})
	}
	for i, h := range hosts {
		if n := h.Stats().Calls - before[i]; n < 120 || n > 300 {
			t.Errorf("replica %d has had %d of 600 calls", i, n)
		}
	}
}

// TestEjection: replicas that keep losing connections are left alone for longer and longer,
// but never more than a third of them.
func TestEjection(t *testing.T) {
	p := NewPool(PoolOptions{})
	for i := range 7 {
		p.replicas = append(p.replicas, &replica{addr: fmt.Sprint(i), conn: &client{}})
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
		p.lost(p.replicas[0], now, ErrTransport)
	}
	for range 5 {
		p.lost(p.replicas[1], now, ErrClosed) // drains
	}
	if got := ejected(); got != nil {
		t.Fatalf("ejected too early: %v", got)
	}
	for i := range 5 {
		for range 3 {
			p.lost(p.replicas[i], now, ErrTransport)
		}
	}
	if got := ejected(); !slices.Equal(got, []int{0, 1}) {
		t.Fatalf("%v are ejected", got)
	}
	r := p.replicas[0]
	for _, want := range []time.Duration{2, 4, 8, 16, 32, 60, 60} {
		now = r.ejected
		if p.lost(r, now, ErrTransport); r.ejected.Sub(now) != want*time.Second {
			t.Fatalf("ejected for %v, want %v s", r.ejected.Sub(now), want)
		}
	}
}

// TestAvoid: a replica that refuses everything is not the one with the least to do.
func TestAvoid(t *testing.T) {
	busy := serveUnix(t, ServerOptions{Lookup: handlers{1: echo}.lookup, MaxInFlight: -1})
	good := serveUnix(t, ServerOptions{Lookup: handlers{1: echo}.lookup})
	p := newPool(t, PoolOptions{}, busy, good)
	warm(t, p, 2)
	start, before := time.Now(), busy.Stats().Calls
	for range 2000 {
		mustCall(t, p, &Request{Method: codegen.Key{1}})
	}
	if n, most := busy.Stats().Calls-before, 2+uint64(time.Since(start)/avoidFor); n > most {
		t.Errorf("%d of 2000 calls went to the replica that refuses them, want %d at most", n, most)
	}
}

// TestAllEjected: when nothing else is left, ejected replicas are called.
func TestAllEjected(t *testing.T) {
	h := serveUnix(t, ServerOptions{Lookup: handlers{1: echo}.lookup})
	p := newPool(t, PoolOptions{}, h)
	mustCall(t, p, &Request{Method: codegen.Key{1}})
	p.mu.Lock()
	p.replicas[0].ejected = time.Now().Add(time.Hour)
	p.mu.Unlock()
	mustCall(t, p, &Request{Method: codegen.Key{1}})
}
