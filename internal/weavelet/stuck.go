package weavelet

import (
	"context"
	"sync"
	"time"
)

// stuckTime is how long the calls of a component may go on that nobody waits for any more, while no
// other call of it ends, before the component is taken to be deadlocked. Methods that work on for
// longer than this after their callers have given up are few, and what they do is lost.
const stuckTime = 30 * time.Second

// inFlight are the calls of one component that are served for others.
type inFlight struct {
	mu      sync.Mutex
	running []running
	free    []int     // places in running
	ended   bool      // a call has, since the last look
	still   time.Time // since when none has
}

// running is a call that runs, or the place for one.
type running struct {
	ctx   context.Context // nil: there is none
	since time.Time       // when it was first seen that nobody waits, if it was
}

// begin notes a call, and returns the place that it has until its end.
func (c *inFlight) begin(ctx context.Context) (place int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	last := len(c.free) - 1
	if last < 0 {
		c.running = append(c.running, running{ctx: ctx})
		return len(c.running) - 1
	}

	place, c.free = c.free[last], c.free[:last]
	c.running[place].ctx = ctx
	return place
}

// end forgets the call that has a place.
func (c *inFlight) end(place int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.running[place] = running{}
	c.free = append(c.free, place)
	c.ended = true
}

// stuck looks at the calls, and reports whether the component is deadlocked. A method that takes long
// and does not look at its context is taken for one only if all of the component's calls do so.
func (c *inFlight) stuck(now time.Time) (stuck bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.ended || c.still.IsZero() {
		c.ended, c.still = false, now
	}
	for i := range c.running {
		r := &c.running[i]
		switch {
		case r.ctx == nil || r.ctx.Err() == nil:
		case r.since.IsZero():
			r.since = now
		default:
			stuck = stuck || now.Sub(r.since) >= stuckTime && now.Sub(c.still) >= stuckTime
		}
	}
	return stuck
}
