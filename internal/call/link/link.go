// Package link is what both ends of a connection of calls have in common: its address and its
// handshake, the frames that are read and written, credit, and the watch over a peer that falls
// silent or takes nothing. It does not know what a call is, but for the number by which frames
// belong together. Package wire has the format, docs/calls.md the protocol with its bounds.
package link

import (
	"errors"
	"io"
	"net"
	"sync"
	"sync/atomic"

	"github.com/divisi-go/divisi/internal/wire"
)

// Link is a connection after its handshake. It has a goroutine that reads and never blocks in a
// write, which is the one that runs [Link.Serve], and at times one that writes. Whoever has a frame to
// send appends it to the queue of Out, and whoever writes, writes everybody's.
type Link struct {
	Options *Options
	Peer    wire.Hello
	Out     Writer

	nc     net.Conn
	lender wire.Lender  // reads from nc; nil if nothing does so without a buffer
	calls  func() int   // in flight
	frames *wire.Reader // of the goroutine that reads

	in     atomic.Uint64 // bytes read
	pings  atomic.Uint64 // of these, the bytes of PING and PONG
	window Inflow        // of the connection; the reading goroutine's
	block  []byte        // room for short bodies to stay; the reading goroutine's

	mu    sync.Mutex
	err   error       // why the link ended; nil while it lives
	ended atomic.Bool // err is set

	watch watch
}

// Inflow is the credit given to the peer.
type Inflow struct {
	Left int64 // what the peer may still send
	Used int64 // what has been used up and not been given back
}

// Take accounts for a frame that has arrived, and reports whether the peer had credit for it.
func (f *Inflow) Take(cost int64) bool {
	f.Left -= cost
	return f.Left >= 0
}

// Give accounts for bytes that take up no room any more. It returns the credit to send, if
// any: half a window at a time, so that credit costs next to nothing.
func (f *Inflow) Give(cost int64, window int) uint32 {
	if f.Used += cost; f.Used < int64(window)/2 {
		return 0
	}
	n := f.Used
	f.Left, f.Used = f.Left+n, 0
	return uint32(n)
}

// expected is up to how long a message is expected as soon as it begins.
const expected = 2 << 20

// Expect returns how much memory to make for a message of which the first chunk has arrived: a window,
// or, if it is not much longer, all of it. The credit to send, if any, is for the whole message then, so
// that its sender does not have to wait.
func (f *Inflow) Expect(total uint64, window int) (memory int, credit uint32) {
	if total <= uint64(window) || total > expected {
		return window, 0
	}
	frames := total/wire.MaxChunk + 1
	more := int64(total+frames*wire.HeaderSize) - int64(window)
	f.Left, f.Used = f.Left+more, f.Used-more
	return int(total), uint32(more)
}

// New returns the link of a connection whose handshake has got peer. calls says how many calls are
// in flight.
func New(nc net.Conn, o *Options, peer wire.Hello, calls func() int) *Link {
	l := &Link{Options: o, Peer: peer, nc: nc, calls: calls}
	l.window.Left = int64(o.Window)
	l.lender = lenderOf(nc)
	l.Out.init(nc, o.MaxQueue, peer.Window, calls, l.Fail)
	l.frames = wire.NewReader(l)
	l.watch.start(l)
	return l
}

var _ wire.Lender = (*Link)(nil)

// Read counts what the frame reader reads.
func (l *Link) Read(b []byte) (int, error) {
	n, err := l.nc.Read(b)
	l.heard(n)
	return n, err
}

// ReadLent implements [wire.Lender].
func (l *Link) ReadLent(lend func() []byte, back func()) (int, error) {
	if l.lender == nil {
		return l.Read(lend())
	}
	n, err := l.lender.ReadLent(lend, back)
	l.heard(n)
	return n, err
}

func (l *Link) heard(n int) {
	hear()
	l.in.Add(uint64(n))
	l.watch.wake(l)
}

// ErrLeft is returned by whoever handles a frame and has left the reading to another goroutine, which
// has called Serve.
var ErrLeft = errors.New("another goroutine reads")

// Serve reads until the link ends, hands every frame that concerns a call to handle, and
// returns why it ended. It never blocks in a write, nor may handle.
func (l *Link) Serve(handle func(wire.Frame) error) error {
	for {
		if !l.frames.Whole() {
			l.Out.Flush()
		}
		f, err := l.frames.Next()
		if err == nil {
			err = l.dispatch(f, handle)
		}
		if err == ErrLeft {
			return err
		}
		if err != nil {
			if err == io.EOF {
				err = errHungUp
			}
			l.Fail(err)
			<-l.Out.closed // a farewell takes a second at most
			return l.Cause()
		}
	}
}

func (l *Link) dispatch(f wire.Frame, handle func(wire.Frame) error) error {
	switch f.Type {
	case wire.TypePing:
		l.pings.Add(pingSize)
		l.sendPing(wire.TypePong, [8]byte(f.Body))
		return nil
	case wire.TypePong:
		l.pings.Add(pingSize)
		return nil // that something came is all that counts
	case wire.TypeHello:
		return wire.Violation("HELLO twice")
	case wire.TypeCredit:
		if f.Call == 0 {
			return l.Grant(nil, f)
		}
	}
	if cost := f.Cost(); cost > 0 {
		if !l.window.Take(cost) {
			return wire.Violation("more data than the connection has credit for")
		}
		// Credit of the connection comes back at once: what a call does not take off our
		// hands is bounded by the credit of that call, and stalls no other.
		l.SendCredit(0, l.window.Give(cost, l.Options.Window))
	}
	return handle(f)
}

// More reports whether another frame has arrived. It is for the goroutine that reads.
func (l *Link) More() bool { return l.frames.Whole() }

const (
	keepSize  = 1 << 10       // of a block
	keepShort = keepSize / 16 // longest body in one
)

// Stay returns the body of a frame where it can stay. It is for the goroutine that reads.
func (l *Link) Stay(f wire.Frame) ([]byte, error) {
	if f.Whole() {
		return l.Keep(f.Body), nil
	}
	body := make([]byte, f.Length)
	return body, f.ReadBody(body)
}

// Keep copies what has arrived to where it can stay. It is for the goroutine that reads. Short bodies share
// memory, so none keeps more than a block from being collected.
func (l *Link) Keep(body []byte) []byte {
	n := len(body)
	if n > keepShort {
		return append(make([]byte, 0, n), body...)
	}
	if n > len(l.block) {
		l.block = make([]byte, keepSize)
	}
	kept := l.block[:n:n]
	l.block = l.block[n:]
	copy(kept, body)
	return kept
}

// Grant adds credit that the peer has given to a call.
func (l *Link) Grant(f *Outflow, fr wire.Frame) error {
	if !l.Out.grant(f, wire.ParseCredit(fr.Body)) {
		return wire.Violation("more credit than a window can be")
	}
	return nil
}

// SendCredit gives the peer credit for a call, unless n is zero.
func (l *Link) SendCredit(call, n uint32) {
	if n > 0 {
		var b [wire.HeaderSize + 4]byte
		l.Out.sendUrgent(wire.AppendCredit(b[:0], call, n))
	}
}

const pingSize = wire.HeaderSize + 8

func (l *Link) sendPing(t wire.Type, opaque [8]byte) {
	var b [pingSize]byte
	l.Out.sendUrgent(wire.AppendPing(b[:0], t, opaque))
}

// Fail ends the link for the first reason that is given. A peer that broke the protocol, or
// is believed dead, is told so.
func (l *Link) Fail(err error) {
	l.mu.Lock()
	if l.err != nil {
		l.mu.Unlock()
		return
	}
	l.err = err
	l.ended.Store(true)
	l.mu.Unlock()
	l.watch.stop()
	var last []byte
	violation, violated := errors.AsType[wire.Violation](err)
	switch {
	case violated:
		last = wire.GoAway{Reason: wire.ReasonViolation, Text: string(violation)}.Append(nil)
	case errors.Is(err, ErrSilent):
		last = wire.GoAway{Reason: wire.ReasonStalled, Text: err.Error()}.Append(nil)
	}
	l.Out.close(err, last)
}

// Cause is why the link ended; nil while it lives.
func (l *Link) Cause() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.err
}

// Ended reports whether the link has ended.
func (l *Link) Ended() bool { return l.ended.Load() }

// Bytes returns how much has been read and written, above TLS.
func (l *Link) Bytes() (in, out uint64) {
	l.Out.mu.Lock()
	defer l.Out.mu.Unlock()
	return l.in.Load(), l.Out.bytes
}

// Wake makes the watch look often: a call has begun.
func (l *Link) Wake() { l.watch.wake(l) }
