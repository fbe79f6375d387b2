package lifecycle

import "time"

// Clock tells the time as far as a supervisor has seen it pass: while its process stands still,
// because it is stopped, its machine sleeps or is overloaded, the clock does too. So nobody is given
// up for a time in which no supervisor could have heard of them.
//
// It is to be read at least once in every [Question]; the zero value is ready. It is not safe for
// concurrent use.
type Clock struct {
	last  time.Time     // when it was read
	stood time.Duration // in all
}

// At returns the time of this clock at a time of the machine's.
func (c *Clock) At(machine time.Time) time.Time {
	gap := machine.Sub(c.last)
	if !c.last.IsZero() && gap > 2*Question {
		c.stood += gap - Question
	}
	c.last = machine

	return machine.Add(-c.stood)
}
