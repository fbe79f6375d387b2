package family

import (
	"errors"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/divisi-go/divisi/internal/proc"
)

// adopted returns a process that has ended and was left behind by its parent.
func adopted(t *testing.T) int {
	t.Helper()
	in, life, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("/bin/sh", "-c", "exec 3<&0; cat <&3 >/dev/null 2>&1 & echo $!")
	cmd.Stdin = in
	out, err := cmd.Output()
	// It ends when the shell has ended.
	if err := errors.Join(err, in.Close(), life.Close()); err != nil {
		t.Fatal(err)
	}
	pid, err := strconv.Atoi(strings.TrimSpace(string(out)))
	if err != nil {
		t.Fatal(err)
	}
	for {
		if stat, err := proc.ReadStat(pid); err != nil || stat.Ended {
			return pid
		}
	}
}

// TestReapOrphans: what a process has left behind is waited for when it was seen often enough.
func TestReapOrphans(t *testing.T) {
	if err := AdoptOrphans(); err != nil {
		t.Fatal(err)
	}
	defer syscall.Syscall(syscall.SYS_PRCTL, prSetChildSubreaper, 0, 0)

	pid := adopted(t)
	seen := orphans{}
	for look := range orphanLooks {
		seen = seen.reap()
		if len(seen) != 1 {
			t.Fatalf("look %d has seen %v, want %d", look, seen, pid)
		}
	}
	if seen = seen.reap(); len(seen) > 0 || slices.Contains(proc.Children(os.Getpid()), pid) {
		t.Errorf("the children are %v, of which were seen %v", proc.Children(os.Getpid()), seen)
	}
}
