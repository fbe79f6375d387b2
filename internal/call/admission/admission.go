// Package admission decides which of the calls that have arrived at a server begin now, which wait, and
// which are not begun at all, because their answers would come too late. It has no clock, no goroutine
// and no lock: whoever executes calls tells a [Gate] what happens, and does what it says.
//
// As long as calls end in time, all of them begin at once, however many there are: a handler that
// waits for something costs nothing. Only when calls were executed in vain, because the processors had
// too much to do, is the number of those that run bounded, and it is bounded just so that they end in
// time. Beyond it a call begins whenever a processor has nothing to do.
package admission

import (
	"slices"
	"time"
)

const (
	// shrink is what is left of the limit after a call that ran in vain, growth is what each call adds
	// that ended in time: about one for each time that all of them have ended.
	shrink = 0.7
	growth = 1.0 / 64
	// least is how many calls run for each processor, whatever happens.
	least = 2

	// long is after how long a call counts no more, for it is taken to wait for something: what it
	// waits for may be a call that has not begun.
	long = time.Second

	// patience is how long a call waits that has no deadline.
	patience = 5 * time.Second
)

// Call is a call that has arrived.
type Call struct {
	Subject  any   // what it stands for, for whoever executes it
	Line     *Line // where it waits
	Arrived  time.Time
	Deadline time.Time     // zero if there is none
	Takes    time.Duration // what others like it have taken

	latest time.Time // when to begin it, at the latest
	begun  time.Time
	period int // in which it has begun
}

// wait returns when the call has to begin: when a third of its time has passed, so that its caller can
// still do something with the rest, or earlier if it takes long.
func (c *Call) wait() time.Time {
	if c.Deadline.IsZero() {
		return c.Arrived.Add(patience)
	}
	left := c.Deadline.Sub(c.Arrived)
	return c.Arrived.Add(min(left/3, left-2*c.Takes))
}

// late reports whether the answer comes too late, or could have: more than half of the time has passed,
// and nobody knows how long the ways there and back take.
func (c *Call) late(now time.Time) bool {
	return !c.Deadline.IsZero() && now.Sub(c.Arrived) > c.Deadline.Sub(c.Arrived)/2
}

// Line is the calls of one caller that wait, sorted by when they have to begin.
type Line struct{ calls []*Call }

// Verdict is what is to be done.
type Verdict struct{ Begin, Refuse []*Call }

// Gate is what calls pass when they begin.
//
// Invariants, between calls of its methods:
//   - the lines in lines are those in which calls wait, each once, and waiting is the number of their calls;
//   - at most most calls wait;
//   - limit is at least least for each processor.
type Gate struct {
	processors int
	most       int
	spare      func() int

	limit  float64   // on calls that run
	eased  time.Time // when it was lowered last
	recent [2]int    // calls that run, begun in this period and in the one before
	period int
	turned time.Time // when the period began

	lines   []*Line // the first has the next turn
	waiting int
}

// NewGate returns a gate at which at most a number of calls wait. The number that spare returns says how
// many goroutines more could run at once; it is negative if more wait for processors than there are.
func NewGate(processors, most int, spare func() int) *Gate {
	return &Gate{processors: processors, most: most, spare: spare, limit: float64(most)}
}

// Waiting returns how many calls wait.
func (g *Gate) Waiting() int { return g.waiting }

// Enter reports whether a call begins at once. If not, it waits, and Look says what is to be done.
func (g *Gate) Enter(c *Call, now time.Time) (begins bool) {
	g.turn(now)
	if g.waiting == 0 && (g.running() < int(g.limit) || g.spare() > 0) {
		g.begin(c, now)
		return true
	}

	c.latest = c.wait()
	l := c.Line
	if len(l.calls) == 0 {
		g.lines = append(g.lines, l)
	}
	i := len(l.calls)
	for i > 0 && l.calls[i-1].latest.After(c.latest) {
		i--
	}
	l.calls = slices.Insert(l.calls, i, c)
	g.waiting++
	return false
}

// Leave is told that a call has ended which had begun. Look says what is to be done.
func (g *Gate) Leave(c *Call, now time.Time) {
	g.turn(now)
	switch c.period {
	case g.period:
		g.recent[0]--
	case g.period - 1:
		g.recent[1]--
	}

	if !c.late(now) {
		g.limit = min(g.limit+growth, float64(g.most))
		return
	}
	// What began before the limit was lowered does not tell whether it is low enough.
	if c.begun.After(g.eased) && g.spare() < 0 {
		g.limit = max(shrink*min(g.limit, float64(g.running()+1)), float64(least*g.processors))
		g.eased = now
	}
}

// Look says which of the calls that wait are to be refused, and which begin.
func (g *Gate) Look(now time.Time) (v Verdict) {
	g.turn(now)
	for _, l := range slices.Backward(g.lines) {
		for len(l.calls) > 0 && l.calls[0].latest.Before(now) {
			v.Refuse = append(v.Refuse, g.remove(l, 0))
		}
	}
	for g.waiting > g.most {
		longest := slices.MaxFunc(g.lines, func(a, b *Line) int { return len(a.calls) - len(b.calls) })
		v.Refuse = append(v.Refuse, g.remove(longest, len(longest.calls)-1))
	}

	spare := 0
	if g.waiting > 0 {
		spare = g.spare()
	}
	for ; g.waiting > 0 && (g.running() < int(g.limit) || spare > 0); spare-- {
		l := g.lines[0]
		c := g.remove(l, 0)
		g.begin(c, now)
		v.Begin = append(v.Begin, c)
		if len(l.calls) > 0 {
			g.lines = append(g.lines[1:], l)
		}
	}
	return v
}

// Withdraw takes a call away of which nobody wants the answer any more, and reports whether it waited.
func (g *Gate) Withdraw(c *Call) bool {
	i := slices.Index(c.Line.calls, c)
	if i >= 0 {
		g.remove(c.Line, i)
	}
	return i >= 0
}

// Clear takes all calls away that wait in a line, and returns them.
func (g *Gate) Clear(l *Line) []*Call {
	calls := slices.Clone(l.calls)
	for range calls {
		g.remove(l, len(l.calls)-1)
	}
	return calls
}

// running is how many calls count as running.
func (g *Gate) running() int { return g.recent[0] + g.recent[1] }

// turn begins another period if it is time.
func (g *Gate) turn(now time.Time) {
	switch passed := now.Sub(g.turned); {
	case passed < long:
		return
	case passed < 2*long:
		g.recent[1] = g.recent[0]
		g.period++
	default:
		g.recent[1] = 0
		g.period += 2
	}
	g.recent[0] = 0
	g.turned = now
}

func (g *Gate) begin(c *Call, now time.Time) {
	c.begun, c.period = now, g.period
	g.recent[0]++
}

// remove takes a call out of its line.
func (g *Gate) remove(l *Line, i int) *Call {
	c := l.calls[i]
	l.calls = slices.Delete(l.calls, i, i+1)
	g.waiting--
	if len(l.calls) == 0 {
		at := slices.Index(g.lines, l)
		g.lines = slices.Delete(g.lines, at, at+1)
	}
	return c
}
