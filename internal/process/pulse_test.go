package process

import (
	"context"
	"log/slog"
	"testing"
	"testing/synctest"
	"time"

	"github.com/divisi-go/divisi/envelope/protos"
	"github.com/divisi-go/divisi/internal/lifecycle"
	"github.com/divisi-go/divisi/internal/weavelet"
)

// TestPulseSleeps: a process that is asked in time wakes up for nothing else, and one that nobody asks any more
// looks at its components soon, and then again and again.
func TestPulseSleeps(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		defer synctest.Wait()
		defer cancel()
		p := newPulse(weavelet.New(newWorld(t, nil).app, weavelet.Options{}), slog.New(slog.DiscardHandler))
		gone, looked := make(chan struct{}), 0
		p.attended = func() (bool, <-chan struct{}) {
			looked++
			select {
			case <-gone:
				return false, nil
			default:
				return true, gone
			}
		}
		go p.serve(ctx, func(*protos.GetHealthReply) {})

		for range 60 {
			p.reply()
			time.Sleep(lifecycle.Question)
		}
		synctest.Wait()
		if looked != 61 { // before the first question, and after each
			t.Errorf("it has woken %d times beside the questions", looked-61)
		}

		before := p.last.Load().Look
		close(gone)
		time.Sleep(10 * unattended)
		synctest.Wait()
		if looks := p.last.Load().Look - before; looks != 10 {
			t.Errorf("nobody asks, and it has looked %d times", looks)
		}
	})
}
