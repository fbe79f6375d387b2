// Package calltest has what several tests of calls need: servers, their handlers and certificates,
// and a log that can be counted.
package calltest

import (
	"context"
	"log/slog"
	"net"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/divisi-go/divisi/codegen"
	"github.com/divisi-go/divisi/internal/call"
	"github.com/divisi-go/divisi/internal/call/link"
	"github.com/divisi-go/divisi/internal/call/memnet"
)

// Handlers finds a handler by the first byte of the key.
type Handlers map[byte]call.Handler

// Lookup is for [call.ServerOptions].
func (h Handlers) Lookup(_ call.Peer, k codegen.Key) call.Handler { return h[k[0]] }

// Echo answers with the arguments.
func Echo(_ context.Context, in *call.Incoming) call.Reply { return call.Reply{Body: in.Args} }

// Count streams as many elements as the first byte of its arguments says, each of as many bytes as
// the rest is long, and ends with OK.
func Count(_ context.Context, in *call.Incoming) call.Reply {
	for i := range in.Args[0] {
		elem := append([]byte(nil), in.Args[1:]...)
		if len(elem) > 0 {
			elem[0] = i
		}
		if err := in.Send(elem); err != nil {
			return call.Reply{Status: codegen.StatusCancelled}
		}
	}
	return call.Reply{}
}

// Flood returns a handler that streams elements of 1 KiB until the caller has gone, which it
// reports.
func Flood(gone chan<- error) call.Handler {
	return func(ctx context.Context, in *call.Incoming) call.Reply {
		for elem := make([]byte, 1<<10); ; {
			if err := in.Send(elem); err != nil {
				gone <- err
				return call.Reply{Status: codegen.StatusCancelled}
			}
		}
	}
}

// Blocking returns a handler that says it has started, and waits.
func Blocking(started chan<- bool, release <-chan bool, answer string) call.Handler {
	return func(context.Context, *call.Incoming) call.Reply {
		started <- true
		<-release
		return call.Reply{Body: []byte(answer)}
	}
}

// Host is a server that serves.
type Host struct {
	*call.Server
	Addr     string
	Listener net.Listener
	Stop     func() // ends Serve and waits for it
}

// Serve starts a server on l, which ends with the test. Unless the options say otherwise, it has
// processors to spare, whatever else the machine does.
func Serve(t testing.TB, l net.Listener, o call.ServerOptions) *Host {
	t.Helper()
	if o.Spare == nil {
		o.Spare = func() int { return 1 }
	}
	s := call.NewServer(o)
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
	return &Host{s, link.AddrOf(l, o.TLS != nil), l, stop}
}

// ServeUnix starts a server on a Unix socket.
func ServeUnix(t testing.TB, o call.ServerOptions) *Host {
	t.Helper()
	l, err := link.Listen("unix://" + filepath.Join(t.TempDir(), "s"))
	if err != nil {
		t.Fatal(err)
	}
	return Serve(t, l, o)
}

// ServeMem starts a server on a network in memory.
func ServeMem(t testing.TB, n *memnet.Network, addr string, o call.ServerOptions) *Host {
	t.Helper()
	h := Serve(t, n.Listen(addr), o)
	h.Addr = addr
	return h
}

// Log is a log that a test can count.
type Log struct {
	mu   sync.Mutex
	text strings.Builder
}

// Write implements io.Writer.
func (l *Log) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(b)
}

// String returns what has been logged.
func (l *Log) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

// Logger returns a logger that writes to l.
func (l *Log) Logger() *slog.Logger { return slog.New(slog.NewTextHandler(l, nil)) }

// Eventually waits until ok holds.
func Eventually(t testing.TB, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(20 * time.Second); time.Now().Before(end); {
		if ok() {
			return
		}
		<-time.After(time.Millisecond)
	}
	t.Fatalf("not within 20 s: %s", what)
}

// Within fails the test if something has taken too little or too much time.
func Within(t testing.TB, what string, got, least, most time.Duration) {
	t.Helper()
	if got < least || got > most {
		t.Errorf("%s took %v, want %v to %v", what, got, least, most)
	}
}

// Caller makes calls.
type Caller interface {
	Call(context.Context, *call.Request) (call.Reply, error)
}

// MustCall makes a call that must be answered OK.
func MustCall(t testing.TB, c Caller, r *call.Request) []byte {
	t.Helper()
	reply, err := c.Call(t.Context(), r)
	if err != nil || reply.Status != codegen.StatusOK {
		t.Fatalf("%v %q, %v", reply.Status, reply.Body, err)
	}
	return reply.Body
}
