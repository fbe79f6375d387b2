package call

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/divisi-go/divisi/codegen"
	"github.com/divisi-go/divisi/internal/trace"
)

// handlers is a Lookup by the first byte of the key.
type handlers map[byte]Handler

func (h handlers) lookup(_ Peer, k codegen.Key) Handler { return h[k[0]] }

func echo(_ context.Context, in *Incoming) Reply { return Reply{Body: in.Args} }

// host is a server in a test.
type host struct {
	*Server
	addr string
	l    net.Listener
	stop func() // ends Serve and waits for it
}

// serve starts a server on l.
func serve(t testing.TB, l net.Listener, o ServerOptions) *host {
	t.Helper()
	s := NewServer(o)
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- s.Serve(ctx, l) }()
	stop := sync.OnceFunc(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("Serve: %v", err)
		}
	})
	t.Cleanup(stop)
	return &host{s, AddrOf(l, o.TLS != nil), l, stop}
}

// serveUnix starts a server on a Unix socket.
func serveUnix(t testing.TB, o ServerOptions) *host {
	t.Helper()
	l, err := Listen("unix://" + filepath.Join(t.TempDir(), "s"))
	if err != nil {
		t.Fatal(err)
	}
	return serve(t, l, o)
}

// newPool returns a Pool of the hosts.
func newPool(t testing.TB, o PoolOptions, hosts ...*host) *Pool {
	p := NewPool(o)
	t.Cleanup(func() { p.Close() })
	var addrs []string
	for _, h := range hosts {
		addrs = append(addrs, h.addr)
	}
	p.SetReplicas(addrs)
	return p
}

// lines is a log that a test can count.
type lines struct {
	mu   sync.Mutex
	text strings.Builder
}

func (l *lines) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(b)
}

func (l *lines) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

func (l *lines) logger() *slog.Logger { return slog.New(slog.NewTextHandler(l, nil)) }

// eventually waits until ok holds.
func eventually(t testing.TB, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(20 * time.Second); time.Now().Before(end); {
		if ok() {
			return
		}
		<-time.After(time.Millisecond)
	}
	t.Fatalf("not within 20 s: %s", what)
}

func mustCall(t testing.TB, p *Pool, r *Request) []byte {
	t.Helper()
	reply, err := p.Call(t.Context(), r)
	if err != nil || reply.Status != codegen.StatusOK {
		t.Fatalf("%v %q, %v", reply.Status, reply.Body, err)
	}
	return reply.Body
}

func TestCall(t *testing.T) {
	for _, addr := range []string{"tcp://localhost:0", "unix://" + filepath.Join(t.TempDir(), "s")} {
		l, err := Listen(addr)
		if err != nil {
			t.Fatal(err)
		}
		var peer Peer
		h := serve(t, l, ServerOptions{
			Lookup: handlers{1: echo, 2: func(ctx context.Context, in *Incoming) Reply {
				peer = in.Peer
				_, bounded := ctx.Deadline()
				return Reply{codegen.StatusAppError, fmt.Appendf(nil, "%x %v %v %v", in.Method[:2], in.Trace, in.Meta, bounded)}
			}}.lookup,
		})
		p := newPool(t, PoolOptions{Conn: Options{Deployment: "b1", Weavelet: "w1"}}, h)
		for _, args := range []string{"", "x", strings.Repeat("y", 64<<10), strings.Repeat("z", 64<<10+1), strings.Repeat("0123456789", 100_000)} {
			if got := mustCall(t, p, &Request{Method: codegen.Key{1}, Args: []byte(args)}); string(got) != args {
				t.Fatalf("%d bytes come back as %d", len(args), len(got))
			}
		}
		reply, err := p.Call(context.Background(), &Request{
			Method: codegen.Key{2, 3}, Trace: trace.SpanContext{TraceID: [16]byte{1}, Flags: 1}, Meta: map[string]string{"a": "b"},
		})
		want := "0203 {01000000000000000000000000000000 0000000000000000 1} map[a:b] false"
		if reply.Status != codegen.StatusAppError || string(reply.Body) != want || err != nil {
			t.Errorf("%v %q, %v; want %q", reply.Status, reply.Body, err, want)
		}
		if peer.Deployment != "b1" || peer.Weavelet != "w1" || peer.Rights != nil || l.Addr().Network() == "tcp" && peer.Addr == "" {
			t.Errorf("peer %+v", peer)
		}
		eventually(t, "both ends count the same bytes", func() bool {
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
	var log lines
	h := serveUnix(t, ServerOptions{
		Conn: Options{MaxMessage: 100_000}, Logger: log.logger(),
		Lookup: handlers{
			1: echo,
			2: func(context.Context, *Incoming) Reply { panic("boom at noon") },
			3: func(context.Context, *Incoming) Reply { return Reply{Body: make([]byte, 200_001)} },
			4: func(context.Context, *Incoming) Reply { return Reply{codegen.StatusCancelled, nil} },
		}.lookup,
	})
	p := newPool(t, PoolOptions{Conn: Options{MaxMessage: 200_000}}, h)
	for _, c := range []struct {
		name   string
		r      Request
		status codegen.Status
		text   string
	}{
		{"panic", Request{Method: codegen.Key{2}}, codegen.StatusPanic, "boom at noon"},
		{"unknown method", Request{Method: codegen.Key{9}}, codegen.StatusUnimplemented, "no method 09000000000000000000000000000000"},
		{"request over the limit", Request{Method: codegen.Key{1}, Args: make([]byte, 100_001)}, codegen.StatusBadArgs, "a request of 100001 bytes exceeds the replica's limit of 100000"},
		{"result over the limit", Request{Method: codegen.Key{3}}, codegen.StatusBadArgs, "a result of 200001 bytes exceeds the caller's limit of 200000"},
		{"metadata over the limit", Request{Method: codegen.Key{1}, Meta: map[string]string{"k": strings.Repeat("v", 1<<16)}}, codegen.StatusBadArgs, "metadata"},
		{"status of the handler", Request{Method: codegen.Key{4}}, codegen.StatusCancelled, ""},
	} {
		reply, err := p.Call(t.Context(), &c.r)
		if reply.Status != c.status || !strings.Contains(string(reply.Body), c.text) || err != nil {
			t.Errorf("%s: %v %q, %v", c.name, reply.Status, reply.Body, err)
		}
	}
	if mustCall(t, p, &Request{Method: codegen.Key{1}}); p.Stats().Connections != 1 || h.Stats().Errors != 4 {
		t.Errorf("stats %+v and %+v", p.Stats(), h.Stats())
	}
	if text := log.String(); strings.Count(text, "\n") != 1 || !strings.Contains(text, "boom at noon") || !strings.Contains(text, "TestStatuses") {
		t.Errorf("the log of a panic: %s", text)
	}
}

// TestOverLimitMessages sends what a well-behaved peer would not: the call is answered, the
// connection lives.
func TestOverLimitMessages(t *testing.T) {
	h := serveUnix(t, ServerOptions{Conn: Options{MaxMessage: 100_000}, Lookup: handlers{1: echo}.lookup})
	p := newPool(t, PoolOptions{}, h)
	mustCall(t, p, &Request{Method: codegen.Key{1}})
	c := p.replicas[0].conn
	c.peer.MaxMessage = 1 << 40
	reply, err := p.Call(t.Context(), &Request{Method: codegen.Key{1}, Args: make([]byte, 1<<20)})
	if reply.Status != codegen.StatusBadArgs || !strings.Contains(string(reply.Body), "exceeds the replica's limit") || err != nil {
		t.Errorf("%v %q, %v", reply.Status, reply.Body, err)
	}
	h.mu.Lock()
	for ss := range h.sessions {
		ss.peer.MaxMessage = 1 << 40
	}
	h.mu.Unlock()
	c.o.MaxMessage = 70_000
	reply, err = p.Call(t.Context(), &Request{Method: codegen.Key{1}, Args: make([]byte, 80_000)})
	if reply.Status != codegen.StatusBadArgs || !strings.Contains(string(reply.Body), "exceeds the caller's limit") || err != nil {
		t.Errorf("%v %q, %v", reply.Status, reply.Body, err)
	}
	mustCall(t, p, &Request{Method: codegen.Key{1}, Args: make([]byte, 70_000)})
	eventually(t, "the server forgets the refused calls", func() bool {
		h.mu.Lock()
		defer h.mu.Unlock()
		for ss := range h.sessions {
			return ss.inFlight() == 0
		}
		return false
	})
	if p.Stats().Connections != 1 {
		t.Error("the connection is gone")
	}
}

func TestDeadlineCrossesTheWire(t *testing.T) {
	left := make(chan time.Duration, 1)
	ended := make(chan error, 1)
	release := make(chan bool)
	h := serveUnix(t, ServerOptions{Lookup: handlers{1: func(ctx context.Context, in *Incoming) Reply {
		d, _ := ctx.Deadline()
		left <- time.Until(d)
		<-ctx.Done()
		ended <- ctx.Err()
		<-release
		return Reply{}
	}}.lookup})
	defer close(release)
	p := newPool(t, PoolOptions{}, h)
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	_, err := p.Call(ctx, &Request{Method: codegen.Key{1}})
	if !errors.Is(err, context.DeadlineExceeded) || errors.Is(err, ErrTransport) {
		t.Errorf("the caller gets %v", err)
	}
	if d := <-left; d <= 0 || d > 101*time.Millisecond {
		t.Errorf("the callee has %v left", d)
	}
	if err := <-ended; err == nil {
		t.Error("the callee's context has not ended")
	}
	if _, err := p.Call(ctx, &Request{Method: codegen.Key{1}}); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("after the deadline: %v", err)
	}
}

func TestCancelCrossesTheWire(t *testing.T) {
	started, ended := make(chan bool), make(chan error, 1)
	h := serveUnix(t, ServerOptions{Lookup: handlers{1: echo, 2: func(ctx context.Context, in *Incoming) Reply {
		close(started)
		<-ctx.Done()
		ended <- ctx.Err()
		return Reply{Body: []byte("too late")}
	}}.lookup})
	p := newPool(t, PoolOptions{}, h)
	ctx, cancel := context.WithCancel(t.Context())
	go func() {
		<-started
		cancel()
	}()
	if _, err := p.Call(ctx, &Request{Method: codegen.Key{2}, Idempotent: true}); err != context.Canceled {
		t.Errorf("the caller gets %v", err)
	}
	if err := <-ended; err != context.Canceled {
		t.Errorf("the callee gets %v", err)
	}
	mustCall(t, p, &Request{Method: codegen.Key{1}})
}

// TestCancelOfHalfARequest cancels a call whose request has not left completely, because the
// server gives no credit for it.
func TestCancelOfHalfARequest(t *testing.T) {
	h := serveUnix(t, ServerOptions{Conn: Options{MaxMessage: 1 << 20}, Lookup: handlers{1: echo}.lookup})
	p := newPool(t, PoolOptions{}, h)
	mustCall(t, p, &Request{Method: codegen.Key{1}})
	c := p.replicas[0].conn
	c.peer.MaxMessage = 1 << 40
	for i := range 50 {
		args := bytes.Repeat([]byte{byte(i)}, 1<<20-i)
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan bool)
		go func() {
			defer close(done)
			p.Call(ctx, &Request{Method: codegen.Key{1}, Args: args})
		}()
		if i%2 == 0 {
			eventually(t, "the request is under way", func() bool { return c.pendingCalls() > 0 || p.Stats().InFlight == 0 })
		}
		cancel()
		<-done
		clear(args) // ours again
	}
	want := bytes.Repeat([]byte("ok"), 300_000)
	if got := mustCall(t, p, &Request{Method: codegen.Key{1}, Args: want}); !bytes.Equal(got, want) {
		t.Error("a later call is damaged")
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if len(h.sessions) != 1 {
		t.Fatalf("%d connections", len(h.sessions))
	}
}

// TestBothWaysAtOnce fills the buffers of both directions: nobody who reads may wait for a
// write.
func TestBothWaysAtOnce(t *testing.T) {
	h := serveUnix(t, ServerOptions{Lookup: handlers{1: echo}.lookup})
	p := newPool(t, PoolOptions{}, h)
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
				if reply, err := p.Call(c, &Request{Method: codegen.Key{1}, Args: args}); err != nil || !bytes.Equal(reply.Body, args) {
					t.Errorf("%v, %v", reply.Status, err)
					return
				}
			}
		})
	}
	wg.Wait()
}

func TestInFlightLimits(t *testing.T) {
	for name, o := range map[string]ServerOptions{
		"of a connection": {Conn: Options{MaxInFlight: 2}},
		"of the server":   {MaxInFlight: 2},
	} {
		release := make(chan bool)
		o.Lookup = handlers{1: func(context.Context, *Incoming) Reply {
			<-release
			return Reply{}
		}}.lookup
		h := serveUnix(t, o)
		p := newPool(t, PoolOptions{}, h)
		var wg sync.WaitGroup
		for range 2 {
			wg.Go(func() { p.Call(t.Context(), &Request{Method: codegen.Key{1}}) })
		}
		eventually(t, "two calls run", func() bool { return h.Stats().InFlight == 2 })
		ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
		_, err := p.Call(ctx, &Request{Method: codegen.Key{1}})
		if !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("limit %s: %v", name, err)
		}
		cancel()
		// The limit of the connection is also kept by the server.
		c := p.replicas[0].conn
		c.mu.Lock()
		c.limit = 10
		c.mu.Unlock()
		if reply, err := c.call(t.Context(), &Request{Method: codegen.Key{1}}); reply.Status != codegen.StatusOverloaded || err != nil {
			t.Errorf("limit %s: %v, %v", name, reply.Status, err)
		}
		var third Reply
		wg.Go(func() { third, _ = p.Call(t.Context(), &Request{Method: codegen.Key{1}}) })
		close(release)
		wg.Wait()
		if third.Status != codegen.StatusOK {
			t.Errorf("limit %s: a call that waited gets %v", name, third.Status)
		}
	}
}

// TestCancelledStillCount: handlers that ignore their context use up the limit of the
// connection they came by, so that no peer gets the whole server by cancelling.
func TestCancelledStillCount(t *testing.T) {
	release := make(chan bool)
	h := serveUnix(t, ServerOptions{Conn: Options{MaxInFlight: 2}, Lookup: handlers{1: echo, 2: func(context.Context, *Incoming) Reply {
		<-release
		return Reply{}
	}}.lookup})
	p := newPool(t, PoolOptions{}, h)
	mustCall(t, p, &Request{Method: codegen.Key{1}})
	c := p.replicas[0].conn
	ctx, cancel := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	for range 2 {
		wg.Go(func() { c.call(ctx, &Request{Method: codegen.Key{2}}) })
	}
	eventually(t, "two calls run", func() bool { return h.Stats().InFlight == 2 })
	cancel()
	wg.Wait()
	if reply, err := c.call(t.Context(), &Request{Method: codegen.Key{1}}); reply.Status != codegen.StatusOverloaded || err != nil {
		t.Errorf("%v, %v", reply.Status, err)
	}
	close(release)
	mustCall(t, p, &Request{Method: codegen.Key{1}})
}

func TestAddresses(t *testing.T) {
	for addr, want := range map[string]string{
		"unix:///a/b": "unix /a/b false", "tcp://h:1": "tcp h:1 false", "mtls://tcp://h:1": "tcp h:1 true",
		"localhost:0": "tcp localhost:0 false", "/run/x": "unix /run/x false", "mtls://h:1": "tcp h:1 true",
	} {
		network, address, secure, err := splitAddr(addr)
		if got := fmt.Sprintln(network, address, secure); got != want+"\n" || err != nil {
			t.Errorf("%s: %s, %v", addr, got, err)
		}
	}
	for _, addr := range []string{"", "tcp://", "udp://h:1", "mtls://"} {
		if _, err := Listen(addr); err == nil || !strings.Contains(err.Error(), "is none of") {
			t.Errorf("%q: %v", addr, err)
		}
	}
	if _, err := Dial(t.Context(), "mtls://tcp://localhost:1", nil); err == nil || !strings.Contains(err.Error(), "no TLS configuration") {
		t.Errorf("without configuration: %v", err)
	}
}

func TestErrorTexts(t *testing.T) {
	for err, want := range maps.All(map[error]string{
		&Error{Err: ErrNoReplica}:                                                  "cannot call: no replica is available",
		&Error{Addr: "a", Err: ErrClosed}:                                          "cannot call a: closed (the call was not executed)",
		&Error{Addr: "a", Executed: true, Err: ErrClosed}:                          "cannot call a: closed (the call may have been executed)",
		&codegen.StatusError{Status: codegen.StatusPanic, Text: "boom"}:            "the stream ended with PANIC: boom",
		&codegen.StatusError{Status: codegen.StatusAppError, Text: "\x00\x01\x02"}: "the stream ended with APP_ERROR",
		&codegen.StatusError{Status: 77}:                                           "the stream ended with status 77",
		&Error{Addr: "a", Executed: true, Err: context.Canceled}:                   "cannot call a: context canceled (the call may have been executed)",
	}) {
		if err.Error() != want {
			t.Errorf("%q, want %q", err, want)
		}
		var e *Error
		if errors.As(err, &e) != errors.Is(err, ErrTransport) {
			t.Errorf("%v is ErrTransport: %v", err, errors.Is(err, ErrTransport))
		}
	}
}
