package proc

import (
	"os"
	"testing"
	"time"
)

func TestCPUTime(t *testing.T) {
	for deadline := time.Now().Add(30 * time.Second); ; {
		used, err := CPUTime(os.Getpid())
		if err != nil {
			t.Fatal(err)
		}
		if used > 100*time.Millisecond {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("a busy process has used %v", used)
		}
	}
}

func FuzzStat(f *testing.F) {
	f.Add([]byte("1 (a) b) S 0 1 1 0 -1 4194560 1 2 3 4 150 50 9 9 20 0 1 0 7 1 1"))
	f.Add([]byte("1 (a"))
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, data []byte) {
		got, err := parseStat(data)
		if err == nil && got.cpu < 0 {
			t.Errorf("%q has used %v", data, got.cpu)
		}
	})
}

func TestParseStat(t *testing.T) {
	got, err := parseStat([]byte("1 (a) b) S 0 1 1 0 -1 4194560 1 2 3 4 150 50 9 9 20 0 1 0 7 1 1"))
	if err != nil || got != (stat{2 * time.Second, 7}) {
		t.Errorf("got %v, %v", got, err)
	}
}
