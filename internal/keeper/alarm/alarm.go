// Package alarm rings under a lock, and never after it was stopped.
package alarm

import (
	"sync"
	"time"
)

// Alarm rings once after it was set. A timer that has gone off just when it is stopped, and waits for the
// lock, is stopped as well.
type Alarm struct {
	Lock sync.Locker // held by whoever calls the methods, and for Ring
	Ring func()

	timer *time.Timer // nil while it is not set
}

// Set has it ring after a time, in place of what it was set to before.
func (a *Alarm) Set(after time.Duration) {
	a.Stop()

	lock := a.Lock
	var timer *time.Timer
	timer = time.AfterFunc(after, func() {
		lock.Lock()
		defer lock.Unlock()
		if a.timer == timer {
			a.timer = nil
			a.Ring()
		}
	})
	a.timer = timer
}

// Stop has it not ring.
func (a *Alarm) Stop() {
	if a.timer != nil {
		a.timer.Stop()
		a.timer = nil
	}
}
