package proc

import (
	"os"
	"os/exec"
	"strings"
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

// TestTicksSince: the clock says of processes what the kernel says of them.
func TestTicksSince(t *testing.T) {
	for n := range 30 {
		begin := NowTicks()
		cmd := exec.Command("/bin/true")
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		got, want := TicksSince(begin, cmd.Process.Pid), StartTicks(cmd.Process.Pid)
		if err := cmd.Wait(); err != nil {
			t.Fatal(err)
		}
		if got != want || want == 0 || begin > want {
			t.Errorf("process %d started at %d, want %d, not before %d", n, got, want, begin)
		}
	}
}

func FuzzStat(f *testing.F) {
	f.Add([]byte("1 (a) b) S 0 1 1 0 -1 4194560 1 2 3 4 150 50 9 9 20 0 1 0 7 1 1"))
	f.Add([]byte("1 (a"))
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, data []byte) {
		got, err := parseStat(data)
		if err == nil && (got.CPU < 0 || got.Parent < 0 || got.Group < 0 || got.Session < 0) {
			t.Errorf("%q is %+v", data, got)
		}
	})
}

func TestParseStat(t *testing.T) {
	for text, want := range map[string]Stat{
		"9 (a) b) S 2 3 4 0 -1 4194560 1 2 3 4 150 50 9 9 20 0 1 0 7 1 1": {Parent: 2, Group: 3, Session: 4, CPU: 2 * time.Second, Ticks: 7, Status: -1},
		"9 (a) Z 2 3 4 0 -1 4194560 1 2 3 4 0 0 9 9 20 0 1 0 7 1 1":       {Parent: 2, Group: 3, Session: 4, Ended: true, Ticks: 7, Status: -1},
		"9 (a) Z 2 3 4 0 -1 4194560 1 2 3 4 0 0 9 9 20 0 2 0 7 1 1":       {Parent: 2, Group: 3, Session: 4, Ticks: 7, Status: -1}, // its other thread runs
		"9 (a) Z 2 3 4 0 -1 4194560 1 2 3 4 0 0 9 9 20 0 1 0 7 1 1" + strings.Repeat(" 0", 27) + " 1792": {
			Parent: 2, Group: 3, Session: 4, Ended: true, Ticks: 7, Status: 7 << 8,
		},
	} {
		got, err := parseStat([]byte(text))
		if err != nil || got != want {
			t.Errorf("%q is %+v, %v, want %+v", text, got, err, want)
		}
	}
}
