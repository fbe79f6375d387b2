package balance

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/divisi-go/divisi/codegen"
	"github.com/divisi-go/divisi/internal/call"
)

const (
	retryBase = 10 * time.Millisecond // longest first back-off, doubled for each retry
	retryCap  = time.Second           // longest back-off
	budgetCap = 10.0                  // most retries saved up
	budgetAdd = 0.1                   // saved up by each call

	// maxExecutions is how often an idempotent call may meet a connection that breaks: once, and
	// once more, for it may be the call that ends the processes which execute it.
	maxExecutions = 2
)

// ErrNoReplica is the cause when nothing was there to call.
var ErrNoReplica = errors.New("no replica is available")

// errGaveUp says that the last outcome is the one to report.
var errGaveUp = errors.New("gave up")

// attempts is one call on its way from replica to replica.
type attempts struct {
	pool *Pool
	ctx  context.Context
	req  call.Request

	now     time.Time // when it began, or what happened last to it
	tried   []*replica
	retries int
	broken  int       // attempts that may have been executed
	since   time.Time // of the first failure or wait; zero before
	last    error     // the failure before
}

// begin counts a call that begins.
func (a *attempts) begin() {
	a.pool.calls.Add(1)
	a.pool.inFlight.Add(1)
}

// end counts a call that is over.
func (a *attempts) end(reply call.Reply, err error) {
	a.pool.inFlight.Add(-1)
	if err != nil || reply.Status > codegen.StatusAppError {
		a.pool.errors.Add(1)
	}
}

// call makes the call, on as many replicas as it takes.
func (a *attempts) call() (call.Reply, error) {
	for {
		rep, c, err := a.acquire()
		if err != nil {
			return call.Reply{}, err
		}
		began := a.now
		reply, err := c.Call(a.ctx, &a.req)
		a.now = time.Now()
		a.pool.release(rep, c, a.now, outcome{
			method: a.req.Method, routed: a.req.Routed, took: a.now.Sub(began), reply: reply, err: err,
		})
		if !a.retriable(reply, err) {
			return reply, err
		}
		switch wait := a.again(rep, reply, err); {
		case errors.Is(wait, errGaveUp):
			return reply, err
		case wait != nil:
			return call.Reply{}, wait
		}
	}
}

// acquire returns a replica that is connected, waiting for one if need be. The replica must be
// released.
func (a *attempts) acquire() (*replica, *call.Client, error) {
	p := a.pool
	for {
		if a.ctx.Err() != nil {
			return nil, nil, a.expired()
		}
		p.mu.Lock()
		if p.closed {
			p.mu.Unlock()
			return nil, nil, &call.Error{Executed: a.broken > 0, Err: call.ErrClosed}
		}
		rep, wait := p.chooseLocked(a.now, &a.req, a.tried)
		if rep != nil {
			c := rep.conn
			rep.inFlight++
			if a.retries == 0 {
				p.budget = min(p.budget+budgetAdd, budgetCap)
			}
			p.mu.Unlock()
			return rep, c, nil
		}
		changed, known := p.changed, p.lastFailure
		p.mu.Unlock()
		if a.retries == 0 {
			a.last = ErrNoReplica
			if known != nil {
				a.last = fmt.Errorf("%w: %v", ErrNoReplica, known)
			}
		}
		if err := a.wait(changed, wait); errors.Is(err, errGaveUp) {
			return nil, nil, &call.Error{Executed: a.broken > 0, Err: a.last}
		} else if err != nil {
			return nil, nil, err
		}
	}
}

// wait waits for a change, for d, or for the end of the call.
func (a *attempts) wait(changed <-chan struct{}, d time.Duration) error {
	if a.since.IsZero() {
		a.since = a.now
	}
	if _, bounded := a.ctx.Deadline(); !bounded && a.now.Sub(a.since) >= a.pool.o.GiveUp {
		return errGaveUp
	}
	defer func() { a.now = time.Now() }()
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-changed:
	case <-t.C:
	case <-a.pool.ctx.Done():
	case <-a.ctx.Done():
		return a.expired()
	}
	return nil
}

// expired is the end of a call whose context has ended while no replica had it.
func (a *attempts) expired() error {
	if a.last == nil {
		return a.ctx.Err()
	}
	return fmt.Errorf("%w while waiting for a replica (%v)", a.ctx.Err(), a.last)
}

// retriable reports whether the call may be made again: surely not executed, or idempotent.
func (a *attempts) retriable(reply call.Reply, err error) bool {
	if err == nil {
		return refused(reply.Status)
	}
	e, ok := errors.AsType[*call.Error](err)
	return ok && (!e.Executed || a.req.Idempotent) && a.ctx.Err() == nil
}

// again waits for as long as it takes before the next attempt does more good than harm. It
// returns errGaveUp if there is to be none.
func (a *attempts) again(rep *replica, reply call.Reply, err error) error {
	a.last = err
	if err == nil {
		a.last = fmt.Errorf("%s answers %v", rep.addr, reply.Status)
	}
	e, ok := errors.AsType[*call.Error](err)
	broken := ok && e.Executed
	if broken {
		a.broken++
		if a.broken == maxExecutions {
			return errGaveUp
		}
	}
	a.retries++
	a.tried = append(a.tried, rep)
	p := a.pool
	p.mu.Lock()
	p.stats.Retries++
	fresh := p.othersLocked(a.tried)
	// A connection that breaks costs each of its calls one retry: these are no more than were in
	// flight. What can feed on itself is budgeted: refusals of replicas that have too much to do
	// already. A call for which there is no budget is not given up but slowed down.
	budgeted := err == nil && reply.Status == codegen.StatusOverloaded
	paid := p.budget >= 1
	if paid && budgeted {
		p.budget--
	}
	p.mu.Unlock()
	pause := jitter(min(retryCap, retryBase<<min(a.retries-1, 10)))
	switch {
	case budgeted && !paid:
		pause = retryCap/2 + jitter(retryCap/2)
	case fresh:
		return nil
	}
	// Nothing is gained by waiting for the end of the call's own time.
	if deadline, ok := a.ctx.Deadline(); ok && budgeted && time.Until(deadline) <= pause {
		return errGaveUp
	}
	if !fresh {
		a.tried = a.tried[:0]
	}
	return a.wait(nil, pause)
}

// othersLocked reports whether a replica can be called that has not been tried. It is called with mu
// held.
func (p *Pool) othersLocked(tried []*replica) bool {
	now := time.Now()
	return slices.ContainsFunc(p.replicas, func(r *replica) bool {
		return r.healthy(now) && !slices.Contains(tried, r)
	})
}

// jitter is a random time of at most d ("full jitter").
func jitter(d time.Duration) time.Duration { return rand.N(d + 1) }

// refused says that the call was not executed and may be sent to another replica.
func refused(s codegen.Status) bool {
	return s == codegen.StatusOverloaded || s == codegen.StatusDraining
}
