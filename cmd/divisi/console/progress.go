package console

import (
	"fmt"
	"time"
)

// Progress is a line on a terminal that says what is being done, and for how long.
type Progress struct {
	begin time.Time
	stop  chan struct{} // closed by end; nil without a terminal
	done  chan struct{}
}

// Progress begins to show that something goes on.
func (c *Console) Progress(what string) *Progress { return c.ProgressOf(func() string { return what }) }

// ProgressOf is Progress for what is said otherwise as it goes on. The function is called on a goroutine of its own.
func (c *Console) ProgressOf(what func() string) *Progress {
	p := &Progress{begin: time.Now()}
	if !c.ErrTerminal {
		return p
	}

	p.stop, p.done = make(chan struct{}), make(chan struct{})
	go func() {
		defer close(p.done)
		tick := time.NewTicker(100 * time.Millisecond)
		defer tick.Stop()
		for {
			fmt.Fprintf(c.Err, "\r%s ... %.1f s", what(), time.Since(p.begin).Seconds())
			select {
			case <-tick.C:
			case <-p.stop:
				fmt.Fprint(c.Err, "\r\x1b[K") // the line is gone
				return
			}
		}
	}()

	return p
}

// End ends the line and returns how long it took.
func (p *Progress) End() time.Duration {
	if p.stop != nil {
		close(p.stop)
		<-p.done
	}
	return time.Since(p.begin)
}
