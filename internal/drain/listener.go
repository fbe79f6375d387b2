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
)

// lameDuck is how long a connection must have been quiet to be closed, although nobody waits for an
// answer on it. A shorter time would cut clients that send their next request at that moment; a
// longer one makes every end slower.
const lameDuck = 200 * time.Millisecond

// That time is counted in looks at the connection, which happen while this process runs: on a machine
// that is too busy, requests wait in the connection meanwhile, and what waits there is looked for last.
const (
	looks = 8
	tick  = lameDuck / looks
)

// Listener is a network listener that can be drained.
type Listener struct {
	net.Listener
	owner    any
	draining atomic.Bool
	over     chan struct{} // closed when Accept may return
	once     sync.Once     // closes over

	mu        sync.Mutex // guards what follows
	goodbye   Goodbye
	turns     bool
	conns     map[*conn]struct{}
	accepting int           // calls of Accept that may yet add to conns
	paused    chan struct{} // while there is one, Accept waits for it to be closed
}

var _ net.Listener = (*Listener)(nil)

// New returns a listener that can be drained. Handlers of requests find its owner.
func New(inner net.Listener, owner any) *Listener {
	return &Listener{
		Listener: inner, owner: owner, over: make(chan struct{}), conns: map[*conn]struct{}{},
	}
}

// Goodbye is how a server itself ends connections.
type Goodbye struct {
	// Say tells clients to go, as HTTP/2 does, and waits until they have gone, or ctx ends. It is
	// called once in a drain, also if nobody is left.
	Say func(ctx context.Context)

	// Any says that Say is right for every connection, but for those that were accepted just before the
	// drain, which a server of gRPC would drop. Otherwise it waits until HTTP/2 alone is left, or half of
	// the time is over: [net/http.Server.Shutdown] drops requests of HTTP/1 that it has just read.
	Any bool
}

// Leave says how the server of the listener ends connections, before there are any.
func (l *Listener) Leave(by Goodbye) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.goodbye = by
}

// Turns says, before there are connections, that the server and its clients take turns: where the
// server waits for bytes, and nothing has come since its last answer, a connection is idle.
func (l *Listener) Turns() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.turns = true
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
			<-l.over
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

// Close implements net.Listener. A drain goes on, but Accept waits no longer for its end.
func (l *Listener) Close() error {
	l.draining.Store(true)
	l.end()
	l.Pause(false)
	return l.Listener.Close()
}

func (l *Listener) end() { l.once.Do(func() { close(l.over) }) }

// Drain stops accepting, closes connections as they become idle, and returns when there are
// none, or when ctx ends. Only the first call does.
func (l *Listener) Drain(ctx context.Context) {
	if l.draining.Swap(true) {
		return
	}
	defer l.end()
	l.Pause(false)
	l.Listener.Close()

	begun := time.Now()
	limit := never
	if end, ok := ctx.Deadline(); ok {
		limit = end.Sub(begun)
	}
	l.mu.Lock()
	goodbye := l.goodbye
	l.mu.Unlock()
	said := goodbye.Say == nil
	var leaving sync.WaitGroup
	defer leaving.Wait()
	ticker := time.NewTicker(tick)
	defer ticker.Stop()
	for n := 0; ; n++ {
		left, others := l.closeIdle(time.Now(), max(lameDuck, limit/3))
		due := others == 0 || time.Since(begun) >= limit/2
		if goodbye.Any {
			due = left == 0 || n >= looks
		}
		if due && !said {
			said = true
			leaving.Go(func() { goodbye.Say(ctx) })
		}
		if left == 0 {
			return
		}
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return
		}
	}
}

// Cut closes the connections that a drain has left, and returns how many there were.
func (l *Listener) Cut() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	count := len(l.conns)
	for c := range l.conns {
		c.Conn.Close()
	}
	clear(l.conns)
	return count
}

// closeIdle closes the connections that are idle. It returns the number of those that are left, and
// how many of them are not known to speak HTTP/2.
func (l *Listener) closeIdle(now time.Time, opaque time.Duration) (left, others int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	others = l.accepting
	for c := range l.conns {
		idle, http2 := c.look(now, opaque)
		switch {
		case idle && !unread(c.Conn):
			delete(l.conns, c)
			c.Conn.Close()
		case !http2:
			others++
		}
	}
	return len(l.conns) + l.accepting, others
}

func (l *Listener) forget(c *conn) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.conns, c)
}
