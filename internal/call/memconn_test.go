package call

import (
	"context"
	"io"
	"net"
	"os"
	"sync"
	"time"
)

// memNet is a network in memory, for tests that run in a bubble of synctest. Unlike net.Pipe
// its connections have buffers, as sockets do.
type memNet struct {
	mu        sync.Mutex
	listeners map[string]*memListener
	buffer    int // of each direction
}

func newMemNet() *memNet { return &memNet{listeners: map[string]*memListener{}, buffer: 64 << 10} }

type memListener struct {
	n      *memNet
	addr   memAddr
	accept chan net.Conn
	closed chan struct{}
	once   sync.Once
}

type memAddr string

func (memAddr) Network() string  { return "mem" }
func (a memAddr) String() string { return string(a) }

func (n *memNet) listen(addr string) *memListener {
	l := &memListener{n: n, addr: memAddr(addr), accept: make(chan net.Conn, 128), closed: make(chan struct{})}
	n.mu.Lock()
	defer n.mu.Unlock()
	n.listeners[addr] = l
	return l
}

func (l *memListener) Addr() net.Addr { return l.addr }

func (l *memListener) Accept() (net.Conn, error) {
	select {
	case c := <-l.accept:
		return c, nil
	case <-l.closed:
		return nil, net.ErrClosed
	}
}

func (l *memListener) Close() error {
	l.once.Do(func() { close(l.closed) })
	return nil
}

func (n *memNet) dial(ctx context.Context, addr string) (net.Conn, error) {
	n.mu.Lock()
	l := n.listeners[addr]
	n.mu.Unlock()
	if l == nil {
		return nil, &net.OpError{Op: "dial", Net: "mem", Addr: memAddr(addr), Err: os.ErrNotExist}
	}
	near, far := memPipe(n.buffer, "client:1", addr)
	select {
	case l.accept <- far:
		return near, nil
	case <-l.closed:
		return nil, &net.OpError{Op: "dial", Net: "mem", Addr: memAddr(addr), Err: net.ErrClosed}
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// memPipe returns the two ends of a connection.
func memPipe(buffer int, near, far string) (a, b *memConn) {
	x, y := newMemHalf(buffer), newMemHalf(buffer)
	return &memConn{in: x, out: y, local: memAddr(near), remote: memAddr(far)},
		&memConn{in: y, out: x, local: memAddr(far), remote: memAddr(near)}
}

// memHalf is one direction.
type memHalf struct {
	mu     sync.Mutex
	cond   sync.Cond
	buf    []byte
	limit  int
	closed bool
	read   memDeadline
	write  memDeadline
}

type memDeadline struct {
	at    time.Time
	timer *time.Timer
}

func newMemHalf(limit int) *memHalf {
	h := &memHalf{limit: limit}
	h.cond.L = &h.mu
	return h
}

func (h *memHalf) set(d *memDeadline, at time.Time) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if d.timer != nil {
		d.timer.Stop()
		d.timer = nil
	}
	if d.at = at; !at.IsZero() {
		d.timer = time.AfterFunc(time.Until(at), func() {
			h.mu.Lock()
			defer h.mu.Unlock()
			h.cond.Broadcast()
		})
	}
	h.cond.Broadcast()
}

func (d *memDeadline) passed() bool { return !d.at.IsZero() && !time.Now().Before(d.at) }

func (h *memHalf) close() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.closed = true
	for _, d := range []*memDeadline{&h.read, &h.write} {
		if d.timer != nil {
			d.timer.Stop()
		}
	}
	h.cond.Broadcast()
}

type memConn struct {
	in, out       *memHalf
	local, remote memAddr
}

func (c *memConn) Read(p []byte) (int, error) {
	h := c.in
	h.mu.Lock()
	defer h.mu.Unlock()
	for {
		switch {
		case h.read.passed():
			return 0, os.ErrDeadlineExceeded
		case len(h.buf) > 0:
			n := copy(p, h.buf)
			h.buf = h.buf[n:]
			h.cond.Broadcast()
			return n, nil
		case h.closed:
			return 0, io.EOF
		}
		h.cond.Wait()
	}
}

func (c *memConn) Write(p []byte) (n int, err error) {
	h := c.out
	h.mu.Lock()
	defer h.mu.Unlock()
	for {
		switch {
		case h.closed:
			return n, io.ErrClosedPipe
		case h.write.passed():
			return n, os.ErrDeadlineExceeded
		}
		m := min(len(p), h.limit-len(h.buf))
		h.buf = append(h.buf, p[:m]...)
		n += m
		if m > 0 {
			h.cond.Broadcast()
		}
		if p = p[m:]; len(p) == 0 {
			return n, nil
		}
		h.cond.Wait()
	}
}

func (c *memConn) Close() error {
	c.in.close()
	c.out.close()
	return nil
}

func (c *memConn) LocalAddr() net.Addr  { return c.local }
func (c *memConn) RemoteAddr() net.Addr { return c.remote }

func (c *memConn) SetDeadline(t time.Time) error {
	c.SetReadDeadline(t)
	return c.SetWriteDeadline(t)
}

func (c *memConn) SetReadDeadline(t time.Time) error {
	c.in.set(&c.in.read, t)
	return nil
}

func (c *memConn) SetWriteDeadline(t time.Time) error {
	c.out.set(&c.out.write, t)
	return nil
}
