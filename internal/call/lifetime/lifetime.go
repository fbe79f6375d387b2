// Package lifetime is the context of a call that has arrived.
package lifetime

import (
	"context"
	"sync"
	"time"
)

// Lifetime is the context of a call. It ends with the call's deadline, when the caller cancels or has gone,
// and when the handler has returned. Few handlers wait for that: a context that can be waited for, which
// costs more than a short call, is made for the first one that does.
//
// Invariants, whenever mu is free:
//   - once waited is made, it says how the lifetime ends, and err stays nil;
//   - once err is set it stays.
type Lifetime struct {
	parent   context.Context // the connection's
	deadline time.Time       // zero: none

	mu     sync.Mutex
	waited context.Context // nil until somebody waits
	cancel context.CancelFunc
	err    error // why it has ended before anybody waited
}

var _ context.Context = (*Lifetime)(nil)

// Begin makes l the lifetime of a call on a connection, whose context is parent. No deadline is the zero one.
func (l *Lifetime) Begin(parent context.Context, deadline time.Time) {
	l.parent, l.deadline = parent, deadline
}

// End ends it, unless it has ended.
func (l *Lifetime) End() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.waited != nil {
		l.cancel()
	} else if l.errLocked() == nil {
		l.err = context.Canceled
	}
}

// Deadline implements context.Context.
func (l *Lifetime) Deadline() (time.Time, bool) { return l.deadline, !l.deadline.IsZero() }

// Done implements context.Context.
func (l *Lifetime) Done() <-chan struct{} {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.waited == nil {
		ended := l.errLocked()
		if l.deadline.IsZero() || ended == context.Canceled {
			l.waited, l.cancel = context.WithCancel(l.parent)
		} else {
			l.waited, l.cancel = context.WithDeadline(l.parent, l.deadline)
		}
		l.err = nil
		if ended != nil {
			l.cancel()
		}
	}
	return l.waited.Done()
}

// Err implements context.Context.
func (l *Lifetime) Err() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.errLocked()
}

func (l *Lifetime) errLocked() error {
	switch {
	case l.waited != nil:
		return l.waited.Err()
	case l.err != nil:
	case l.parent.Err() != nil:
		l.err = l.parent.Err()
	case !l.deadline.IsZero() && !time.Now().Before(l.deadline):
		l.err = context.DeadlineExceeded
	}
	return l.err
}

// Value implements context.Context.
func (l *Lifetime) Value(key any) any {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.waited == nil {
		return nil
	}
	return l.waited.Value(key) // its own, by which package context finds it
}
