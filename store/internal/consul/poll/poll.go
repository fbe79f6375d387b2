// Package poll lets many requests wait for a change of what they ask, and reads once for all that ask the same.
package poll

import (
	"context"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/divisi-go/divisi/store/internal/consul/index"
)

// Question is what a request asks.
type Question struct {
	Name   string // equal where the answer is
	Ranges []index.Range
	Read   func(context.Context) (*Answer, error)
}

// Answer is what several requests get. Nobody changes it.
type Answer struct {
	Index  int64
	Absent bool // there is nothing, and whoever waits for something waits on
	Status int  // of HTTP, 200 by default
	Kind   string
	Body   []byte
}

// Patience is how long one look into the store may take.
const Patience = 10 * time.Second

// Poll knows the questions that requests ask at the moment.
type Poll struct {
	index   *index.Index
	stopped chan struct{}

	mu     sync.Mutex
	shares map[string]*share // by the name of what is asked
}

// New returns a poll of what an index follows.
func New(x *index.Index) *Poll {
	return &Poll{index: x, stopped: make(chan struct{}), shares: map[string]*share{}}
}

// Stop has all requests answered at once that wait, and those that come later.
func (p *Poll) Stop() { close(p.stopped) }

// Stopped is closed by Stop.
func (p *Poll) Stopped() <-chan struct{} { return p.stopped }

// Asking returns how many requests there are.
func (p *Poll) Asking() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	n := 0
	for _, sh := range p.shares {
		n += sh.asked
	}
	return n
}

// Ask answers a question at once where after is 0, and else when the answer's index is greater, when the time is over, to
// which up to a sixteenth is added so that not all come back at the same moment, or when the poll stops. It reports whether
// the request has waited.
func (p *Poll) Ask(ctx context.Context, q Question, after int64, wait time.Duration) (a *Answer, waited bool, err error) {
	sh := p.join(q)
	defer p.leave(sh)
	changed := sh.point.Changed()
	a, err = sh.ask(ctx)
	if err != nil || after == 0 || a.Index > after {
		return a, false, err
	}

	over := time.NewTimer(wait + rand.N(wait/16+1))
	defer over.Stop()
	for {
		last := false
		select {
		case <-changed:
		case <-over.C:
			last = true
		case <-p.stopped:
			last = true
		case <-ctx.Done():
			return nil, true, ctx.Err()
		}
		absent := a.Absent
		changed = sh.point.Changed()
		a, err = sh.askAgain(ctx, changed)
		if err != nil || last || a.Index > after && !(absent && a.Absent) {
			return a, true, err
		}
	}
}

// share is a question that requests ask at the same time: they wait at one point, and one of them reads for all.
type share struct {
	Question
	point *index.Point
	asked int // how many requests there are; of the mutex of Poll

	mu      sync.Mutex
	next    *reading // which has not begun
	last    *reading // which has begun last
	reading bool
}

// reading is one look into the store, for those who asked before it began.
type reading struct {
	changed <-chan struct{} // closed at the first change after it began
	done    chan struct{}
	answer  *Answer
	err     error
}

// join returns the share of a question. Each join wants a leave.
func (p *Poll) join(q Question) *share {
	p.mu.Lock()
	defer p.mu.Unlock()
	sh := p.shares[q.Name]
	if sh == nil {
		sh = &share{Question: q, point: p.index.Join(q.Ranges...)}
		p.shares[q.Name] = sh
	}
	sh.asked++
	return sh
}

func (p *Poll) leave(sh *share) {
	p.mu.Lock()
	defer p.mu.Unlock()
	sh.asked--
	if sh.asked == 0 {
		delete(p.shares, sh.Name)
		sh.point.Leave()
	}
}

// ask returns an answer that was read after ask was called.
func (sh *share) ask(ctx context.Context) (*Answer, error) {
	sh.mu.Lock()
	r := sh.next
	if r == nil {
		r = &reading{done: make(chan struct{})}
		sh.next = r
		if !sh.reading {
			sh.reading = true
			go sh.work(context.WithoutCancel(ctx))
		}
	}
	sh.mu.Unlock()
	return r.wait(ctx)
}

func (r *reading) wait(ctx context.Context) (*Answer, error) {
	select {
	case <-r.done:
		return r.answer, r.err
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// askAgain returns an answer that was read after the last change, of which changed was taken. What others have read will do.
func (sh *share) askAgain(ctx context.Context, changed <-chan struct{}) (*Answer, error) {
	sh.mu.Lock()
	last := sh.last
	sh.mu.Unlock()
	if last != nil && last.changed == changed {
		a, err := last.wait(ctx)
		if err == nil {
			return a, nil
		}
	}
	return sh.ask(ctx)
}

// work reads until nobody asks. It has a goroutine of its own, so that those of requests that wait stay small.
func (sh *share) work(ctx context.Context) {
	for {
		sh.mu.Lock()
		r := sh.next
		sh.next, sh.reading = nil, r != nil
		if r != nil {
			r.changed = sh.point.Changed()
			sh.last = r
		}
		sh.mu.Unlock()
		if r == nil {
			return
		}
		limited, cancel := context.WithTimeout(ctx, Patience)
		r.answer, r.err = sh.Read(limited)
		cancel()
		close(r.done)
	}
}
