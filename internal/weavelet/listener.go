package weavelet

import (
	"bytes"
	"context"
	"errors"
	"net"
	"os"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/divisi-go/divisi/internal/trace"
)

// lameDuck is how long a connection must have been quiet, after something was written to it, to
// be taken for idle when the listener drains. A shorter time would cut clients that send their
// next request at that moment; a longer one makes every end slower.
const lameDuck = 200 * time.Millisecond

// listener is a network listener that can be drained without losing what it has accepted.
// Servers that know nothing of draining, such as http.Serve, return as soon as Accept fails; so
// Accept does not fail before the connections are gone.
type listener struct {
	net.Listener
	tracer   *trace.Recorder
	draining atomic.Bool
	drained  chan struct{} // closed when no connection is left, or time was up
	once     sync.Once

	mu        sync.Mutex // guards what follows
	conns     map[*conn]struct{}
	accepting int           // calls of Accept that may yet add to conns
	paused    chan struct{} // while there is one, Accept waits for it to be closed
}

func newListener(inner net.Listener, tracer *trace.Recorder) *listener {
	return &listener{Listener: inner, tracer: tracer, drained: make(chan struct{}), conns: map[*conn]struct{}{}}
}

// Accept implements net.Listener.
func (l *listener) Accept() (net.Conn, error) {
	l.mu.Lock()
	l.accepting++
	l.mu.Unlock()
	inner, err := l.accept()
	if err != nil {
		l.mu.Lock()
		l.accepting--
		l.mu.Unlock()
		if l.draining.Load() {
			<-l.drained
			return nil, net.ErrClosed
		}
		return nil, err
	}
	c := &conn{Conn: inner, listener: l}
	c.last.Store(time.Now().UnixNano())
	l.mu.Lock()
	l.accepting--
	l.conns[c] = struct{}{}
	l.mu.Unlock()
	return c, nil
}

// accept accepts a connection, while it is not paused.
func (l *listener) accept() (net.Conn, error) {
	for {
		c, err := l.Listener.Accept()
		if !errors.Is(err, os.ErrDeadlineExceeded) {
			return c, err
		}
		l.mu.Lock()
		paused := l.paused
		l.mu.Unlock()
		if paused != nil {
			<-paused
		}
	}
}

// pause has Accept wait, so that connections go to other processes with the same socket, until it
// is called again with false. Only what has a deadline can be told to wait.
func (l *listener) pause(on bool) {
	inner, ok := l.Listener.(interface{ SetDeadline(time.Time) error })
	l.mu.Lock()
	defer l.mu.Unlock()
	switch {
	case !ok || on && l.draining.Load():
	case on && l.paused == nil:
		l.paused = make(chan struct{})
		inner.SetDeadline(time.Unix(1, 0))
	case !on && l.paused != nil:
		inner.SetDeadline(time.Time{})
		close(l.paused)
		l.paused = nil
	}
}

// Close implements net.Listener.
func (l *listener) Close() error {
	if !l.draining.Swap(true) {
		l.end()
	}
	l.pause(false)
	return l.Listener.Close()
}

func (l *listener) end() { l.once.Do(func() { close(l.drained) }) }

// drain stops accepting, closes connections as they become idle, and returns when there are
// none, or when ctx ends.
func (l *listener) drain(ctx context.Context) {
	if l.draining.Swap(true) {
		return
	}
	defer l.end()
	l.pause(false)
	l.Listener.Close()
	tick := time.NewTicker(lameDuck / 8)
	defer tick.Stop()
	for l.closeIdle(time.Now()) {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
	}
}

// closeIdle closes the connections that are idle and reports whether there are others.
func (l *listener) closeIdle(now time.Time) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	for c := range l.conns {
		if c.idle(now) {
			delete(l.conns, c)
			c.Conn.Close()
		}
	}
	return len(l.conns)+l.accepting > 0
}

// conn is a connection that knows whether somebody waits for an answer on it.
type conn struct {
	net.Conn
	listener *listener
	last     atomic.Int64 // when something was last read or written, in Unix nanoseconds
	asked    atomic.Bool  // something was read after the last write
	requests atomic.Int32 // that instrumented handlers serve
	told     atomic.Bool  // the response says that the connection closes
}

// Connection is what an instrumented HTTP handler finds in a request's context in the place of
// the connection's local address.
type Connection interface {
	net.Addr

	// Request is told of a request whose response has the given header. It returns the context
	// to serve it with; done ends it. While the listener drains, the response asks the client
	// to close the connection.
	Request(ctx context.Context, parent trace.SpanContext, header map[string][]string) (
		_ context.Context, done func())
}

// localAddr is a connection's local address, and a Connection.
type localAddr struct {
	net.Addr
	conn *conn
}

// LocalAddr returns an address that is a Connection.
func (c *conn) LocalAddr() net.Addr { return localAddr{c.Conn.LocalAddr(), c} }

func (a localAddr) Request(ctx context.Context, parent trace.SpanContext,
	header map[string][]string) (context.Context, func()) {
	c := a.conn
	c.requests.Add(1)
	if c.listener.draining.Load() {
		c.told.Store(true)
		header["Connection"] = []string{"close"}
	}
	return c.listener.tracer.NewContext(ctx, parent), func() {
		c.last.Store(time.Now().UnixNano())
		c.requests.Add(-1)
	}
}

func (c *conn) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	if n > 0 {
		c.asked.Store(true)
		c.last.Store(time.Now().UnixNano())
	}
	return n, err
}

func (c *conn) Write(b []byte) (int, error) {
	sent := b
	if c.listener.draining.Load() && c.asked.Load() && !c.told.Load() {
		sent = closing(b)
	}
	n, err := c.Conn.Write(sent)
	n = min(n, len(b))
	c.asked.Store(false)
	c.last.Store(time.Now().UnixNano())
	return n, err
}

// closing returns the beginning of an HTTP/1.1 response with a header that asks the client to close
// the connection, and anything else as it is. The connections of busy clients would never be idle,
// and handlers that are not instrumented cannot know.
func closing(b []byte) []byte {
	const status, interim = "HTTP/1.1 ", "HTTP/1.1 1"
	end := bytes.Index(b, []byte("\r\n"))
	if end < 0 || !bytes.HasPrefix(b, []byte(status)) || bytes.HasPrefix(b, []byte(interim)) {
		return b
	}
	return slices.Concat(b[:end], []byte("\r\nConnection: close"), b[end:])
}

func (c *conn) Close() error {
	c.listener.mu.Lock()
	delete(c.listener.conns, c)
	c.listener.mu.Unlock()
	return c.Conn.Close()
}

// idle reports whether nobody waits for an answer. Before its first byte a new connection has
// a lame duck's time as well, for its client may just be about to send.
func (c *conn) idle(now time.Time) bool {
	return !c.asked.Load() && c.requests.Load() == 0 && now.UnixNano()-c.last.Load() >= int64(lameDuck)
}
