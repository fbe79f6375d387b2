package alarm

import (
	"testing"
	"testing/synctest"
	"time"
)

// lock is one that time goes on for while somebody waits for it.
type lock chan struct{}

func (l lock) Lock()   { l <- struct{}{} }
func (l lock) Unlock() { <-l }

// TestAlarm: it rings at the time that it was last set to, and not once it is stopped, also where the time has
// come meanwhile.
func TestAlarm(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var rang []time.Duration
		begun := time.Now()
		l := make(lock, 1)
		a := Alarm{Lock: l, Ring: func() { rang = append(rang, time.Since(begun)) }}

		l.Lock()
		a.Set(time.Second)
		a.Set(3 * time.Second)
		l.Unlock()
		time.Sleep(4 * time.Second)
		l.Lock()
		a.Set(time.Second)
		time.Sleep(2 * time.Second)
		a.Stop()
		l.Unlock()
		synctest.Wait()

		l.Lock()
		defer l.Unlock()
		if len(rang) != 1 || rang[0] != 3*time.Second {
			t.Errorf("it rang after %v", rang)
		}
	})
}
