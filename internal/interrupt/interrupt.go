// Package interrupt is how somebody outside asks this process to end: by SIGINT, by SIGTERM, or by
// the end of the context that the program runs with.
package interrupt

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"syscall"
	"time"
)

// Impatience is how long after a signal another one means a second wish. Programs that forward
// signals to their children make two of one.
const Impatience = time.Second

// Context returns a context that ends, with the given cause, when the process is asked to end, and
// has the values of parent. The reason is offered to asked first, whose reader decides about the end
// itself; asked may be nil. Once the context has ended, a second signal ends the process at once, with
// the exit code 130. The function that is returned gives the signals back.
func Context(parent context.Context, cause error, asked chan<- string) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancelCause(context.WithoutCancel(parent))
	signals := make(chan os.Signal, 2)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	over := make(chan struct{})
	go func() {
		w := wish{signals: signals, over: over}
		w.first(ctx, parent, func(reason string) {
			if asked == nil || !offer(asked, reason) {
				cancel(cause)
			}
		})
		w.second()
	}()
	return ctx, func() {
		signal.Stop(signals)
		close(over)
		cancel(nil)
	}
}

// wish is what is known of somebody's wish that the process ends.
type wish struct {
	signals <-chan os.Signal
	over    <-chan struct{} // closed when nobody wants to know
	since   time.Time       // of the first signal
}

// first tells of each wish until ctx has ended.
func (w *wish) first(ctx, parent context.Context, tell func(reason string)) {
	gone := parent.Done()
	for ctx.Err() == nil {
		select {
		case s := <-w.signals:
			if w.since.IsZero() {
				w.since = time.Now()
			}
			tell(fmt.Sprintf("it got the signal %v", s))
		case <-gone:
			gone = nil
			tell("the context of Run has ended")
		case <-ctx.Done():
		case <-w.over:
			return
		}
	}
}

// second ends the process at the second signal. The first may yet come, if something else has ended
// the context.
func (w *wish) second() {
	for {
		select {
		case <-w.signals:
			switch {
			case w.since.IsZero():
				w.since = time.Now()
			case time.Since(w.since) >= Impatience:
				os.Exit(130)
			}
		case <-w.over:
			return
		}
	}
}

// offer hands a reason over, and reports whether somebody has taken it.
func offer(asked chan<- string, reason string) bool {
	select {
	case asked <- reason:
		return true
	case <-time.After(Impatience):
		return false
	}
}
