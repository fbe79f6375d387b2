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
	// on reading.
	patience = 200 * time.Microsecond

	// shortBody bounds requests that run on the goroutine that reads, and answers that it sends.
	shortBody = 16 << 10
	// together is how many answers go out in one write at most, while there are requests to go on with.
	together = 64
	// sampled is how many calls of a fast method there are for each whose time is taken.
	sampled = 16
)

// reading says whose turn it is to read a connection. Its reader may lend its turn to a handler that it
// runs itself. If that takes long, another goroutine reads on, and the one with the handler leaves when it
// has sent the answer.
//
// Invariants:
//   - the turn is odd while a handler has it, and never goes back;
//   - one goroutine reads, or runs the handler that has the turn; nobody else touches what is the reader's;
//   - the timer is armed only while a handler has the turn.
type reading struct {
	turn  atomic.Uint64
	timer *time.Timer // of the reader, made when it is first needed
	next  func()      // reads on
}

// lend executes a call, and reports whether this goroutine reads on.
func (r *reading) lend(in *Incoming) (back bool) {
	turn := r.turn.Add(1)
	if r.timer == nil {
		r.timer = time.AfterFunc(patience, r.pass)
	} else {
		r.timer.Reset(patience)
	}
	timer := r.timer // the reader's, from now on

	returned := false
	defer func() {
		// It has ended its goroutine, which cannot read on.
		if !returned && r.turn.CompareAndSwap(turn, turn+1) {
			go r.next()
		}
	}()
	in.execute()
	returned = true
	back = r.turn.CompareAndSwap(turn, turn+1)
	if back {
		timer.Stop()
	}
	return back
}

// pass gives the turn of a handler to another goroutine.
func (r *reading) pass() {
	if turn := r.turn.Load(); turn%2 == 1 && r.turn.CompareAndSwap(turn, turn+1) {
		go r.next()
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
