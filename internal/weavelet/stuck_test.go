package weavelet

import (
	"context"
	"testing"
	"time"
)

func TestStuck(t *testing.T) {
	given := func() context.Context { // up
		ctx, cancel := context.WithCancel(context.Background())
		cancel()
		return ctx
	}
	waited, stop := context.WithCancel(context.Background())
	defer stop()
	begin := time.Now()
	at := func(seconds float64) time.Time { return begin.Add(time.Duration(seconds * float64(time.Second))) }
	look := func(c *inFlight, seconds float64, want bool) {
		t.Helper()
		if got := c.stuck(at(seconds)); got != want {
			t.Errorf("after %v s: stuck is %v, want %v", seconds, got, want)
		}
	}

	var idle inFlight
	look(&idle, 0, false)
	look(&idle, 1000, false)

	// A caller that waits, however long, is no sign of anything.
	var slow inFlight
	slow.begin(waited)
	look(&slow, 0, false)
	look(&slow, 1000, false)

	// One that has given up is, if nothing else ends.
	var locked inFlight
	look(&locked, 0, false)
	one, other := given(), given()
	place := locked.begin(one)
	look(&locked, 100, false)
	look(&locked, 129, false)
	look(&locked, 130, true)
	locked.begin(waited)
	look(&locked, 131, true)
	locked.end(place)
	look(&locked, 132, false)

	// While others end, a call is only slow.
	var busy inFlight
	busy.begin(one)
	for s := range 100 {
		look(&busy, float64(s), false)
		busy.end(busy.begin(other))
	}
	look(&busy, 100, false)
	look(&busy, 129, false)
	look(&busy, 130, true)
}
