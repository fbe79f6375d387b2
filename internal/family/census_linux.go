package family

import (
	"bytes"
	"fmt"
	"os"
	"strconv"
	"sync"
	"time"

	"github.com/divisi-go/divisi/internal/proc"
)

// maxEnvironment bounds what is read of an environment, in bytes; the kernel's bound is the same
// unless stacks may be larger than usual.
const maxEnvironment = 6 << 20

// person is a process that somebody has looked at.
type person struct {
	proc.Stat
	mark string
}

// census looks at processes for whoever wants to know: one look for all who wait, for many servers may end
// at the same time, and after each a rest that is as long, so that looks take half the time of a processor
// at most, however many processes there are.
type census struct {
	count func() (map[int]person, error)

	looking sync.Mutex // held by the look that runs, and while it rests before
	rested  time.Time  // when the next one may begin

	mu   sync.Mutex
	next *look // that has not begun; nil while nobody waits for one
}

// look is what one look shows.
type look struct {
	done chan struct{}
	all  map[int]person // read only
	err  error
}

// Neither process 1 nor this one is in a census.
var (
	machine  = census{count: everybody} // of the machine that this process is on
	children = census{count: ownChildren}
)

// take returns what a look shows that begins after the call.
func (c *census) take() (map[int]person, error) {
	c.mu.Lock()
	l, first := c.next, c.next == nil
	if first {
		l = &look{done: make(chan struct{})}
		c.next = l
	}
	c.mu.Unlock()
	if !first {
		<-l.done
		return l.all, l.err
	}

	c.looking.Lock()
	defer c.looking.Unlock()
	time.Sleep(time.Until(c.rested))
	c.mu.Lock()
	c.next = nil
	c.mu.Unlock()

	begun := time.Now()
	l.all, l.err = c.count()
	close(l.done)
	now := time.Now()
	c.rested = now.Add(now.Sub(begun))

	return l.all, l.err
}

// everybody looks at all processes.
func everybody() (map[int]person, error) {
	folder, err := os.Open("/proc")
	if err != nil {
		return nil, fmt.Errorf("cannot find the processes of a server: %w", err)
	}
	defer folder.Close()
	names, err := folder.Readdirnames(-1)
	if err != nil {
		return nil, fmt.Errorf("cannot find the processes of a server: %w", err)
	}

	all := map[int]person{}
	for _, name := range names {
		pid, err := strconv.Atoi(name)
		if err != nil || pid <= 1 || pid == os.Getpid() {
			continue
		}
		if stat, err := proc.ReadStat(pid); err == nil { // else it has ended meanwhile
			all[pid] = person{stat, markOf(pid)}
		}
	}

	return all, nil
}

// ownChildren looks at the children of this process, until a look shows nobody new: a process that one of
// them leaves behind as it ends comes here, and the kernel may leave one out meanwhile.
func ownChildren() (map[int]person, error) {
	all := map[int]person{}
	for more := true; more; {
		more = false
		for _, pid := range proc.Children(os.Getpid()) {
			if _, known := all[pid]; known {
				continue
			}
			if stat, err := proc.ReadStat(pid); err == nil {
				all[pid], more = person{stat, markOf(pid)}, true
			}
		}
	}

	return all, nil
}

const (
	// A process that is about to execute another program has no environment for a moment, which is a long one
	// where many want to run.
	mostBlinks = 1000
	blink      = time.Millisecond
)

// markOf returns the mark of a process, "" without one. The environments of other users cannot be
// read; this process may not signal them either.
func markOf(pid int) string {
	var environment []byte
	for range mostBlinks {
		var err error
		environment, err = proc.Text(pid, "environ", maxEnvironment) // what could be read counts
		if len(environment) > 0 || err != nil || !isBetween(pid) {
			break
		}
		time.Sleep(blink)
	}

	for entry := range bytes.SplitSeq(environment, []byte{0}) {
		if mark, ok := bytes.CutPrefix(entry, []byte(Variable+"=")); ok {
			return string(mark)
		}
	}

	return ""
}

// isBetween reports whether a process without an environment is between two programs: it has no arguments
// either. Threads of the kernel, which descend from process 2, never have any.
func isBetween(pid int) bool {
	arguments, err := proc.Text(pid, "cmdline", 1)
	if err != nil || len(arguments) > 0 {
		return false
	}
	stat, err := proc.ReadStat(pid)
	return err == nil && !stat.Ended && pid != kernel && stat.Parent != kernel
}

// kernel is the process whose children are threads of the kernel.
const kernel = 2
