package link

import (
	"container/list"
	"context"
	"sync"
)

// Line is where goroutines wait for something to be free, in the order in which they came.
//
// Invariants, whenever mu is free:
//   - nobody has taken anything who came after somebody that still waits;
//   - if something is free and somebody waits, then the first has been told.
type Line struct {
	mu      *sync.Mutex // guards the line and what is waited for
	free    func() bool // there is something to take, or never will be; called with mu held
	waiting list.List   // of channels of capacity 1
}

// NewLine returns a line of those that wait until free, which is called with mu held, is true.
func NewLine(mu *sync.Mutex, free func() bool) Line { return Line{mu: mu, free: free} }

// EnterLocked returns once it is the caller's turn and something is free, or with ctx's error. It is
// called with mu held, returns with mu held, and releases it while it waits. Who has entered takes
// its part and calls NextLocked before it releases mu.
func (l *Line) EnterLocked(ctx context.Context) error {
	if l.waiting.Len() == 0 && l.free() {
		return nil
	}

	told := make(chan struct{}, 1)
	place := l.waiting.PushBack(told)
	for l.waiting.Front() != place || !l.free() {
		l.mu.Unlock()
		var err error
		select {
		case <-told:
		case <-ctx.Done():
			err = ctx.Err()
		}
		l.mu.Lock()

		if err != nil {
			l.waiting.Remove(place)
			l.NextLocked()
			return err
		}
	}
	l.waiting.Remove(place)
	return nil
}

// NextLocked tells the first in the line if something is free. It is called with mu held, after every
// change of what is free.
func (l *Line) NextLocked() {
	first := l.waiting.Front()
	if first == nil || !l.free() {
		return
	}
	select {
	case first.Value.(chan struct{}) <- struct{}{}:
	default: // has been told, and has not looked yet
	}
}
