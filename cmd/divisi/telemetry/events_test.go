package telemetry

import (
	"context"
	"fmt"
	"testing"
	"testing/synctest"

	"github.com/divisi-go/divisi/internal/deployer"
)

func TestEvents(t *testing.T) {
	var events Events
	if list := events.List(); len(list) != 0 {
		t.Errorf("there are %d events before the first one", len(list))
	}
	for i := range maxEvents + 10 {
		events.Add(deployer.Event{Pid: i})
	}
	list := events.List()
	if len(list) != maxEvents || list[0].Pid != 10 || list[maxEvents-1].Pid != maxEvents+9 {
		t.Errorf("%d events from %d to %d are remembered", len(list), list[0].Pid, list[len(list)-1].Pid)
	}
}

func TestEventsFollow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var events Events
		events.Add(deployer.Event{Text: "a"})
		ctx, cancel := context.WithCancel(t.Context())
		var shown []string
		over := make(chan error)
		go func() {
			over <- events.Follow(ctx, func(e deployer.Event) error {
				shown = append(shown, e.Text)
				return nil
			})
		}()
		synctest.Wait()
		events.Add(deployer.Event{Text: "b"})
		synctest.Wait()
		events.Add(deployer.Event{Text: "c"})
		events.Add(deployer.Event{Text: "d"})
		synctest.Wait()
		// The last event comes together with the end.
		events.Add(deployer.Event{Text: "e"})
		cancel()
		if err := <-over; err != nil {
			t.Error(err)
		}
		if got := fmt.Sprint(shown); got != "[a b c d e]" {
			t.Errorf("got %s", got)
		}
	})
}

// One who follows slowly misses what was forgotten meanwhile, and nothing else.
func TestEventsFollowSlowly(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var events Events
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		events.Add(deployer.Event{Pid: -1})
		proceed := make(chan struct{})
		var shown []int
		go events.Follow(ctx, func(e deployer.Event) error {
			<-proceed
			shown = append(shown, e.Pid)
			return nil
		})
		synctest.Wait()
		for i := range 3 * maxEvents {
			events.Add(deployer.Event{Pid: i})
		}
		close(proceed)
		synctest.Wait()
		if len(shown) != 1+maxEvents || shown[1] != 2*maxEvents || shown[maxEvents] != 3*maxEvents-1 {
			t.Errorf("%d are shown: %v", len(shown), shown)
		}
	})
}
