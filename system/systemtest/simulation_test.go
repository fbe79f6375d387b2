package systemtest_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/divisi-go/divisi/system"
	"github.com/divisi-go/divisi/system/systemtest"
)

// TestHours: a server that fails again and again is tried ever more rarely, for a day.
func TestHours(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		starts := 0
		_, n, h := systemtest.Simulate(t, system.Program{Strategy: system.OneForOne}, systemtest.Programs{
			"flaky": func(ctx context.Context) error {
				starts++
				select {
				case <-time.After(time.Minute):
					return errors.New("it has failed")
				case <-ctx.Done():
					return nil
				}
			},
			"steady": func(ctx context.Context) error {
				<-ctx.Done()
				return nil
			},
		})
		steady, err := h.Ensure(t.Context(), n, system.Spec{Name: "steady", Program: "steady"})
		if err != nil {
			t.Fatal(err)
		}
		_, err = h.Ensure(t.Context(), n, system.Spec{Name: "flaky", Program: "flaky"})
		if err != nil {
			t.Fatal(err)
		}
		pid := steady.Pid()

		const day = 24 * time.Hour
		time.Sleep(day)
		synctest.Wait()
		if least, most := int(day/(2*time.Minute)), int(day/time.Minute); starts < least || starts > most {
			t.Errorf("it was started %d times in a day, not %d to %d times", starts, least, most)
		}
		if steady.Pid() != pid {
			t.Error("the other one was started again")
		}
	})
}
