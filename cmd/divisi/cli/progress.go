package cli

import (
	"fmt"
	"time"
)

// progress is a line on a terminal that says what goes on, and for how long.
type progress struct {
	begin time.Time
	stop  chan struct{} // closed by end; nil without a terminal
	done  chan struct{}
}

// progress begins to show that something goes on.
func (c *command) progress(what string) *progress {
	p := &progress{begin: time.Now()}
	if !c.errTerminal {
		return p
	}
	p.stop, p.done = make(chan struct{}), make(chan struct{})
	go func() {
		defer close(p.done)
		tick := time.NewTicker(100 * time.Millisecond)
		defer tick.Stop()
		for {
			fmt.Fprintf(c.err, "\r%s ... %.1f s", what, time.Since(p.begin).Seconds())
			select {
			case <-tick.C:
			case <-p.stop:
				fmt.Fprint(c.err, "\r\x1b[K") // the line is gone
				return
			}
		}
	}()
	return p
}

// end ends the line and returns how long it took.
func (p *progress) end() time.Duration {
	if p.stop != nil {
		close(p.stop)
		<-p.done
	}
	return time.Since(p.begin)
}
