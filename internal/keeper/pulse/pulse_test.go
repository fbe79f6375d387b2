package pulse

import (
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

func TestPulse(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var mu sync.Mutex
		var why string
		p := Pulse{Lock: &mu, Every: time.Second, Stopped: func(text string) { why = text }}
		after := func(d time.Duration) string {
			time.Sleep(d)
			synctest.Wait()
			mu.Lock()
			defer mu.Unlock()
			return why
		}
		beat := func() {
			mu.Lock()
			defer mu.Unlock()
			p.Beat()
		}

		if got := after(time.Hour); got != "" {
			t.Errorf("before the first sign: %s", got)
		}
		for range 5 {
			beat()
			if got := after(900 * time.Millisecond); got != "" {
				t.Errorf("in time: %s", got)
			}
		}
		if got := after(200 * time.Millisecond); got != "it has given no sign of life for 1s" {
			t.Errorf("too late: %q", got)
		}

		why = ""
		beat()
		mu.Lock()
		p.Stop()
		mu.Unlock()
		if got := after(time.Hour); got != "" {
			t.Errorf("nobody waits any more: %s", got)
		}
		p.Every = 0
		beat()
		if got := after(time.Hour); got != "" {
			t.Errorf("none are expected: %s", got)
		}
	})
}
