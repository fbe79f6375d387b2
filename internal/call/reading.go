package call

import (
	"sync/atomic"
	"time"

	"github.com/divisi-go/divisi/codegen"
)

const (
	// fast is how long a method takes at most, as a moving average, that runs on the goroutine that
	// reads: less than it costs to start another one and to wake a processor for it.
	fast = 10 * time.Microsecond
	// unknown is what a method is taken to need that has not proved fast.
	unknown = 10 * fast
	// patience is how long a method may take that was thought to be fast, until another goroutine goes
	// on reading: at most twice as long.
	patience = 500 * time.Microsecond

	// shortBody bounds requests that run on the goroutine that reads, and answers that it sends.
	shortBody = 16 << 10
	// together is how many answers go out in one write at most, while there are requests to go on with.
	together = 64
	// sampled is how many calls of a fast method there are for each whose time is taken.
	sampled = 16
)

// reading says whose turn it is to read a connection. Its reader may lend its turn to a call that it
// executes itself. If that takes long, another goroutine reads on, and the one with the call leaves when it
// has sent the answer.
//
// To set a timer costs as much as a short call, as it may wake a thread. So one look is for all calls
// until then: it takes the turn away from a call that had it at the look before.
//
// Invariants:
//   - the turn is odd while a call has it, and never goes back;
//   - one goroutine reads, or executes the call that has the turn; nobody else touches what is the reader's;
//   - while a call has the turn, a look is to come: seen is not zero, or about to be set by lend or look.
type reading struct {
	turn  atomic.Uint64
	seen  atomic.Uint64 // the turn at the last look, or when the next one was arranged; 0 if none is to come
	timer *time.Timer   // of the next look; made by the first reader
	next  func()        // reads on
}

// lend executes a call, and reports whether this goroutine reads on.
func (r *reading) lend(in *Incoming) (back bool) {
	if r.timer == nil {
		r.timer = time.AfterFunc(time.Hour, r.look)
	}
	turn := r.turn.Add(1)
	r.lookAfter(turn)

	returned := false
	defer func() {
		// It has ended its goroutine, which cannot read on.
		if !returned && r.turn.CompareAndSwap(turn, turn+1) {
			go r.next()
		}
	}()
	in.execute()
	returned = true
	return r.turn.CompareAndSwap(turn, turn+1)
}

// lookAfter arranges a look, if none is to come.
func (r *reading) lookAfter(turn uint64) {
	if r.seen.Load() == 0 && r.seen.CompareAndSwap(0, turn) {
		r.timer.Reset(patience)
	}
}

// look gives the turn of a call that has had it for long to another goroutine.
func (r *reading) look() {
	seen := r.seen.Load()
	taken := seen%2 == 1 && r.turn.CompareAndSwap(seen, seen+1)
	r.seen.Store(0)
	if taken {
		go r.next()
		return
	}
	if turn := r.turn.Load(); turn%2 == 1 {
		r.lookAfter(turn)
	}
}

// method is what a caller may call by an index.
type method struct {
	key     codegen.Key
	handler Handler      // nil: there is none for the caller
	takes   atomic.Int64 // moving average of the handler's time in nanoseconds
	calls   uint         // on the goroutine that reads
}

// isFast reports whether the method has proved fast.
func (m *method) isFast() bool { return m.takes.Load() < int64(fast) }

// learn takes how long a call has taken. That two calls at the same time count as one does not matter.
func (m *method) learn(took time.Duration) {
	before := m.takes.Load()
	m.takes.Store(before + (int64(took)-before)/4)
}
