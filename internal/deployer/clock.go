package deployer

import (
	"time"

	"github.com/divisi-go/divisi/internal/lifecycle"
)

// clock tells the time as far as this process has seen it pass: while the process stands still,
// because it is stopped, its machine sleeps or is overloaded, the clock does too. So nobody is
// given up for a time in which nobody here could have heard of them.
//
// It is read at least once in every [lifecycle.Question]; the zero value is ready. It belongs to the
// goroutine of Serve.
type clock struct {
	last  time.Time     // when it was read
	stood time.Duration // in all
}

func (c *clock) now() time.Time { return c.at(time.Now()) }

// at is the time of this clock at a time of the machine's.
func (c *clock) at(machine time.Time) time.Time {
	if !c.last.IsZero() {
		if gap := machine.Sub(c.last); gap > 2*lifecycle.Question {
			c.stood += gap - lifecycle.Question
		}
	}
	c.last = machine

	return machine.Add(-c.stood)
}
