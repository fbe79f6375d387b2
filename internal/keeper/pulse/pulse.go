// Package pulse waits for signs of life of a process.
package pulse

import (
	"fmt"
	"sync"
	"time"

	"github.com/divisi-go/divisi/internal/keeper/alarm"
)

// Pulse waits for the next sign of life, from the first one on. The time is counted in steps of which
// none is longer than this process runs: one that stood still itself has heard nothing.
type Pulse struct {
	Lock    sync.Locker      // held by whoever calls the methods, and for Stopped
	Every   time.Duration    // the longest time between two signs; 0 if none are expected
	Stopped func(why string) // none has come in time

	left int         // steps
	step alarm.Alarm // at the end of one
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
	p.step = alarm.Alarm{Lock: p.Lock, Ring: func() {
		if p.left--; p.left > 0 {
			p.step.Set(every / steps)
			return
		}
		p.Stopped(fmt.Sprintf("it has given no sign of life for %v", every))
	}}
	p.step.Set(every / steps)
}

// Stop ends the wait.
func (p *Pulse) Stop() { p.step.Stop() }
