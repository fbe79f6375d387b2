package call

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/divisi-go/divisi/codegen"
	"github.com/divisi-go/divisi/internal/wire"
)

// These tests run in a bubble of synctest, where time passes only when everybody waits: a
// minute takes no time, and bounds can be compared exactly.

// serveMem starts a server on a network in memory.
func serveMem(t *testing.T, n *memNet, addr string, o ServerOptions) *host {
	h := serve(t, n.listen(addr), o)
	h.addr = addr
	return h
}

func memPool(t *testing.T, n *memNet, o PoolOptions, addrs ...string) *Pool {
	o.Dial = n.dial
	p := newPool(t, o)
	p.SetReplicas(addrs)
	return p
}

// mute accepts connections, does the handshake, and then neither reads nor writes, as a
// stopped process does.
func mute(t *testing.T, n *memNet, addr string) {
	l := n.listen(addr)
	t.Cleanup(func() { l.Close() })
	o := Options{}.withDefaults()
	go func() {
		for {
			nc, err := l.Accept()
			if err != nil {
				return
			}
			if _, err := welcome(nc, &o); err != nil {
				t.Errorf("handshake: %v", err)
			}
		}
	}()
}

// connect does the dialler's handshake and returns the bare connection.
func connect(t *testing.T, n *memNet, addr string) net.Conn {
	nc, err := n.dial(t.Context(), addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { nc.Close() })
	o := Options{}.withDefaults()
	if _, err := greet(nc, &o); err != nil {
		t.Fatal(err)
	}
	return nc
}

func within(t *testing.T, what string, got, least, most time.Duration) {
	t.Helper()
	if got < least || got > most {
		t.Errorf("%s took %v, want %v to %v", what, got, least, most)
	}
}

// TestStoppedReplica: a replica that answers nothing any more, not even PING, is dropped in
// time, and its idempotent calls go elsewhere.
func TestStoppedReplica(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newMemNet()
		mute(t, n, "a")
		serveMem(t, n, "b", ServerOptions{Lookup: handlers{1: echo}.lookup})
		p := memPool(t, n, PoolOptions{}, "a")
		start := time.Now()
		var wg sync.WaitGroup
		for i := range 40 {
			wg.Go(func() {
				idempotent := i%2 == 0
				reply, err := p.Call(t.Context(), &Request{Method: codegen.Key{1}, Idempotent: idempotent})
				within(t, "dropping the replica", time.Since(start), 5*time.Second, 6*time.Second)
				var e *Error
				if idempotent && (err != nil || reply.Status != codegen.StatusOK) {
					t.Errorf("%v, %v", reply.Status, err)
				}
				if !idempotent && (!errors.As(err, &e) || !e.Executed || e.Addr != "a" || !errors.Is(err, errSilent)) {
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

// TestLongCall: a replica that works for an hour on a call, and one on nothing, stay connected.
func TestLongCall(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newMemNet()
		h := serveMem(t, n, "a", ServerOptions{Lookup: handlers{1: func(context.Context, *Incoming) Reply {
			<-time.After(time.Hour)
			return Reply{}
		}}.lookup})
		p := memPool(t, n, PoolOptions{}, "a")
		mustCall(t, p, &Request{Method: codegen.Key{1}})
		sent := p.Stats().BytesOut
		<-time.After(time.Hour)
		if s := p.Stats(); s.Connections != 1 || h.Stats().Connections != 1 || s.Retries != 0 {
			t.Errorf("stats %+v", s)
		}
		// One PING a minute from each end at most, and the answers.
		if idle := p.Stats().BytesOut - sent; idle > 60*2*24 {
			t.Errorf("an idle hour costs %d bytes", idle)
		}
	})
}

// TestSilentCaller: the server drops callers of which nothing is heard, busy or idle.
func TestSilentCaller(t *testing.T) {
	for _, busy := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			n := newMemNet()
			var log lines
			ended := make(chan error, 1)
			h := serveMem(t, n, "a", ServerOptions{Logger: log.logger(), Lookup: handlers{1: func(ctx context.Context, _ *Incoming) Reply {
				<-ctx.Done()
				ended <- ctx.Err()
				return Reply{}
			}}.lookup})
			nc := connect(t, n, "a")
			if busy {
				nc.Write(wire.AppendBind(nil, 0, codegen.Key{1}))
				nc.Write(wire.Header{Call: 1, Type: wire.TypeRequest}.Append(nil))
			}
			start := time.Now()
			synctest.Wait()
			if h.Stats().Connections != 1 {
				t.Fatalf("stats %+v", h.Stats())
			}
			for h.Stats().Connections > 0 && time.Since(start) < time.Hour {
				<-time.After(100 * time.Millisecond)
			}
			synctest.Wait()
			if busy {
				within(t, "dropping a silent caller", time.Since(start), 5*time.Second, 6200*time.Millisecond)
				<-ended
			} else {
				within(t, "dropping an idle caller", time.Since(start), 63*time.Second, 65*time.Second)
			}
			if text := log.String(); strings.Count(text, "\n") != 1 || !strings.Contains(text, "does not answer") {
				t.Errorf("log: %s", text)
			}
		})
	}
}

// TestHandshakeDeadline: who does not get through the handshakes in time is turned away.
func TestHandshakeDeadline(t *testing.T) {
	preface := wire.AppendPreface(nil, 1, 1)
	for name, first := range map[string][]byte{"nothing": nil, "half a preface": preface[:5], "no HELLO": preface, "half a header": append(preface, 1, 2, 3)} {
		synctest.Test(t, func(t *testing.T) {
			n := newMemNet()
			h := serveMem(t, n, "a", ServerOptions{})
			nc, err := n.dial(t.Context(), "a")
			if err != nil {
				t.Fatal(err)
			}
			defer nc.Close()
			start := time.Now()
			nc.Write(first)
			buf := make([]byte, 1000)
			for err == nil {
				_, err = nc.Read(buf)
			}
			within(t, name, time.Since(start), 10*time.Second, 10*time.Second)
			synctest.Wait()
			if h.Stats().Refused != 1 {
				t.Errorf("stats %+v", h.Stats())
			}
		})
	}
}

// TestHandshakeBounds: until the preface has proved good, no more than its eight bytes are
// read, and only four of what is none.
func TestHandshakeBounds(t *testing.T) {
	o := Options{}.withDefaults()
	for first, left := range map[string]int{"GET / HTTP/1.1\r\n": 12, "DVS1\x02\x00\x03\x00more": 4} {
		near, far := memPipe(1<<10, "a", "b")
		near.Write([]byte(first))
		if _, err := welcome(far, &o); err == nil {
			t.Errorf("%q is welcome", first)
		}
		if got := len(far.in.buf); got != left {
			t.Errorf("%q: %d bytes are left unread, want %d", first, got, left)
		}
	}
}

// TestSlowReader: a caller that does not read what it asked for costs its connection, in time
// and without filling the memory.
func TestSlowReader(t *testing.T) {
	for name, reply := range map[string]int{"short answers": 60_000, "long answers": 3_000_000} {
		synctest.Test(t, func(t *testing.T) {
			n := newMemNet()
			var log lines
			h := serveMem(t, n, "a", ServerOptions{Logger: log.logger(), Lookup: handlers{
				1: echo, 2: func(context.Context, *Incoming) Reply { return Reply{Body: make([]byte, reply)} },
			}.lookup})
			nc := connect(t, n, "a")
			nc.Write(wire.AppendBind(nil, 0, codegen.Key{2}))
			for i := range uint32(500) {
				nc.Write(wire.Header{Call: i + 1, Type: wire.TypeRequest}.Append(nil))
			}
			p := memPool(t, n, PoolOptions{}, "a")
			start := time.Now()
			for range 100 {
				mustCall(t, p, &Request{Method: codegen.Key{1}, Args: make([]byte, 100)})
			}
			h.mu.Lock()
			for ss := range h.sessions {
				ss.w.mu.Lock()
				if ss.w.queued > 5<<20 {
					t.Errorf("%s: %d bytes are queued", name, ss.w.queued)
				}
				ss.w.mu.Unlock()
			}
			h.mu.Unlock()
			if time.Since(start) != 0 {
				t.Errorf("%s: others waited %v", name, time.Since(start))
			}
			for h.Stats().Connections > 1 && time.Since(start) < time.Hour {
				<-time.After(100 * time.Millisecond)
			}
			// It answers no PING either, so that may be what ends it.
			within(t, name, time.Since(start), 5*time.Second, 12*time.Second)
			synctest.Wait()
			if s := h.Stats(); s.InFlight != 0 || strings.Count(log.String(), "\n") != 1 {
				t.Errorf("%s: stats %+v, log %s", name, s, log.String())
			}
			mustCall(t, p, &Request{Method: codegen.Key{1}})
		})
	}
}

// TestSlowReaderWhoAnswers: the same, with a caller that sends frames all the time.
func TestSlowReaderWhoTalks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newMemNet()
		var log lines
		h := serveMem(t, n, "a", ServerOptions{Logger: log.logger(), Lookup: handlers{2: func(context.Context, *Incoming) Reply {
			return Reply{Body: make([]byte, 60_000)}
		}}.lookup})
		nc := connect(t, n, "a")
		nc.Write(wire.AppendBind(nil, 0, codegen.Key{2}))
		nc.Write(wire.Header{Call: 1, Type: wire.TypeRequest}.Append(nil))
		nc.Write(wire.Header{Call: 2, Type: wire.TypeRequest}.Append(nil))
		start := time.Now()
		var err error
		for err == nil && time.Since(start) < time.Hour {
			<-time.After(time.Second)
			_, err = nc.Write(wire.AppendPing(nil, wire.TypePing, [8]byte{}))
		}
		within(t, "dropping it", time.Since(start), 10*time.Second, 13*time.Second)
		synctest.Wait()
		if text := log.String(); h.Stats().Connections != 0 || !strings.Contains(text, "takes no data") {
			t.Errorf("log: %s", text)
		}
	})
}

// TestPingFlood: control frames that the peer causes and does not read end the connection.
func TestPingFlood(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newMemNet()
		h := serveMem(t, n, "a", ServerOptions{Conn: Options{MaxQueue: 256 << 10}})
		nc := connect(t, n, "a")
		var flood []byte
		for range 1000 {
			flood = wire.AppendPing(flood, wire.TypePing, [8]byte{})
		}
		sent := 0
		for {
			n, err := nc.Write(flood)
			if sent += n; err != nil || sent > 4<<20 {
				break
			}
		}
		if synctest.Wait(); sent > 1<<20 || h.Stats().Connections != 0 {
			t.Errorf("%d bytes of PING were taken, stats %+v", sent, h.Stats())
		}
	})
}

// TestNoReplica: a call waits for a replica to come, but not for ever.
func TestNoReplica(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newMemNet()
		p := memPool(t, n, PoolOptions{})
		for _, addrs := range [][]string{nil, {"a"}} {
			p.SetReplicas(addrs)
			start := time.Now()
			_, err := p.Call(context.Background(), &Request{Method: codegen.Key{1}})
			var e *Error
			if !errors.As(err, &e) || e.Executed || !errors.Is(err, ErrNoReplica) {
				t.Errorf("without a deadline: %v", err)
			}
			if addrs != nil && !strings.Contains(err.Error(), "dial mem a") {
				t.Errorf("the error does not say why: %v", err)
			}
			within(t, "giving up", time.Since(start), 30*time.Second, 32*time.Second)

			start = time.Now()
			ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
			_, err = p.Call(ctx, &Request{Method: codegen.Key{1}})
			if !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), ErrNoReplica.Error()) {
				t.Errorf("with a deadline: %v", err)
			}
			within(t, "waiting for the deadline", time.Since(start), 5*time.Second, 5*time.Second)
			cancel()
		}
		done := make(chan error)
		start := time.Now()
		go func() {
			_, err := p.Call(context.Background(), &Request{Method: codegen.Key{1}})
			done <- err
		}()
		<-time.After(20 * time.Second)
		serveMem(t, n, "a", ServerOptions{Lookup: handlers{1: echo}.lookup})
		if err := <-done; err != nil {
			t.Error(err)
		}
		within(t, "finding it", time.Since(start), 20*time.Second, 26*time.Second)
	})
}

// TestOverload: refused calls are made again within the budget, and slowly beyond it.
func TestOverload(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newMemNet()
		h := serveMem(t, n, "a", ServerOptions{MaxInFlight: -1})
		p := memPool(t, n, PoolOptions{}, "a")
		const calls = 200
		var wg sync.WaitGroup
		for range calls {
			wg.Go(func() {
				ctx, cancel := context.WithTimeout(t.Context(), 4*time.Second)
				defer cancel()
				if _, err := p.Call(ctx, &Request{Method: codegen.Key{1}}); !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), "OVERLOADED") {
					t.Errorf("%v", err)
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
		reply, err := p.Call(context.Background(), &Request{Method: codegen.Key{1}})
		if reply.Status != codegen.StatusOverloaded || err != nil {
			t.Errorf("%v, %v", reply.Status, err)
		}
		within(t, "giving up", time.Since(start), 30*time.Second, 32*time.Second)
	})
}

// TestOneLineAMinute: a peer that keeps being refused is logged once a minute.
func TestOneLineAMinute(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newMemNet()
		var log lines
		h := serveMem(t, n, "a", ServerOptions{Logger: log.logger()})
		for range 180 {
			nc, err := n.dial(t.Context(), "a")
			if err != nil {
				t.Fatal(err)
			}
			nc.Write([]byte("GET / HTTP/1.1\r\n\r\n"))
			nc.Read(make([]byte, 10))
			nc.Close()
			<-time.After(time.Second)
		}
		text := log.String()
		if lines := strings.Count(text, "\n"); lines != 3 || h.Stats().Refused != 180 {
			t.Errorf("%d lines for %d refusals: %s", lines, h.Stats().Refused, text)
		}
		if !strings.Contains(text, "unlogged=59") || !strings.Contains(text, "peer=client") {
			t.Errorf("log: %s", text)
		}
		for i := range 2000 {
			h.refused.add(fmt.Sprint("host-", i), "a connection was refused", ErrClosed)
		}
		if len(h.refused.peers) > refusalPeers+1 {
			t.Errorf("the table has %d peers", len(h.refused.peers))
		}
		if lines := strings.Count(log.String(), "\n"); lines > 3+refusalPeers+1 {
			t.Errorf("%d lines", lines)
		}
	})
}

// flakyListener fails before it accepts.
type flakyListener struct {
	*memListener
	failures int
}

func (l *flakyListener) Accept() (net.Conn, error) {
	if l.failures > 0 {
		l.failures--
		return nil, errors.New("too many open files")
	}
	return l.memListener.Accept()
}

func TestAcceptErrors(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newMemNet()
		var log lines
		serve(t, &flakyListener{n.listen("a"), 12}, ServerOptions{Logger: log.logger(), Lookup: handlers{1: echo}.lookup})
		start := time.Now()
		p := memPool(t, n, PoolOptions{}, "a")
		mustCall(t, p, &Request{Method: codegen.Key{1}})
		within(t, "12 failures", time.Since(start), 4*time.Second, 8*time.Second)
		if lines := strings.Count(log.String(), "too many open files"); lines != 1 {
			t.Errorf("log: %s", log.String())
		}
		err := NewServer(ServerOptions{}).Serve(t.Context(), &flakyListener{n.listen("b"), 1000})
		if err == nil || !strings.Contains(err.Error(), "too many open files") {
			t.Errorf("a listener that never recovers: %v", err)
		}
	})
}

// TestWatchAfterAStop: when this process itself stood still, the peer is given its time again.
func TestWatchAfterAStop(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		near, _ := memPipe(1<<10, "a", "b")
		o := Options{}.withDefaults()
		var l link
		l.init(near, &o, wire.Hello{Window: 1 << 20}, func() int { return 1 })
		defer l.fail(ErrClosed)
		now := time.Now()
		judge := func(after time.Duration) (wire.Type, error) {
			l.watch.mu.Lock()
			defer l.watch.mu.Unlock()
			l.watch.due = now.Add(after)
			return l.watch.judge(&l, now.Add(after))
		}
		if say, err := judge(2 * time.Second); say != wire.TypePing || err != nil {
			t.Fatalf("%v, %v", say, err)
		}
		l.watch.due = now.Add(3 * time.Second)
		l.watch.mu.Lock()
		_, err := l.watch.judge(&l, now.Add(time.Hour))
		l.watch.mu.Unlock()
		if err != nil {
			t.Fatalf("after an hour's stop: %v", err)
		}
		if say, err := judge(time.Hour + 2*time.Second); say != wire.TypePing || err != nil {
			t.Fatalf("%v, %v", say, err)
		}
		if _, err := judge(time.Hour + 5*time.Second); !errors.Is(err, errSilent) {
			t.Fatalf("no answer: %v", err)
		}
	})
}

// slowly copies from one end to the other, 2 KB in 100 ms.
func slowly(to, from net.Conn) {
	b := make([]byte, 2<<10)
	for {
		n, err := from.Read(b)
		if err == nil {
			<-time.After(100 * time.Millisecond)
			_, err = to.Write(b[:n])
		}
		if err != nil {
			to.Close()
			from.Close()
			return
		}
	}
}

// TestSlowLink: a link over which bytes flow is not cut, however long a message takes.
func TestSlowLink(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newMemNet()
		serveMem(t, n, "a", ServerOptions{Lookup: handlers{1: echo}.lookup})
		var copies sync.WaitGroup
		p := newPool(t, PoolOptions{Dial: func(ctx context.Context, addr string) (net.Conn, error) {
			nc, err := n.dial(ctx, addr)
			if err != nil {
				return nil, err
			}
			near, far := memPipe(16<<10, "near", "far")
			copies.Go(func() { slowly(nc, far) })
			copies.Go(func() { slowly(far, nc) })
			return near, nil
		}})
		p.SetReplicas([]string{"a"})

		start := time.Now()
		mustCall(t, p, &Request{Method: codegen.Key{1}, Args: make([]byte, 400_000)})
		within(t, "400 KB there and back", time.Since(start), 38*time.Second, 60*time.Second)
		if s := p.Stats(); s.Retries != 0 || s.Connections != 1 {
			t.Errorf("stats %+v", s)
		}
		p.Close()
		copies.Wait()
	})
}

// TestOtherDeployment: processes of two deployments do not call each other.
func TestOtherDeployment(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newMemNet()
		var log lines
		h := serveMem(t, n, "a", ServerOptions{
			Lookup: handlers{1: echo}.lookup, Logger: log.logger(), Conn: Options{Deployment: "d1", Weavelet: "cart-0"},
		})
		for deployment, refused := range map[string]bool{"d1": false, "": false, "d2": true} {
			p := memPool(t, n, PoolOptions{Conn: Options{Deployment: deployment, Weavelet: "main-0"}}, "a")
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			_, err := p.Call(ctx, &Request{Method: codegen.Key{1}})
			cancel()
			if refused != (err != nil) || refused && !strings.Contains(err.Error(), `"cart-0" is of deployment d1`) {
				t.Errorf("a caller of deployment %q: %v", deployment, err)
			}
		}
		if h.Stats().Calls != 2 {
			t.Errorf("%d calls were executed", h.Stats().Calls)
		}
	})
}
