// Package pulse waits for signs of life of a process.
package pulse

import (
	"fmt"
	"sync"
	"time"
)

// Pulse waits for the next sign of life, from the first one on. The time is counted in steps of which
// none is longer than this process runs: one that stood still itself has heard nothing.
type Pulse struct {
	Lock    sync.Locker      // held by whoever calls the methods, and for Stopped
	Every   time.Duration    // the longest time between two signs; 0 if none are expected
	Stopped func(why string) // none has come in time

	left  int         // steps
	timer *time.Timer // of the next one; nil while nothing is waited for
}

const steps = 10

// Beat is a sign of life.
func (p *Pulse) Beat() {
	p.Stop()
	if p.Every <= 0 {
		return
	}

	p.left = steps
	every := p.Every
	var timer *time.Timer
	timer = time.AfterFunc(every/steps, func() {
		p.Lock.Lock()
		defer p.Lock.Unlock()
		if p.timer != timer {
			return
		}
		if p.left--; p.left > 0 {
			timer.Reset(every / steps)
			return
		}
		p.timer = nil
		p.Stopped(fmt.Sprintf("it has given no sign of life for %v", every))
	})
	p.timer = timer
}

// Stop ends the wait.
func (p *Pulse) Stop() {
	if p.timer != nil {
		p.timer.Stop()
		p.timer = nil
	}
}
