package balance

import (
	"context"
	"errors"
	"net"
	"path/filepath"
	"strings"
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

func TestRetryElsewhere(t *testing.T) {
	for _, idempotent := range []bool{true, false} {
		started, release := make(chan bool, 10), make(chan bool)
		var hosts []*calltest.Host
		for _, name := range []string{"a", "b"} {
			hosts = append(hosts, calltest.ServeUnix(t, call.ServerOptions{Lookup: calltest.Handlers{1: calltest.Blocking(started, release, name)}.Lookup}))
		}
		p := newPool(t, PoolOptions{}, hosts...)
		type result struct {
			reply call.Reply
			err   error
		}
		done := make(chan result, 1)
		go func() {
			reply, err := p.Call(t.Context(), &call.Request{Method: codegen.Key{1}, Idempotent: idempotent})
			done <- result{reply, err}
		}()
		<-started
		first, second := hosts[0], hosts[1]
		if second.Stats().InFlight == 1 {
			first, second = second, first
		}
		first.Stop()
		if !idempotent {
			var e *call.Error
			if r := <-done; !errors.As(r.err, &e) || !e.Executed || e.Addr != first.Addr || !errors.Is(r.err, call.ErrTransport) {
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
		var e *call.Error
		if r := <-done; !errors.As(r.err, &e) || !errors.Is(r.err, call.ErrClosed) {
			t.Errorf("after Close: %v, %v", r.reply.Status, r.err)
		}
		if _, err := p.Call(t.Context(), &call.Request{Method: codegen.Key{1}}); !errors.Is(err, call.ErrClosed) {
			t.Errorf("after Close: %v", err)
		}
		close(release)
	}
}

// cutting is a listener that cuts the connections which it has accepted.
type cutting struct {
	net.Listener
	mu    sync.Mutex
	conns []net.Conn
}

func (l *cutting) Accept() (net.Conn, error) {
	nc, err := l.Listener.Accept()
	if err == nil {
		l.mu.Lock()
		defer l.mu.Unlock()
		l.conns = append(l.conns, nc)
	}
	return nc, err
}

func (l *cutting) cut() {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, nc := range l.conns {
		nc.Close()
	}
}

// TestPoisonousCall: a call that breaks every connection it comes to is made twice.
func TestPoisonousCall(t *testing.T) {
	var made atomic.Int32
	unix, err := link.Listen("unix://" + filepath.Join(t.TempDir(), "s"))
	if err != nil {
		t.Fatal(err)
	}
	l := &cutting{Listener: unix}
	h := calltest.Serve(t, l, call.ServerOptions{Lookup: calltest.Handlers{1: calltest.Echo, 2: func(context.Context, *call.Incoming) call.Reply {
		made.Add(1)
		l.cut()
		return call.Reply{}
	}}.Lookup})
	p := newPool(t, PoolOptions{}, h)
	var e *call.Error
	if _, err := p.Call(t.Context(), &call.Request{Method: codegen.Key{2}, Idempotent: true}); !errors.As(err, &e) || !e.Executed {
		t.Errorf("%v", err)
	}
	if made.Load() != 2 {
		t.Errorf("it was made %d times", made.Load())
	}
	calltest.MustCall(t, p, &call.Request{Method: codegen.Key{1}})
}

// mute accepts connections, does the handshake, and then neither reads nor writes, as a
// stopped process does.
func mute(t *testing.T, n *memnet.Network, addr string) {
	l := n.Listen(addr)
	t.Cleanup(func() { l.Close() })
	o := link.Options{}.WithDefaults()
	go func() {
		for {
			nc, err := l.Accept()
			if err != nil {
				return
			}
			if _, err := link.Welcome(nc, &o); err != nil {
				t.Errorf("handshake: %v", err)
			}
		}
	}()
}

// TestStoppedReplica: a replica that answers nothing any more, not even PING, is dropped in
// time, and its idempotent calls go elsewhere.
func TestStoppedReplica(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := memnet.New()
		mute(t, n, "a")
		calltest.ServeMem(t, n, "b", call.ServerOptions{Lookup: calltest.Handlers{1: calltest.Echo}.Lookup})
		p := memPool(t, n, PoolOptions{}, "a")
		start := time.Now()
		var wg sync.WaitGroup
		for i := range 40 {
			wg.Go(func() {
				idempotent := i%2 == 0
				reply, err := p.Call(t.Context(), &call.Request{Method: codegen.Key{1}, Idempotent: idempotent})
				calltest.Within(t, "dropping the replica", time.Since(start), 10*time.Second, 11*time.Second)
				var e *call.Error
				if idempotent && (err != nil || reply.Status != codegen.StatusOK) {
					t.Errorf("%v, %v", reply.Status, err)
				}
				if !idempotent && (!errors.As(err, &e) || !e.Executed || e.Addr != "a" || !errors.Is(err, link.ErrSilent)) {
					t.Errorf("%v, %v", reply.Status, err)
				}
			})
		}
		synctest.Wait()
		p.SetReplicas([]string{"a", "b"})
		wg.Wait()
		if s := p.Stats(); s.Retries < 20 || s.InFlight != 0 {
			t.Errorf("stats %+v", s)
		}
	})
}

// TestNoReplica: a call waits for a replica to come, but not for ever.
func TestNoReplica(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := memnet.New()
		p := memPool(t, n, PoolOptions{})
		for _, addrs := range [][]string{nil, {"a"}} {
			p.SetReplicas(addrs)
			start := time.Now()
			_, err := p.Call(context.Background(), &call.Request{Method: codegen.Key{1}})
			var e *call.Error
			if !errors.As(err, &e) || e.Executed || !errors.Is(err, ErrNoReplica) {
				t.Errorf("without a deadline: %v", err)
			}
			if addrs != nil && !strings.Contains(err.Error(), "dial mem a") {
				t.Errorf("the error does not say why: %v", err)
			}
			calltest.Within(t, "giving up", time.Since(start), 30*time.Second, 32*time.Second)

			start = time.Now()
			ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
			_, err = p.Call(ctx, &call.Request{Method: codegen.Key{1}})
			if !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), ErrNoReplica.Error()) {
				t.Errorf("with a deadline: %v", err)
			}
			calltest.Within(t, "waiting for the deadline", time.Since(start), 5*time.Second, 5*time.Second)
			cancel()
		}
		done := make(chan error)
		start := time.Now()
		go func() {
			_, err := p.Call(context.Background(), &call.Request{Method: codegen.Key{1}})
			done <- err
		}()
		<-time.After(20 * time.Second)
		calltest.ServeMem(t, n, "a", call.ServerOptions{Lookup: calltest.Handlers{1: calltest.Echo}.Lookup})
		if err := <-done; err != nil {
			t.Error(err)
		}
		calltest.Within(t, "finding it", time.Since(start), 20*time.Second, 26*time.Second)
	})
}

// TestOverload: refused calls are made again within the budget, and slowly beyond it.
func TestOverload(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := memnet.New()
		h := calltest.ServeMem(t, n, "a", call.ServerOptions{MaxInFlight: -1, Lookup: calltest.Handlers{}.Lookup})
		p := memPool(t, n, PoolOptions{}, "a")
		const calls = 200
		var wg sync.WaitGroup
		for range calls {
			wg.Go(func() {
				ctx, cancel := context.WithTimeout(t.Context(), 4*time.Second)
				defer cancel()
				if reply, err := p.Call(ctx, &call.Request{Method: codegen.Key{1}}); err != nil || reply.Status != codegen.StatusOverloaded {
					t.Errorf("%v, %v", reply.Status, err)
				}
			})
		}
		wg.Wait()
		// 10 retries saved up and 20 for 200 calls; then one in 0.5 to 1 s for each call.
		if got := h.Stats().Calls; got > calls+30+8*calls || got < 2*calls {
			t.Errorf("%d calls were made %d times", calls, got)
		}
		// A call without a deadline gets the refusal itself in the end.
		start := time.Now()
		reply, err := p.Call(context.Background(), &call.Request{Method: codegen.Key{1}})
		if reply.Status != codegen.StatusOverloaded || err != nil {
			t.Errorf("%v, %v", reply.Status, err)
		}
		calltest.Within(t, "giving up", time.Since(start), 30*time.Second, 32*time.Second)
	})
}

// TestWaitingCallEnds: a call that waits for its turn ends with its context, and those behind it
// get theirs; all of them go elsewhere when the connection takes no more calls.
func TestWaitingCallEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := memnet.New()
		release := make(chan bool)
		lookup := calltest.Handlers{1: func(context.Context, *call.Incoming) call.Reply {
			<-release
			return call.Reply{}
		}}.Lookup
		first := calltest.ServeMem(t, n, "a", call.ServerOptions{Lookup: lookup, Conn: link.Options{MaxInFlight: 1}})
		p := memPool(t, n, PoolOptions{}, "a")

		var wg sync.WaitGroup
		var answered atomic.Int32
		begin := func(ctx context.Context) <-chan error {
			failed := make(chan error, 1)
			wg.Go(func() {
				_, err := p.Call(ctx, &call.Request{Method: codegen.Key{1}})
				if err == nil {
					answered.Add(1)
				}
				failed <- err
			})
			synctest.Wait()
			return failed
		}
		ctx, cancel := context.WithCancel(t.Context())
		begin(t.Context()) // has the slot
		second := begin(ctx)
		third := begin(t.Context())
		fourth := begin(t.Context())

		cancel()
		if err := <-second; !errors.Is(err, context.Canceled) || !strings.Contains(err.Error(), "waiting for a turn") {
			t.Errorf("a call that waited when its context ended: %v", err)
		}
		release <- true
		synctest.Wait()
		if first.Stats().Calls != 2 || answered.Load() != 1 {
			t.Errorf("%d calls were made, %d answered", first.Stats().Calls, answered.Load())
		}

		other := calltest.ServeMem(t, n, "b", call.ServerOptions{Lookup: lookup})
		p.SetReplicas([]string{"b"})
		synctest.Wait()
		if other.Stats().InFlight != 1 {
			t.Errorf("the call that waited did not go elsewhere: %+v", other.Stats())
		}
		close(release)
		wg.Wait()
		if err := errors.Join(<-third, <-fourth); err != nil {
			t.Error(err)
		}
	})
}
