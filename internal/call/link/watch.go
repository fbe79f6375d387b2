package link

import (
	"errors"
	"fmt"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"github.com/divisi-go/divisi/internal/wire"
)

var (
	errHungUp = errors.New("the peer hung up")

	// ErrSilent is why a link ends whose peer shows no sign of life.
	ErrSilent = errors.New("the peer does not answer")
	// ErrStalled is why a link ends whose peer takes nothing of what is written.
	ErrStalled = errors.New("the peer takes no data")
)

// watch looks after a link: often while calls are in flight, data waits to be written, or something
// arrives, and once in PingIdle otherwise.
//
// A peer is alive if anything comes from it. One that takes what we send may have nothing to say for
// a long time, and a PING waits behind what it takes. So whoever receives and has nothing to send
// says PONG of its own accord, and a link may be slow.
//
// A process may have so much to do that the goroutine that reads comes too late to answer, or to find the
// answer. A timer does not wait for its turn: so whoever has calls in flight says PONG as well, and nobody is given
// up before those who read and write at this end have had their turn.
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

func (w *watch) start(l *Link) {
	now := time.Now()
	w.mu.Lock()
	defer w.mu.Unlock()
	w.heard, w.moved = now, now
	w.due = now.Add(l.Options.PingIdle)
	w.timer = time.AfterFunc(l.Options.PingIdle, func() { w.look(l) })
}

func (w *watch) stop() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.stopped = true
	w.timer.Stop()
}

// wake makes the watch look often: a call has begun.
func (w *watch) wake(l *Link) {
	if w.often.Load() {
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if !w.stopped && !w.often.Swap(true) {
		w.afterLocked(l.Options.PingAfter / 2)
	}
}

func (w *watch) afterLocked(d time.Duration) {
	w.due = time.Now().Add(d)
	w.timer.Reset(d)
}

func (w *watch) look(l *Link) {
	say, err := w.judge(l)
	if err != nil {
		runtime.Gosched() // behind all that are ready to run
		say, err = w.judge(l)
	}
	if say != 0 {
		l.sendPing(say, [8]byte{})
	}
	if err != nil {
		l.Fail(err)
	}
}

func (w *watch) judge(l *Link) (say wire.Type, err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.judgeLocked(l, time.Now())
}

// judgeLocked decides whether to send a PING or PONG, or to give up, and when to look again.
func (w *watch) judgeLocked(l *Link, now time.Time) (say wire.Type, err error) {
	waiting, written := l.Out.Progress()
	in := l.in.Load()
	payload := in - l.pings.Load()
	fed := payload != w.payload
	w.payload = payload

	// A timer that fires far too late means that this process stood still, and tells nothing
	// about the peer.
	late := now.Sub(w.due) > max(time.Second, l.Options.PingTimeout/2)
	if in != w.in || late {
		w.in, w.heard, w.pinged = in, now, time.Time{}
	}
	if !w.waits || written != w.written || late {
		w.moved = now
	}
	quiet := written == w.written && !waiting
	w.waits, w.written = waiting, written

	calls := l.calls() > 0
	active := waiting || fed || calls
	silence := l.Options.PingIdle
	if active {
		silence = l.Options.PingAfter
	}
	next := l.Options.PingAfter / 2
	switch {
	case w.stopped:
		return 0, nil
	case waiting && now.Sub(w.moved) >= l.Options.WriteTimeout:
		return 0, fmt.Errorf("%w for %v", ErrStalled, now.Sub(w.moved))
	case !w.pinged.IsZero() && now.Sub(w.pinged) >= l.Options.PingTimeout:
		return 0, fmt.Errorf("%w for %v", ErrSilent, now.Sub(w.heard))
	case w.pinged.IsZero() && now.Sub(w.heard) >= silence:
		say, w.pinged = wire.TypePing, now
		next = min(next, l.Options.PingTimeout)
	case quiet && (fed || calls):
		say = wire.TypePong
	}
	if !w.pinged.IsZero() {
		next = min(next, w.pinged.Add(l.Options.PingTimeout).Sub(now))
	}

	often := active || !w.pinged.IsZero()
	w.often.Store(often)
	if !often {
		next = max(l.Options.PingIdle-now.Sub(w.heard), next)
	}
	w.afterLocked(next)
	return say, nil
}
