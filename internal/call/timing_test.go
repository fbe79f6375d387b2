package call_test

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
	"github.com/divisi-go/divisi/internal/call"
	"github.com/divisi-go/divisi/internal/call/balance"
	"github.com/divisi-go/divisi/internal/call/calltest"
	"github.com/divisi-go/divisi/internal/call/link"
	"github.com/divisi-go/divisi/internal/call/memnet"
	"github.com/divisi-go/divisi/internal/wire"
)

func memPool(t *testing.T, n *memnet.Network, o balance.PoolOptions, addrs ...string) *balance.Pool {
	o.Dial = n.Dial
	p := newPool(t, o)
	p.SetReplicas(addrs)
	return p
}

// connect does the dialler's handshake and returns the bare connection.
func connect(t *testing.T, n *memnet.Network, addr string) net.Conn {
	nc, err := n.Dial(t.Context(), addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { nc.Close() })
	o := link.Options{}.WithDefaults()
	if _, err := link.Greet(nc, &o); err != nil {
		t.Fatal(err)
	}
	return nc
}

// TestLongCall: a replica that works for an hour on a call, and one on nothing, stay connected.
func TestLongCall(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := memnet.New()
		h := calltest.ServeMem(t, n, "a", call.ServerOptions{Lookup: calltest.Handlers{1: func(context.Context, *call.Incoming) call.Reply {
			<-time.After(time.Hour)
			return call.Reply{}
		}}.Lookup})
		p := memPool(t, n, balance.PoolOptions{}, "a")
		calltest.MustCall(t, p, &call.Request{Method: codegen.Key{1}})
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
			n := memnet.New()
			var log calltest.Log
			ended := make(chan error, 1)
			h := calltest.ServeMem(t, n, "a", call.ServerOptions{Logger: log.Logger(), Lookup: calltest.Handlers{1: func(ctx context.Context, _ *call.Incoming) call.Reply {
				<-ctx.Done()
				ended <- ctx.Err()
				return call.Reply{}
			}}.Lookup})
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
				calltest.Within(t, "dropping a silent caller", time.Since(start), 10*time.Second, 11200*time.Millisecond)
				<-ended
			} else {
				calltest.Within(t, "dropping an idle caller", time.Since(start), 68*time.Second, 70*time.Second)
			}
			if text := log.String(); strings.Count(text, "\n") != 1 || !strings.Contains(text, "does not answer") {
				t.Errorf("log: %s", text)
			}
		})
	}
}

// TestSignOfLife: a replica with a call in flight says PONG without being asked, for its reader may have too much to
// do to answer a PING in time.
func TestSignOfLife(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := memnet.New()
		calltest.ServeMem(t, n, "a", call.ServerOptions{Lookup: calltest.Handlers{1: func(ctx context.Context, _ *call.Incoming) call.Reply {
			<-ctx.Done()
			return call.Reply{}
		}}.Lookup})
		nc := connect(t, n, "a")
		nc.Write(wire.AppendBind(nil, 0, codegen.Key{1}))
		nc.Write(wire.Header{Call: 1, Type: wire.TypeRequest}.Append(nil))

		said, last := 0, time.Now()
		for frames := wire.NewReader(nc); ; {
			f, err := frames.Next()
			if err != nil || f.Type == wire.TypeGoAway {
				break
			}
			if f.Type == wire.TypePong {
				said++
			}
			calltest.Within(t, "a sign of life", time.Since(last), 0, 3*time.Second)
			last = time.Now()
		}
		if said < 4 {
			t.Errorf("it says PONG %d times in 10 s", said)
		}
	})
}

// TestHandshakeDeadline: who does not get through the handshakes in time is turned away.
func TestHandshakeDeadline(t *testing.T) {
	preface := wire.AppendPreface(nil, 1, 1)
	for name, first := range map[string][]byte{"nothing": nil, "half a preface": preface[:5], "no HELLO": preface, "half a header": append(preface, 1, 2, 3)} {
		synctest.Test(t, func(t *testing.T) {
			n := memnet.New()
			h := calltest.ServeMem(t, n, "a", call.ServerOptions{})
			nc, err := n.Dial(t.Context(), "a")
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
			calltest.Within(t, name, time.Since(start), 10*time.Second, 10*time.Second)
			synctest.Wait()
			if h.Stats().Refused != 1 {
				t.Errorf("stats %+v", h.Stats())
			}
		})
	}
}

// TestSlowReader: a caller that does not read what it asked for costs its connection, in time
// and disturbs nobody.
func TestSlowReader(t *testing.T) {
	for name, reply := range map[string]int{"short answers": 60_000, "long answers": 3_000_000} {
		synctest.Test(t, func(t *testing.T) {
			n := memnet.New()
			var log calltest.Log
			h := calltest.ServeMem(t, n, "a", call.ServerOptions{Logger: log.Logger(), Lookup: calltest.Handlers{
				1: calltest.Echo, 2: func(context.Context, *call.Incoming) call.Reply { return call.Reply{Body: make([]byte, reply)} },
			}.Lookup})
			nc := connect(t, n, "a")
			nc.Write(wire.AppendBind(nil, 0, codegen.Key{2}))
			for i := range uint32(500) {
				nc.Write(wire.Header{Call: i + 1, Type: wire.TypeRequest}.Append(nil))
			}
			p := memPool(t, n, balance.PoolOptions{}, "a")
			start := time.Now()
			for range 100 {
				calltest.MustCall(t, p, &call.Request{Method: codegen.Key{1}, Args: make([]byte, 100)})
			}
			if time.Since(start) != 0 {
				t.Errorf("%s: others waited %v", name, time.Since(start))
			}
			for h.Stats().Connections > 1 && time.Since(start) < time.Hour {
				<-time.After(100 * time.Millisecond)
			}
			// It answers no PING either, so that may be what ends it.
			calltest.Within(t, name, time.Since(start), 5*time.Second, 12*time.Second)
			synctest.Wait()
			if s := h.Stats(); s.InFlight != 0 || strings.Count(log.String(), "\n") != 1 {
				t.Errorf("%s: stats %+v, log %s", name, s, log.String())
			}
			calltest.MustCall(t, p, &call.Request{Method: codegen.Key{1}})
		})
	}
}

// TestSlowReaderWhoAnswers: the same, with a caller that sends frames all the time.
func TestSlowReaderWhoTalks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := memnet.New()
		var log calltest.Log
		h := calltest.ServeMem(t, n, "a", call.ServerOptions{Logger: log.Logger(), Lookup: calltest.Handlers{2: func(context.Context, *call.Incoming) call.Reply {
			return call.Reply{Body: make([]byte, 60_000)}
		}}.Lookup})
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
		calltest.Within(t, "dropping it", time.Since(start), 10*time.Second, 13*time.Second)
		synctest.Wait()
		if text := log.String(); h.Stats().Connections != 0 || !strings.Contains(text, "takes no data") {
			t.Errorf("log: %s", text)
		}
	})
}

// TestPingFlood: control frames that the peer causes and does not read end the connection.
func TestPingFlood(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := memnet.New()
		h := calltest.ServeMem(t, n, "a", call.ServerOptions{Conn: link.Options{MaxQueue: 256 << 10}})
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

// TestOneLineAMinute: a peer that keeps being refused is logged once a minute.
func TestOneLineAMinute(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := memnet.New()
		var log calltest.Log
		h := calltest.ServeMem(t, n, "a", call.ServerOptions{Logger: log.Logger()})
		for range 180 {
			nc, err := n.Dial(t.Context(), "a")
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
			h.Refuse(fmt.Sprint("host-", i), "a connection was refused", call.ErrClosed)
		}
		if h.RefusedPeers() > call.RefusalPeers+1 {
			t.Errorf("the table has %d peers", h.RefusedPeers())
		}
		if lines := strings.Count(log.String(), "\n"); lines > 3+call.RefusalPeers+1 {
			t.Errorf("%d lines", lines)
		}
	})
}

// flakyListener fails before it accepts.
type flakyListener struct {
	*memnet.Listener
	failures int
}

func (l *flakyListener) Accept() (net.Conn, error) {
	if l.failures > 0 {
		l.failures--
		return nil, errors.New("too many open files")
	}
	return l.Listener.Accept()
}

func TestAcceptErrors(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := memnet.New()
		var log calltest.Log
		calltest.Serve(t, &flakyListener{n.Listen("a"), 12}, call.ServerOptions{Logger: log.Logger(), Lookup: calltest.Handlers{1: calltest.Echo}.Lookup})
		start := time.Now()
		p := memPool(t, n, balance.PoolOptions{}, "a")
		calltest.MustCall(t, p, &call.Request{Method: codegen.Key{1}})
		calltest.Within(t, "12 failures", time.Since(start), 4*time.Second, 8*time.Second)
		if lines := strings.Count(log.String(), "too many open files"); lines != 1 {
			t.Errorf("log: %s", log.String())
		}
		err := call.NewServer(call.ServerOptions{}).Serve(t.Context(), &flakyListener{n.Listen("b"), 1000})
		if err == nil || !strings.Contains(err.Error(), "too many open files") {
			t.Errorf("a listener that never recovers: %v", err)
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
		n := memnet.New()
		calltest.ServeMem(t, n, "a", call.ServerOptions{Lookup: calltest.Handlers{1: calltest.Echo}.Lookup})
		var copies sync.WaitGroup
		p := newPool(t, balance.PoolOptions{Dial: func(ctx context.Context, addr string) (net.Conn, error) {
			nc, err := n.Dial(ctx, addr)
			if err != nil {
				return nil, err
			}
			near, far := memnet.Pipe(16<<10, "near", "far")
			copies.Go(func() { slowly(nc, far) })
			copies.Go(func() { slowly(far, nc) })
			return near, nil
		}})
		p.SetReplicas([]string{"a"})

		start := time.Now()
		calltest.MustCall(t, p, &call.Request{Method: codegen.Key{1}, Args: make([]byte, 400_000)})
		calltest.Within(t, "400 KB there and back", time.Since(start), 38*time.Second, 60*time.Second)
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
		n := memnet.New()
		var log calltest.Log
		h := calltest.ServeMem(t, n, "a", call.ServerOptions{
			Lookup: calltest.Handlers{1: calltest.Echo}.Lookup, Logger: log.Logger(), Conn: link.Options{Deployment: "d1", Weavelet: "cart-0"},
		})
		for deployment, refused := range map[string]bool{"d1": false, "": false, "d2": true} {
			p := memPool(t, n, balance.PoolOptions{Conn: link.Options{Deployment: deployment, Weavelet: "main-0"}}, "a")
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			_, err := p.Call(ctx, &call.Request{Method: codegen.Key{1}})
			cancel()
			if refused != (err != nil) || refused && !strings.Contains(err.Error(), `"cart-0" is of deployment d1`) {
				t.Errorf("a caller of deployment %q: %v", deployment, err)
			}
			if refused != (p.Stats().Refused > 0) {
				t.Errorf("a caller of deployment %q has refused %d connections", deployment, p.Stats().Refused)
			}
		}
		if h.Stats().Calls != 2 || h.Stats().Refused == 0 {
			t.Errorf("%d calls were executed, and %d connections refused", h.Stats().Calls, h.Stats().Refused)
		}
	})
}

// TestRecycledAddress: where the address of a replica has passed to another deployment, calls go to the
// other replicas, with keys and without.
func TestRecycledAddress(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := memnet.New()
		serve := func(addr, deployment string) *calltest.Host {
			return calltest.ServeMem(t, n, addr, call.ServerOptions{
				Lookup: calltest.Handlers{1: calltest.Echo}.Lookup, Conn: link.Options{Deployment: deployment},
			})
		}
		ours, theirs := serve("a", "d1"), serve("b", "d2")
		p := memPool(t, n, balance.PoolOptions{Conn: link.Options{Deployment: "d1"}}, "a", "b")
		const calls = 200
		for shard := range uint64(calls) {
			if _, err := p.Call(t.Context(), &call.Request{Method: codegen.Key{1}, Routed: shard%2 == 0, Shard: shard << 56}); err != nil {
				t.Fatal(err)
			}
		}
		if ours.Stats().Calls != calls || theirs.Stats().Calls != 0 || p.Stats().Refused == 0 {
			t.Errorf("%d calls here, %d there, %d connections refused", ours.Stats().Calls, theirs.Stats().Calls, p.Stats().Refused)
		}
	})
}

// TestBackAgain: a replica that was gone for long is called soon after it is back at its address.
func TestBackAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := memnet.New()
		echo := call.ServerOptions{Lookup: calltest.Handlers{1: calltest.Echo}.Lookup}
		for _, addr := range []string{"a", "b"} {
			calltest.ServeMem(t, n, addr, echo)
		}
		p := memPool(t, n, balance.PoolOptions{}, "a", "b", "c")
		callFor := func(d time.Duration) {
			for end := time.Now().Add(d); time.Now().Before(end); time.Sleep(100 * time.Millisecond) {
				calltest.MustCall(t, p, &call.Request{Method: codegen.Key{1}})
			}
		}
		callFor(10 * time.Minute)
		back := calltest.ServeMem(t, n, "c", echo)
		callFor(10 * time.Second)
		if back.Stats().Calls == 0 {
			t.Error("it is not called")
		}
	})
}
