// Package drain ends network listeners without losing what they have accepted.
//
// A server that knows nothing of draining, such as [net/http.Serve], returns as soon as Accept fails.
// So Accept of a [Listener] that drains does not fail before its connections are gone, and the
// listener closes those on which nobody waits for an answer.
package drain

import (
	"context"
	"errors"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/divisi-go/divisi/internal/trace"
)

// lameDuck is how long a connection must have been quiet to be closed, although nobody waits for an
// answer on it. A shorter time would cut clients that send their next request at that moment; a
// longer one makes every end slower.
const lameDuck = 200 * time.Millisecond

// Listener is a network listener that can be drained.
type Listener struct {
	net.Listener
	tracer   *trace.Recorder
	draining atomic.Bool
	drained  chan struct{} // closed when no connection is left, or time was up
	once     sync.Once     // closes drained

	mu        sync.Mutex // guards what follows
	conns     map[*conn]struct{}
	accepting int           // calls of Accept that may yet add to conns
	paused    chan struct{} // while there is one, Accept waits for it to be closed
}

var _ net.Listener = (*Listener)(nil)

// New returns a listener that can be drained. Requests that instrumented handlers serve belong to
// the tracer.
func New(inner net.Listener, tracer *trace.Recorder) *Listener {
	return &Listener{
		Listener: inner, tracer: tracer, drained: make(chan struct{}), conns: map[*conn]struct{}{},
	}
}

// Accept implements net.Listener. Once the listener has drained, its error is net.ErrClosed.
func (l *Listener) Accept() (net.Conn, error) {
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

	c := &conn{Conn: inner, listener: l, last: time.Now()}
	l.mu.Lock()
	l.accepting--
	l.conns[c] = struct{}{}
	l.mu.Unlock()
	return c, nil
}

// accept accepts a connection, while it is not paused.
func (l *Listener) accept() (net.Conn, error) {
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

// Pause makes Accept wait, so that connections go to other processes with the same socket, until it
// is called again with false. Listeners without deadlines cannot be paused, and go on.
func (l *Listener) Pause(on bool) {
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
func (l *Listener) Close() error {
	if !l.draining.Swap(true) {
		l.end()
	}
	l.Pause(false)
	return l.Listener.Close()
}

func (l *Listener) end() { l.once.Do(func() { close(l.drained) }) }

// Drain stops accepting, closes connections as they become idle, and returns when there are
// none, or when ctx ends. Only the first call does.
func (l *Listener) Drain(ctx context.Context) {
	if l.draining.Swap(true) {
		return
	}
	defer l.end()
	l.Pause(false)
	l.Listener.Close()

	opaque := never
	if end, ok := ctx.Deadline(); ok {
		opaque = max(lameDuck, time.Until(end)/3)
	}
	tick := time.NewTicker(lameDuck / 8)
	defer tick.Stop()
	for l.closeIdle(time.Now(), opaque) {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
	}
}

// closeIdle closes the connections that are idle and reports whether there are others.
func (l *Listener) closeIdle(now time.Time, opaque time.Duration) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	for c := range l.conns {
		if c.idle(now, opaque) {
			delete(l.conns, c)
			c.Conn.Close()
		}
	}
	return len(l.conns)+l.accepting > 0
}

func (l *Listener) forget(c *conn) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.conns, c)
}
