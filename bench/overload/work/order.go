package work

import (
	"context"
	"encoding/binary"
	"slices"
	"sync"
	"time"
)

// Order is what calls a client is to make.
type Order struct {
	Task     Task
	Deadline time.Duration // of each call; 0 is none
	Time     time.Duration

	// Callers make one call after the other; or else there are Rate calls in a second, whatever becomes of
	// them, as long as no more than most are in flight.
	Callers int
	Rate    float64

	Beside *Task // what one more caller does all the time; nothing of it is seen
}

const most = 2000

// Seen is what has become of the calls.
type Seen struct {
	Time   time.Duration
	Offers int           // calls that were to be made
	Good   int           // answered in time
	Failed int           // not
	Used   time.Duration // by the processor of a server
	// Of the good ones:
	P50, P99, P999 time.Duration
}

// run makes calls.
func (o Order) run(call Caller) Seen {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	var beside sync.WaitGroup
	defer beside.Wait()
	if o.Beside != nil {
		beside.Go(func() {
			for ctx.Err() == nil {
				_, _ = call(ctx, *o.Beside)
			}
		})
	}
	defer cancel()

	r := &record{}
	before := usage(ctx, call)
	begin := time.Now()
	if o.Callers > 0 {
		o.repeat(ctx, call, r)
	} else {
		o.keepUp(ctx, call, r)
	}
	s := r.seen(time.Since(begin))
	s.Used = usage(ctx, call) - before
	return s
}

// usage asks a server how much time of processors it has taken.
func usage(ctx context.Context, call Caller) time.Duration {
	for {
		b, err := call(ctx, Task{Usage: true})
		if err == nil {
			return time.Duration(binary.LittleEndian.Uint64(b))
		}
	}
}

// repeat has callers make one call after the other.
func (o Order) repeat(ctx context.Context, call Caller, r *record) {
	var wg sync.WaitGroup
	end := time.Now().Add(o.Time)
	for range o.Callers {
		wg.Go(func() {
			for time.Now().Before(end) {
				o.once(ctx, call, r)
			}
		})
	}
	wg.Wait()
}

// keepUp makes calls at a rate.
func (o Order) keepUp(ctx context.Context, call Caller, r *record) {
	var wg sync.WaitGroup
	room := make(chan struct{}, most)
	begin := time.Now()
	for due := 0; ; time.Sleep(time.Millisecond) {
		passed := min(time.Since(begin), o.Time)
		for ; due < int(passed.Seconds()*o.Rate); due++ {
			select {
			case room <- struct{}{}:
				wg.Go(func() {
					o.once(ctx, call, r)
					<-room
				})
			default:
				r.fail()
			}
		}
		if passed == o.Time {
			break
		}
	}
	wg.Wait()
}

func (o Order) once(ctx context.Context, call Caller, r *record) {
	if o.Deadline > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, o.Deadline)
		defer cancel()
	}
	begin := time.Now()
	_, err := call(ctx, o.Task)
	if took := time.Since(begin); err == nil && (o.Deadline == 0 || took <= o.Deadline) {
		r.good(took)
	} else {
		r.fail()
	}
}

// record collects what becomes of calls.
type record struct {
	mu     sync.Mutex
	took   []time.Duration
	failed int
}

func (r *record) good(took time.Duration) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.took = append(r.took, took)
}

func (r *record) fail() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.failed++
}

func (r *record) seen(passed time.Duration) Seen {
	slices.Sort(r.took)
	quantile := func(q float64) time.Duration {
		if len(r.took) == 0 {
			return 0
		}
		return r.took[min(int(q*float64(len(r.took))), len(r.took)-1)]
	}
	return Seen{
		Time: passed, Offers: len(r.took) + r.failed, Good: len(r.took), Failed: r.failed,
		P50: quantile(0.5), P99: quantile(0.99), P999: quantile(0.999),
	}
}
