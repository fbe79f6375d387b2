package load

import (
	"context"
	"fmt"
	"math"
	"sync"
	"time"
)

// Load is what callers have seen.
type Load struct {
	Calls          uint64
	Took           time.Duration
	P50, P99, P999 time.Duration
	Used           Usage // by the process that calls
}

// crew is callers that stay: each has its connection, if its system needs one.
type crew struct {
	hire    func() (Caller, error)
	callers []Caller
}

// run has a number of callers call for some time.
func (c *crew) run(o Order) (Load, error) {
	for len(c.callers) < o.Callers {
		one, err := c.hire()
		if err != nil {
			return Load{}, err
		}
		c.callers = append(c.callers, one)
	}

	// What answers requests has a context that can end, so all calls here have one.
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	seen := make([]latencies, o.Callers)
	errs := make([]error, o.Callers)
	var wg sync.WaitGroup
	before, err := used()
	if err != nil {
		return Load{}, err
	}
	begin := time.Now()
	end := begin.Add(o.Time)
	for i, call := range c.callers[:o.Callers] {
		wg.Go(func() { errs[i] = seen[i].repeat(ctx, call, o, end) })
	}
	wg.Wait()

	l := Load{Took: time.Since(begin)}
	after, err := used()
	if err != nil {
		return Load{}, err
	}
	l.Used = after.Since(before)
	all := latencies{}
	for i := range seen {
		if errs[i] != nil {
			return Load{}, fmt.Errorf("caller %d of %d, %s: %w", i, o.Callers, o.Payload, errs[i])
		}
		for at, n := range seen[i] {
			all[at] += n
			l.Calls += uint64(n)
		}
	}
	l.P50, l.P99, l.P999 = all.quantile(0.5, l.Calls), all.quantile(0.99, l.Calls), all.quantile(0.999, l.Calls)
	return l, nil
}

// latencies counts calls by how long they took, in steps of a sixteenth of a doubling.
type latencies [steps * 32]uint32

const steps = 16

// repeat makes calls, one after the other.
func (l *latencies) repeat(ctx context.Context, call Caller, o Order, end time.Time) error {
	for begin := time.Now(); begin.Before(end); {
		if err := once(ctx, call, o); err != nil {
			return err
		}
		now := time.Now()
		took := max(now.Sub(begin), 1)
		at := min(int(math.Log2(float64(took))*steps), len(l)-1)
		l[at]++
		begin = now
	}
	return nil
}

func once(ctx context.Context, call Caller, o Order) error {
	if o.Deadline > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, o.Deadline)
		defer cancel()
	}
	return call(ctx, o.Payload)
}

// quantile returns the time within which a part of the calls were answered.
func (l *latencies) quantile(part float64, calls uint64) time.Duration {
	left := uint64(math.Ceil(part * float64(calls)))
	for at, n := range l {
		if left <= uint64(n) {
			return time.Duration(math.Exp2((float64(at) + 0.5) / steps))
		}
		left -= uint64(n)
	}
	return 0
}
