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
	running map[context.Context]time.Time // when it was first seen that nobody waits, if it was
	ended   bool                          // one has, since the last look
	still   time.Time                     // since when none has
}

func (c *inFlight) begin(ctx context.Context) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.running == nil {
		c.running = map[context.Context]time.Time{}
	}
	c.running[ctx] = time.Time{}
}

func (c *inFlight) end(ctx context.Context) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.running, ctx)
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
	for ctx, since := range c.running {
		switch {
		case ctx.Err() == nil:
		case since.IsZero():
			c.running[ctx] = now
		default:
			stuck = stuck || now.Sub(since) >= stuckTime && now.Sub(c.still) >= stuckTime
		}
	}
	return stuck
}
