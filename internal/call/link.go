package call

import (
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/divisi-go/divisi/internal/wire"
)

// link is what both ends of a connection have in common: reading, writing, credit, and the
// watch over a peer that falls silent or takes nothing.
type link struct {
	nc    net.Conn
	o     *Options
	peer  wire.Hello
	w     writer
	calls func() int // in flight

	in     atomic.Uint64 // bytes read
	pings  atomic.Uint64 // of these, the bytes of PING and PONG
	window inflow        // of the connection; the reading goroutine's

	mu   sync.Mutex
	err  error         // why the link ended; nil while it lives
	gone chan struct{} // closed when it has ended

	watch watch
}

// inflow is the credit given to the peer.
type inflow struct {
	left int64 // what the peer may still send
	used int64 // what has been used up and not been given back
}

// take accounts for a frame that has arrived, and reports whether the peer had credit for it.
func (f *inflow) take(cost int64) bool {
	f.left -= cost
	return f.left >= 0
}

// give accounts for bytes that take up no room any more. It returns the credit to send, if
// any: half a window at a time, so that credit costs next to nothing.
func (f *inflow) give(cost int64, window int) uint32 {
	if f.used += cost; f.used < int64(window)/2 {
		return 0
	}
	n := f.used
	f.left, f.used = f.left+n, 0
	return uint32(n)
}

func (l *link) init(nc net.Conn, o *Options, peer wire.Hello, calls func() int) {
	l.nc, l.o, l.peer, l.calls = nc, o, peer, calls
	l.window.left = int64(o.Window)
	l.gone = make(chan struct{})
	l.w.init(nc, o.MaxQueue, peer.Window, calls, l.fail)
	l.watch.start(l)
}

// Read counts what the frame reader reads.
func (l *link) Read(b []byte) (int, error) {
	n, err := l.nc.Read(b)
	l.in.Add(uint64(n))
	l.watch.wake(l)
	return n, err
}

// serve reads until the link ends, hands every frame that concerns a call to handle, and
// returns why it ended. It never blocks in a write, nor may handle.
func (l *link) serve(handle func(wire.Frame) error) error {
	r := wire.NewReader(l)
	for {
		f, err := r.Next()
		if err == nil {
			err = l.dispatch(f, handle)
		}
		if err != nil {
			if err == io.EOF {
				err = errHungUp
			}
			l.fail(err)
			<-l.w.closed // a farewell takes a second at most
			return l.cause()
		}
	}
}

func (l *link) dispatch(f wire.Frame, handle func(wire.Frame) error) error {
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
			return l.grant(nil, f)
		}
	}
	if cost := f.Cost(); cost > 0 {
		if !l.window.take(cost) {
			return wire.Violation("more data than the connection has credit for")
		}
		// Credit of the connection comes back at once: what a call does not take off our
		// hands is bounded by the credit of that call, and stalls no other.
		l.sendCredit(0, l.window.give(cost, l.o.Window))
	}
	return handle(f)
}

func (l *link) grant(f *outflow, fr wire.Frame) error {
	if !l.w.grant(f, wire.ParseCredit(fr.Body)) {
		return wire.Violation("more credit than a window can be")
	}
	return nil
}

func (l *link) sendCredit(call, n uint32) {
	if n > 0 {
		var b [wire.HeaderSize + 4]byte
		l.w.sendUrgent(wire.AppendCredit(b[:0], call, n))
	}
}

const pingSize = wire.HeaderSize + 8

func (l *link) sendPing(t wire.Type, opaque [8]byte) {
	var b [pingSize]byte
	l.w.sendUrgent(wire.AppendPing(b[:0], t, opaque))
}

// fail ends the link for the first reason that is given. A peer that broke the protocol, or
// is believed dead, is told so.
func (l *link) fail(err error) {
	l.mu.Lock()
	if l.err != nil {
		l.mu.Unlock()
		return
	}
	l.err = err
	close(l.gone)
	l.mu.Unlock()
	l.watch.stop()
	var last []byte
	violation, violated := errors.AsType[wire.Violation](err)
	switch {
	case violated:
		last = wire.GoAway{Reason: wire.ReasonViolation, Text: string(violation)}.Append(nil)
	case errors.Is(err, errSilent):
		last = wire.GoAway{Reason: wire.ReasonStalled, Text: err.Error()}.Append(nil)
	}
	l.w.close(err, last)
}

// cause is why the link ended; nil while it lives.
func (l *link) cause() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.err
}

func (l *link) bytesOut() uint64 {
	l.w.mu.Lock()
	defer l.w.mu.Unlock()
	return l.w.bytes
}

var (
	errHungUp  = errors.New("the peer hung up")
	errSilent  = errors.New("the peer does not answer")
	errStalled = errors.New("the peer takes no data")
)

// watch looks after a link: often while calls are in flight, data waits to be written, or something
// arrives, and once in PingIdle otherwise.
//
// A peer is alive if anything comes from it. One that takes what we send may have nothing to say for
// a long time, and a PING waits behind what it takes. So whoever receives and has nothing to send
// says PONG of its own accord, and a link may be slow.
type watch struct {
	mu      sync.Mutex
	timer   *time.Timer
	due     time.Time // when the timer was to fire
	often   atomic.Bool
	stopped bool

	in      uint64    // bytes read when last looked at
	payload uint64    // of these, the bytes that are neither PING nor PONG
	heard   time.Time // when in was first seen
	pinged  time.Time // zero unless a PING is unanswered
	waits   bool      // data waited to be written when last looked
	written uint64    // bytes written when last looked
	moved   time.Time // when it was first seen to wait since something was written
}

func (w *watch) start(l *link) {
	now := time.Now()
	w.mu.Lock()
	defer w.mu.Unlock()
	w.heard, w.moved = now, now
	w.due = now.Add(l.o.PingIdle)
	w.timer = time.AfterFunc(l.o.PingIdle, func() { w.look(l) })
}

func (w *watch) stop() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.stopped = true
	w.timer.Stop()
}

// wake makes the watch look often: a call has begun.
func (w *watch) wake(l *link) {
	if w.often.Load() {
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if !w.stopped && !w.often.Swap(true) {
		w.after(l.o.PingAfter / 2)
	}
}

func (w *watch) after(d time.Duration) {
	w.due = time.Now().Add(d)
	w.timer.Reset(d)
}

func (w *watch) look(l *link) {
	w.mu.Lock()
	say, err := w.judge(l, time.Now())
	w.mu.Unlock()
	if say != 0 {
		l.sendPing(say, [8]byte{})
	}
	if err != nil {
		l.fail(err)
	}
}

// judge decides whether to send a PING or PONG, or to give up, and when to look again.
func (w *watch) judge(l *link, now time.Time) (say wire.Type, err error) {
	waiting, written := l.w.progress()
	in := l.in.Load()
	payload := in - l.pings.Load()
	fed := payload != w.payload
	w.payload = payload

	// A timer that fires far too late means that this process stood still, and tells nothing
	// about the peer.
	late := now.Sub(w.due) > max(time.Second, l.o.PingTimeout/2)
	if in != w.in || late {
		w.in, w.heard, w.pinged = in, now, time.Time{}
	}
	if !w.waits || written != w.written || late {
		w.moved = now
	}
	quiet := written == w.written && !waiting
	w.waits, w.written = waiting, written

	active := waiting || fed || l.calls() > 0
	silence := l.o.PingIdle
	if active {
		silence = l.o.PingAfter
	}
	next := l.o.PingAfter / 2
	switch {
	case w.stopped:
		return 0, nil
	case waiting && now.Sub(w.moved) >= l.o.WriteTimeout:
		return 0, fmt.Errorf("%w for %v", errStalled, now.Sub(w.moved))
	case !w.pinged.IsZero() && now.Sub(w.pinged) >= l.o.PingTimeout:
		return 0, fmt.Errorf("%w for %v", errSilent, now.Sub(w.heard))
	case !w.pinged.IsZero():
		next = min(next, l.o.PingTimeout-now.Sub(w.pinged))
	case now.Sub(w.heard) >= silence:
		say, w.pinged = wire.TypePing, now
		next = min(next, l.o.PingTimeout)
	case fed && quiet:
		say = wire.TypePong
	}

	often := active || !w.pinged.IsZero()
	w.often.Store(often)
	if !often {
		next = max(l.o.PingIdle-now.Sub(w.heard), next)
	}
	w.after(next)
	return say, nil
}
