// Package memnet is a network in memory, for tests that run in a bubble of synctest. Unlike those of
// net.Pipe its connections have buffers, as sockets do.
package memnet

import (
	"context"
	"io"
	"net"
	"os"
	"sync"
	"time"
)

// Network is where listeners are found by their addresses. Its methods may be called from any
// goroutine.
type Network struct {
	mu        sync.Mutex
	listeners map[string]*Listener
	Buffer    int // of each direction
}

// New returns a network on which nobody listens, with buffers of 64 KiB.
func New() *Network { return &Network{listeners: map[string]*Listener{}, Buffer: 64 << 10} }

// Listener accepts the connections to one address.
type Listener struct {
	n      *Network
	addr   address
	accept chan net.Conn
	closed chan struct{}
	once   sync.Once
}

// address is the name by which a listener is found.
type address string

var (
	_ net.Listener = (*Listener)(nil)
	_ net.Conn     = (*Conn)(nil)
)

func (address) Network() string  { return "mem" }
func (a address) String() string { return string(a) }

// Listen returns a listener, which takes the place of an earlier one.
func (n *Network) Listen(addr string) *Listener {
	l := &Listener{n: n, addr: address(addr), accept: make(chan net.Conn, 128), closed: make(chan struct{})}
	n.mu.Lock()
	defer n.mu.Unlock()
	n.listeners[addr] = l
	return l
}

func (l *Listener) Addr() net.Addr { return l.addr }

func (l *Listener) Accept() (net.Conn, error) {
	select {
	case c := <-l.accept:
		return c, nil
	case <-l.closed:
		return nil, net.ErrClosed
	}
}

func (l *Listener) Close() error {
	l.once.Do(func() { close(l.closed) })
	return nil
}

// Dial connects to a listener.
func (n *Network) Dial(ctx context.Context, addr string) (net.Conn, error) {
	n.mu.Lock()
	l := n.listeners[addr]
	n.mu.Unlock()
	if l == nil {
		return nil, &net.OpError{Op: "dial", Net: "mem", Addr: address(addr), Err: os.ErrNotExist}
	}
	refused := &net.OpError{Op: "dial", Net: "mem", Addr: address(addr), Err: net.ErrClosed}
	select {
	case <-l.closed: // there may be room in its queue
		return nil, refused
	default:
	}
	near, far := Pipe(n.Buffer, "client:1", addr)
	select {
	case l.accept <- far:
		return near, nil
	case <-l.closed:
		return nil, refused
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// Pipe returns the two ends of a connection.
func Pipe(buffer int, near, far string) (a, b *Conn) {
	x, y := newHalf(buffer), newHalf(buffer)
	return &Conn{in: x, out: y, local: address(near), remote: address(far)},
		&Conn{in: y, out: x, local: address(far), remote: address(near)}
}

// half is one direction.
type half struct {
	mu     sync.Mutex
	cond   sync.Cond
	buf    []byte
	limit  int
	closed bool
	read   deadline
	write  deadline
}

type deadline struct {
	at    time.Time
	timer *time.Timer
}

func newHalf(limit int) *half {
	h := &half{limit: limit}
	h.cond.L = &h.mu
	return h
}

func (h *half) set(d *deadline, at time.Time) {
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

func (d *deadline) passed() bool { return !d.at.IsZero() && !time.Now().Before(d.at) }

func (h *half) close() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.closed = true
	for _, d := range []*deadline{&h.read, &h.write} {
		if d.timer != nil {
			d.timer.Stop()
		}
	}
	h.cond.Broadcast()
}

// CloseWrite ends what the other end reads.
func (c *Conn) CloseWrite() { c.out.close() }

// Unread returns how many bytes have arrived that nobody has read.
func (c *Conn) Unread() int {
	c.in.mu.Lock()
	defer c.in.mu.Unlock()
	return len(c.in.buf)
}

// Conn is one end of a connection.
type Conn struct {
	in, out       *half
	local, remote address
}

func (c *Conn) Read(p []byte) (int, error) {
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

// WriteNow writes what there is room for of one after the other.
func (c *Conn) WriteNow(p, more []byte) (int, error) {
	h := c.out
	h.mu.Lock()
	defer h.mu.Unlock()
	switch {
	case h.closed:
		return 0, io.ErrClosedPipe
	case h.write.passed():
		return 0, os.ErrDeadlineExceeded
	}
	before := len(h.buf)
	for _, b := range [][]byte{p, more} {
		h.buf = append(h.buf, b[:min(len(b), h.limit-len(h.buf))]...)
	}
	h.cond.Broadcast()
	return len(h.buf) - before, nil
}

func (c *Conn) Write(p []byte) (n int, err error) {
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

func (c *Conn) Close() error {
	c.in.close()
	c.out.close()
	return nil
}

func (c *Conn) LocalAddr() net.Addr  { return c.local }
func (c *Conn) RemoteAddr() net.Addr { return c.remote }

func (c *Conn) SetDeadline(t time.Time) error {
	c.SetReadDeadline(t)
	return c.SetWriteDeadline(t)
}

func (c *Conn) SetReadDeadline(t time.Time) error {
	c.in.set(&c.in.read, t)
	return nil
}

func (c *Conn) SetWriteDeadline(t time.Time) error {
	c.out.set(&c.out.write, t)
	return nil
}
