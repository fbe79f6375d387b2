package lifecycle

import (
	"testing"
	"time"
)

// TestClock: a clock that nobody has read for long has stood still.
func TestClock(t *testing.T) {
	start := time.Date(2030, 1, 1, 0, 0, 0, 0, time.UTC)
	var c Clock
	for _, step := range []struct {
		machine, want time.Duration
	}{
		{0, 0},
		{time.Second, time.Second},
		{2900 * time.Millisecond, 2900 * time.Millisecond},
		{8 * time.Hour, 3900 * time.Millisecond}, // it was stopped
		{8*time.Hour + time.Second, 4900 * time.Millisecond},
	} {
		if got := c.At(start.Add(step.machine)).Sub(start); got != step.want {
			t.Errorf("after %v it is %v, want %v", step.machine, got, step.want)
		}
	}
}
