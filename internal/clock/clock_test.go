package clock

import (
	"os"
	"path/filepath"
	"testing"
	"time"
)

// TestOutside: outside of a lab the clock is that of the machine.
func TestOutside(t *testing.T) {
	before := time.Now()
	now := Now()
	if after := time.Now(); now.Before(before) || now.After(after) {
		t.Errorf("%v is not between %v and %v", now, before, after)
	}
}

func TestRead(t *testing.T) {
	file := filepath.Join(t.TempDir(), "clock")
	if got := read(file); got != 0 {
		t.Errorf("no file: %v", got)
	}
	for text, want := range map[string]time.Duration{"1h30m0s\n": 90 * time.Minute, "-2s": -2 * time.Second, "": 0, "soon": 0} {
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if got := read(file); got != want {
			t.Errorf("%q: %v, want %v", text, got, want)
		}
	}
}
