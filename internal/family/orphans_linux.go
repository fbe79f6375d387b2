package family

import (
	"context"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/divisi-go/divisi/internal/proc"
)

// A child that has ended is left to whoever may have started it in this process for so many looks,
// and not for a time by the clock: all of this process may have stood still meanwhile.
const (
	orphanLooks = 10
	lookEvery   = 500 * time.Millisecond
)

// ReapOrphans waits for adopted processes, which nobody else in this process does, until ctx ends.
// Whatever else starts a process here waits for it at once.
func ReapOrphans(ctx context.Context) {
	ended := make(chan os.Signal, 1)
	signal.Notify(ended, syscall.SIGCHLD)
	defer signal.Stop(ended)

	seen := orphans{}
	for {
		select {
		case <-ended:
		case <-ctx.Done():
			return
		}
		// The signal says that there is something to see, and nothing more.
		for more := true; more; more = len(seen) > 0 {
			select {
			case <-time.After(lookEvery):
				seen = seen.reap()
			case <-ctx.Done():
				return
			}
		}
	}
}

// orphans are children that have ended, with how often they were seen.
type orphans map[orphan]int

// orphan is a process: its number, and when it started.
type orphan struct {
	pid   int
	ticks uint64
}

// reap looks once, waits for those that were seen often enough, and returns the others.
func (before orphans) reap() orphans {
	now := orphans{}
	for _, pid := range proc.Children(os.Getpid()) {
		stat, err := proc.ReadStat(pid)
		if err != nil || !stat.Ended {
			continue
		}
		o := orphan{pid, stat.Ticks}
		if before[o] < orphanLooks {
			now[o] = before[o] + 1
			continue
		}
		_, _ = syscall.Wait4(pid, nil, syscall.WNOHANG, nil) // how it has ended concerns nobody
	}
	return now
}
