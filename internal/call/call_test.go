package call_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"net"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/divisi-go/divisi/codegen"
	"github.com/divisi-go/divisi/internal/call"
	"github.com/divisi-go/divisi/internal/call/balance"
	"github.com/divisi-go/divisi/internal/call/calltest"
	"github.com/divisi-go/divisi/internal/call/link"
	"github.com/divisi-go/divisi/internal/trace"
)

// newPool returns a Pool of the hosts.
func newPool(t testing.TB, o balance.PoolOptions, hosts ...*calltest.Host) *balance.Pool {
	p := balance.NewPool(o)
	t.Cleanup(func() { p.Close() })
	var addrs []string
	for _, h := range hosts {
		addrs = append(addrs, h.Addr)
	}
	p.SetReplicas(addrs)
	return p
}

// dial returns a client of the host, which needs no TLS.
func dial(t testing.TB, h *calltest.Host) *call.Client {
	nc, err := link.Dial(t.Context(), h.Addr, nil)
	if err != nil {
		t.Fatal(err)
	}
	return converse(t, nc, h.Addr)
}

// converse returns the client at one end of a connection.
func converse(t testing.TB, nc net.Conn, addr string) *call.Client {
	o := link.Options{}.WithDefaults()
	c, err := call.NewClient(t.Context(), nc, addr, &o)
	if err != nil {
		t.Fatal(err)
	}
	var reading sync.WaitGroup
	reading.Go(func() { c.Run() })
	t.Cleanup(func() {
		c.Close()
		reading.Wait()
	})
	return c
}

func TestCall(t *testing.T) {
	for _, addr := range []string{"tcp://localhost:0", "unix://" + filepath.Join(t.TempDir(), "s")} {
		l, err := link.Listen(addr)
		if err != nil {
			t.Fatal(err)
		}
		var peer call.Peer
		h := calltest.Serve(t, l, call.ServerOptions{
			Lookup: calltest.Handlers{1: calltest.Echo, 2: func(ctx context.Context, in *call.Incoming) call.Reply {
				peer = *in.Peer
				_, bounded := ctx.Deadline()
				return call.Reply{Status: codegen.StatusAppError, Body: fmt.Appendf(nil, "%x %v %v %v", in.Method[:2], in.Trace, in.Meta, bounded)}
			}}.Lookup,
		})
		p := newPool(t, balance.PoolOptions{Conn: link.Options{Deployment: "b1", Weavelet: "w1"}}, h)
		for _, args := range []string{"", "x", strings.Repeat("y", 64<<10), strings.Repeat("z", 64<<10+1), strings.Repeat("0123456789", 100_000)} {
			if got := calltest.MustCall(t, p, &call.Request{Method: codegen.Key{1}, Args: []byte(args)}); string(got) != args {
				t.Fatalf("%d bytes come back as %d", len(args), len(got))
			}
		}
		reply, err := p.Call(context.Background(), &call.Request{
			Method: codegen.Key{2, 3}, Trace: trace.SpanContext{TraceID: [16]byte{1}, Flags: 1}, Meta: map[string]string{"a": "b"},
		})
		want := "0203 {01000000000000000000000000000000 0000000000000000 1} map[a:b] false"
		if reply.Status != codegen.StatusAppError || string(reply.Body) != want || err != nil {
			t.Errorf("%v %q, %v; want %q", reply.Status, reply.Body, err, want)
		}
		if peer.Deployment != "b1" || peer.Weavelet != "w1" || peer.Rights != nil || l.Addr().Network() == "tcp" && peer.Addr == "" {
			t.Errorf("peer %+v", peer)
		}
		calltest.Eventually(t, "both ends count the same bytes", func() bool {
			return p.Stats().BytesOut == h.Stats().BytesIn && p.Stats().BytesIn == h.Stats().BytesOut
		})
		client, server := p.Stats(), h.Stats()
		if client.Calls != 6 || client.Errors != 0 || client.Connections != 1 || client.InFlight != 0 || server.Calls != 6 ||
			server.BytesIn < 1_000_000 {
			t.Errorf("stats %+v and %+v", client, server)
		}
	}
}

func TestStatuses(t *testing.T) {
	var log calltest.Log
	h := calltest.ServeUnix(t, call.ServerOptions{
		Conn: link.Options{MaxMessage: 100_000}, Logger: log.Logger(),
		Lookup: calltest.Handlers{
			1: calltest.Echo,
			2: func(context.Context, *call.Incoming) call.Reply { panic("boom at noon") },
			3: func(context.Context, *call.Incoming) call.Reply { return call.Reply{Body: make([]byte, 200_001)} },
			4: func(context.Context, *call.Incoming) call.Reply {
				return call.Reply{Status: codegen.StatusCancelled, Body: nil}
			},
		}.Lookup,
	})
	p := newPool(t, balance.PoolOptions{Conn: link.Options{MaxMessage: 200_000}}, h)
	for _, c := range []struct {
		name   string
		r      call.Request
		status codegen.Status
		text   string
	}{
		{"panic", call.Request{Method: codegen.Key{2}}, codegen.StatusPanic, "boom at noon"},
		{"unknown method", call.Request{Method: codegen.Key{9}}, codegen.StatusUnimplemented, "no method 09000000000000000000000000000000"},
		{"request over the limit", call.Request{Method: codegen.Key{1}, Args: make([]byte, 100_001)}, codegen.StatusBadArgs, "a request of 100001 bytes exceeds the replica's limit of 100000"},
		{"result over the limit", call.Request{Method: codegen.Key{3}}, codegen.StatusBadArgs, "a result of 200001 bytes exceeds the caller's limit of 200000"},
		{"metadata over the limit", call.Request{Method: codegen.Key{1}, Meta: map[string]string{"k": strings.Repeat("v", 1<<16)}}, codegen.StatusBadArgs, "metadata"},
		{"status of the handler", call.Request{Method: codegen.Key{4}}, codegen.StatusCancelled, ""},
	} {
		reply, err := p.Call(t.Context(), &c.r)
		if reply.Status != c.status || !strings.Contains(string(reply.Body), c.text) || err != nil {
			t.Errorf("%s: %v %q, %v", c.name, reply.Status, reply.Body, err)
		}
	}
	if calltest.MustCall(t, p, &call.Request{Method: codegen.Key{1}}); p.Stats().Connections != 1 || h.Stats().Errors != 4 {
		t.Errorf("stats %+v and %+v", p.Stats(), h.Stats())
	}
	if text := log.String(); strings.Count(text, "\n") != 1 || !strings.Contains(text, "boom at noon") || !strings.Contains(text, "TestStatuses") {
		t.Errorf("the log of a panic: %s", text)
	}
}

// TestOverLimitMessages sends what a well-behaved peer would not: the call is answered, the
// connection lives.
func TestOverLimitMessages(t *testing.T) {
	h := calltest.ServeUnix(t, call.ServerOptions{Conn: link.Options{MaxMessage: 100_000}, Lookup: calltest.Handlers{1: calltest.Echo}.Lookup})
	c := dial(t, h)
	calltest.MustCall(t, c, &call.Request{Method: codegen.Key{1}})
	c.Peer().MaxMessage = 1 << 40
	reply, err := c.Call(t.Context(), &call.Request{Method: codegen.Key{1}, Args: make([]byte, 1<<20)})
	if reply.Status != codegen.StatusBadArgs || !strings.Contains(string(reply.Body), "exceeds the replica's limit") || err != nil {
		t.Errorf("%v %q, %v", reply.Status, reply.Body, err)
	}
	for _, caller := range h.Callers() {
		caller.MaxMessage = 1 << 40
	}
	c.Options().MaxMessage = 70_000
	reply, err = c.Call(t.Context(), &call.Request{Method: codegen.Key{1}, Args: make([]byte, 80_000)})
	if reply.Status != codegen.StatusBadArgs || !strings.Contains(string(reply.Body), "exceeds the caller's limit") || err != nil {
		t.Errorf("%v %q, %v", reply.Status, reply.Body, err)
	}
	calltest.MustCall(t, c, &call.Request{Method: codegen.Key{1}, Args: make([]byte, 70_000)})
	calltest.Eventually(t, "the server forgets the refused calls", func() bool { return h.Unanswered() == 0 })
	if c.Cause() != nil || h.Stats().Connections != 1 {
		t.Error("the connection is gone")
	}
}

func TestDeadlineCrossesTheWire(t *testing.T) {
	left := make(chan time.Duration, 1)
	ended := make(chan error, 1)
	release := make(chan bool)
	h := calltest.ServeUnix(t, call.ServerOptions{Lookup: calltest.Handlers{1: func(ctx context.Context, in *call.Incoming) call.Reply {
		d, _ := ctx.Deadline()
		left <- time.Until(d)
		<-ctx.Done()
		ended <- ctx.Err()
		<-release
		return call.Reply{}
	}}.Lookup})
	defer close(release)
	p := newPool(t, balance.PoolOptions{}, h)
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	_, err := p.Call(ctx, &call.Request{Method: codegen.Key{1}})
	if !errors.Is(err, context.DeadlineExceeded) || errors.Is(err, call.ErrTransport) {
		t.Errorf("the caller gets %v", err)
	}
	if d := <-left; d <= 0 || d > 101*time.Millisecond {
		t.Errorf("the callee has %v left", d)
	}
	if err := <-ended; err == nil {
		t.Error("the callee's context has not ended")
	}
	if _, err := p.Call(ctx, &call.Request{Method: codegen.Key{1}}); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("after the deadline: %v", err)
	}
}

func TestCancelCrossesTheWire(t *testing.T) {
	started, ended := make(chan bool), make(chan error, 1)
	h := calltest.ServeUnix(t, call.ServerOptions{Lookup: calltest.Handlers{1: calltest.Echo, 2: func(ctx context.Context, in *call.Incoming) call.Reply {
		close(started)
		<-ctx.Done()
		ended <- ctx.Err()
		return call.Reply{Body: []byte("too late")}
	}}.Lookup})
	p := newPool(t, balance.PoolOptions{}, h)
	ctx, cancel := context.WithCancel(t.Context())
	go func() {
		<-started
		cancel()
	}()
	if _, err := p.Call(ctx, &call.Request{Method: codegen.Key{2}, Idempotent: true}); err != context.Canceled {
		t.Errorf("the caller gets %v", err)
	}
	if err := <-ended; err != context.Canceled {
		t.Errorf("the callee gets %v", err)
	}
	calltest.MustCall(t, p, &call.Request{Method: codegen.Key{1}})
}

// TestCancelOfHalfARequest cancels a call whose request has not left completely, because the
// server gives no credit for it.
func TestCancelOfHalfARequest(t *testing.T) {
	h := calltest.ServeUnix(t, call.ServerOptions{Conn: link.Options{MaxMessage: 1 << 20}, Lookup: calltest.Handlers{1: calltest.Echo}.Lookup})
	c := dial(t, h)
	calltest.MustCall(t, c, &call.Request{Method: codegen.Key{1}})
	c.Peer().MaxMessage = 1 << 40
	for i := range 50 {
		args := bytes.Repeat([]byte{byte(i)}, 1<<20-i)
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan bool)
		go func() {
			defer close(done)
			c.Call(ctx, &call.Request{Method: codegen.Key{1}, Args: args})
		}()
		if i%2 == 0 {
			calltest.Eventually(t, "the request is under way", func() bool {
				select {
				case <-done:
					return true
				default:
					return c.Pending() > 0
				}
			})
		}
		cancel()
		<-done
		clear(args) // ours again
	}
	want := bytes.Repeat([]byte("ok"), 300_000)
	if got := calltest.MustCall(t, c, &call.Request{Method: codegen.Key{1}, Args: want}); !bytes.Equal(got, want) {
		t.Error("a later call is damaged")
	}
	if n := h.Stats().Connections; n != 1 || c.Cause() != nil {
		t.Fatalf("%d connections", n)
	}
}

// TestBothWaysAtOnce fills the buffers of both directions: nobody who reads may wait for a
// write.
func TestBothWaysAtOnce(t *testing.T) {
	h := calltest.ServeUnix(t, call.ServerOptions{Lookup: calltest.Handlers{1: calltest.Echo}.Lookup})
	p := newPool(t, balance.PoolOptions{}, h)
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	var wg sync.WaitGroup
	for i := range 4 {
		wg.Go(func() {
			args := bytes.Repeat([]byte{byte(i)}, 1<<20)
			for j := range 4 {
				c := ctx
				if j%2 == 0 {
					c = context.Background() // writes itself
				}
				if reply, err := p.Call(c, &call.Request{Method: codegen.Key{1}, Args: args}); err != nil || !bytes.Equal(reply.Body, args) {
					t.Errorf("%v, %v", reply.Status, err)
					return
				}
			}
		})
	}
	wg.Wait()
}

func TestInFlightLimits(t *testing.T) {
	for name, o := range map[string]call.ServerOptions{
		"of a connection": {Conn: link.Options{MaxInFlight: 2}},
		"of the server":   {MaxInFlight: 2},
	} {
		release := make(chan bool)
		o.Lookup = calltest.Handlers{1: func(context.Context, *call.Incoming) call.Reply {
			<-release
			return call.Reply{}
		}}.Lookup
		h := calltest.ServeUnix(t, o)
		p := newPool(t, balance.PoolOptions{}, h)
		var wg sync.WaitGroup
		for range 2 {
			wg.Go(func() { p.Call(t.Context(), &call.Request{Method: codegen.Key{1}}) })
		}
		calltest.Eventually(t, "two calls run", func() bool { return h.Stats().InFlight == 2 })
		ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
		reply, err := p.Call(ctx, &call.Request{Method: codegen.Key{1}})
		if !errors.Is(err, context.DeadlineExceeded) && reply.Status != codegen.StatusOverloaded {
			t.Errorf("limit %s: %v, %v", name, reply.Status, err)
		}
		cancel()
		var third call.Reply
		wg.Go(func() { third, _ = p.Call(t.Context(), &call.Request{Method: codegen.Key{1}}) })
		close(release)
		wg.Wait()
		if third.Status != codegen.StatusOK {
			t.Errorf("limit %s: a call that waited gets %v", name, third.Status)
		}
	}
}

// TestServerKeepsLimits: the limits are also kept by the server, whatever a caller makes of them.
func TestServerKeepsLimits(t *testing.T) {
	for name, o := range map[string]call.ServerOptions{
		"of a connection": {Conn: link.Options{MaxInFlight: 2}},
		"of the server":   {MaxInFlight: 2},
	} {
		release := make(chan bool)
		o.Lookup = calltest.Handlers{1: func(context.Context, *call.Incoming) call.Reply {
			<-release
			return call.Reply{}
		}}.Lookup
		h := calltest.ServeUnix(t, o)
		c := dial(t, h)
		var wg sync.WaitGroup
		for range 2 {
			wg.Go(func() { calltest.MustCall(t, c, &call.Request{Method: codegen.Key{1}}) })
		}
		calltest.Eventually(t, "two calls run", func() bool { return h.Stats().InFlight == 2 })
		c.Exceed(10)
		if reply, err := c.Call(t.Context(), &call.Request{Method: codegen.Key{1}}); reply.Status != codegen.StatusOverloaded || err != nil {
			t.Errorf("limit %s: %v, %v", name, reply.Status, err)
		}
		close(release)
		wg.Wait()
	}
}

// TestCancelledStillCount: handlers that ignore their context use up the limit of the
// connection they came by, so that no peer gets the whole server by cancelling.
func TestCancelledStillCount(t *testing.T) {
	release := make(chan bool)
	h := calltest.ServeUnix(t, call.ServerOptions{Conn: link.Options{MaxInFlight: 2}, Lookup: calltest.Handlers{1: calltest.Echo, 2: func(context.Context, *call.Incoming) call.Reply {
		<-release
		return call.Reply{}
	}}.Lookup})
	c := dial(t, h)
	calltest.MustCall(t, c, &call.Request{Method: codegen.Key{1}})
	ctx, cancel := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	for range 2 {
		wg.Go(func() { c.Call(ctx, &call.Request{Method: codegen.Key{2}}) })
	}
	calltest.Eventually(t, "two calls run", func() bool { return h.Stats().InFlight == 2 })
	cancel()
	wg.Wait()
	if reply, err := c.Call(t.Context(), &call.Request{Method: codegen.Key{1}}); reply.Status != codegen.StatusOverloaded || err != nil {
		t.Errorf("%v, %v", reply.Status, err)
	}
	close(release)
	calltest.Eventually(t, "there is room again", func() bool {
		reply, err := c.Call(t.Context(), &call.Request{Method: codegen.Key{1}})
		return err == nil && reply.Status == codegen.StatusOK
	})
}

func TestErrorTexts(t *testing.T) {
	for err, want := range maps.All(map[error]string{
		&call.Error{Err: balance.ErrNoReplica}:                                     "cannot call: no replica is available",
		&call.Error{Addr: "a", Err: call.ErrClosed}:                                "cannot call a: closed (the call was not executed)",
		&call.Error{Addr: "a", Executed: true, Err: call.ErrClosed}:                "cannot call a: closed (the call may have been executed)",
		&codegen.StatusError{Status: codegen.StatusPanic, Text: "boom"}:            "the stream ended with PANIC: boom",
		&codegen.StatusError{Status: codegen.StatusAppError, Text: "\x00\x01\x02"}: "the stream ended with APP_ERROR",
		&codegen.StatusError{Status: 77}:                                           "the stream ended with status 77",
		&call.Error{Addr: "a", Executed: true, Err: context.Canceled}:              "cannot call a: context canceled (the call may have been executed)",
	}) {
		if err.Error() != want {
			t.Errorf("%q, want %q", err, want)
		}
		var e *call.Error
		if errors.As(err, &e) != errors.Is(err, call.ErrTransport) {
			t.Errorf("%v is ErrTransport: %v", err, errors.Is(err, call.ErrTransport))
		}
	}
}
