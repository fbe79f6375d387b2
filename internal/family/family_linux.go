package family

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"
	"unsafe"

	"github.com/divisi-go/divisi/internal/proc"
)

const (
	// maxFreezes bounds how often the processes that came meanwhile are stopped before they are killed.
	maxFreezes = 20

	// Between two looks whether those that were killed have gone.
	firstWait = time.Millisecond
	longWait  = 50 * time.Millisecond

	// maxAncestors bounds how many ancestors a process is asked for.
	maxAncestors = 100

	prSetChildSubreaper = 36 // of <linux/prctl.h>
	prGetChildSubreaper = 37
)

// AdoptOrphans has what descends from this process become its child when its own parent ends, and not
// a child of process 1. It holds until this process ends, also when it executes another program.
func AdoptOrphans() error {
	_, _, errno := syscall.Syscall(syscall.SYS_PRCTL, prSetChildSubreaper, 1, 0)
	if errno != 0 {
		return os.NewSyscallError("prctl PR_SET_CHILD_SUBREAPER", errno)
	}

	return nil
}

// adopts reports whether orphans become children of this process, and can be found by that.
func adopts() bool {
	var is int32
	_, _, errno := syscall.Syscall(syscall.SYS_PRCTL, prGetChildSubreaper, uintptr(unsafe.Pointer(&is)), 0)
	return errno == 0 && is != 0 && proc.TellsChildren()
}

// Find returns the processes of the family that have not ended, by number.
func (f *Family) Find() ([]int, error) {
	f.mu.Lock()
	defer f.mu.Unlock()

	return (&hunt{Family: f}).look()
}

// End kills the processes of the family until there are none, and waits for those that are children
// of this process, but for Pid, which is the caller's to wait for. It first stops them all, so that
// none can start another one while the others are killed.
//
// The error at the end of ctx, or when this process may kill none of those that are left, names them.
// Whatever ctx is, all that were found are killed once.
func (f *Family) End(ctx context.Context) error {
	f.mu.Lock()
	defer f.mu.Unlock()

	h := hunt{Family: f, stopped: map[int]uint64{}}
	for wait := firstWait; ; wait = min(2*wait, longWait) {
		left, err := h.freeze()
		if err == nil && len(left) > 0 {
			err = h.kill(left)
		}
		if err != nil || len(left) == 0 {
			return err
		}
		if ctx.Err() != nil {
			return fmt.Errorf("%s: %w", describe(left), context.Cause(ctx))
		}

		select {
		case <-time.After(wait):
		case <-ctx.Done():
		}
	}
}

// hunt is the search for a family while it changes.
type hunt struct {
	*Family
	stopped map[int]uint64 // as seen
}

// freeze stops all that run, until a look shows no others, and returns them.
func (h *hunt) freeze() ([]int, error) {
	for freezes := 0; ; freezes++ {
		found, err := h.look()
		if err != nil || freezes == maxFreezes {
			return found, err
		}

		more := false
		for _, pid := range found {
			if h.stopped[pid] != h.seen[pid] {
				h.stopped[pid] = h.seen[pid]
				// One that has ended does not matter, and one that cannot be stopped is killed.
				_ = h.signal(pid, syscall.SIGSTOP)
				more = true
			}
		}
		if !more {
			return found, nil
		}
	}
}

// kill kills processes. It is an error if this process may kill none of them.
func (h *hunt) kill(found []int) error {
	if h.Group != nil {
		// Kernels before 5.14 cannot do it in one step.
		_ = h.Group.kill()
	}

	var refused error
	killed := false
	for _, pid := range found {
		err := h.signal(pid, syscall.SIGKILL)
		if err == nil || errors.Is(err, os.ErrProcessDone) {
			killed = true
			continue
		}
		refused = err
	}
	if !killed {
		return fmt.Errorf("%s: %w", describe(found), refused)
	}

	return nil
}

// signal sends a signal to a process that was seen, and to no other that has its number by now.
func (h *hunt) signal(pid int, s syscall.Signal) error {
	// The number belongs to what was found until this is released.
	p, err := os.FindProcess(pid)
	if err != nil {
		return err
	}
	defer p.Release()
	if proc.StartTicks(pid) != h.seen[pid] {
		return os.ErrProcessDone
	}

	return p.Signal(s)
}

// look returns the processes of the family that have not ended, and waits for those that have.
func (h *hunt) look() ([]int, error) {
	c, err := h.candidates()
	if err != nil {
		return nil, err
	}
	family := c.related(h.known(c.all))

	if h.seen == nil {
		h.seen = map[int]uint64{}
	}
	var found []int
	for pid := range family {
		h.seen[pid] = c.all[pid].Ticks
		switch {
		case !c.all[pid].Ended:
			found = append(found, pid)
		case c.all[pid].Parent == os.Getpid() && pid != h.Pid:
			// An orphan that has come here. Nobody else waits for it.
			_, _ = syscall.Wait4(pid, nil, syscall.WNOHANG, nil)
		}
	}
	slices.Sort(found)

	return found, nil
}

// known returns who of some processes are known to be of the family, whatever their relatives are.
func (h *hunt) known(all map[int]person) map[int]bool {
	grouped := h.grouped()
	family := map[int]bool{}
	for pid, stat := range all {
		since, seen := h.seen[pid]
		first := pid == h.Pid && (h.Ticks == 0 || h.Ticks == stat.Ticks)
		if first || seen && since == stat.Ticks || grouped[pid] || h.Mark != "" && stat.mark == h.Mark {
			family[pid] = true
		}
	}
	return family
}

// grouped returns the processes in the control group.
func (h *hunt) grouped() map[int]bool {
	if h.Group == nil {
		return nil
	}

	return h.Group.members()
}

// candidates are those of whom some may be of a family.
type candidates struct {
	all    map[int]person
	deeper bool // their children are to be looked for
}

// candidates returns those of whom some may be of this family. All processes of the machine are, which takes
// a hundredth of a second to look at, unless this process has started the first one and adopts its
// orphans: then whoever is of the family is among its children, or descends from one of the family.
func (h *hunt) candidates() (candidates, error) {
	first, err := proc.ReadStat(h.Pid)
	ours := err == nil && first.Parent == os.Getpid() && (h.Ticks == 0 || h.Ticks == first.Ticks)
	if !ours || !adopts() {
		all, err := machine.take()
		return candidates{all: all}, err
	}

	own, err := children.take()
	c := candidates{maps.Clone(own), true}
	for pid := range h.grouped() {
		c.add(pid)
	}
	for pid := range h.seen {
		c.add(pid)
	}
	return c, err
}

// add looks at one more process, unless it is there already.
func (c *candidates) add(pid int) {
	if _, there := c.all[pid]; there {
		return
	}
	if stat, err := proc.ReadStat(pid); err == nil { // else it has ended meanwhile
		c.all[pid] = person{Stat: stat}
	}
}

// related returns a family with all who are related to one of it.
func (c *candidates) related(family map[int]bool) map[int]bool {
	asked := map[int]bool{}
	for more := true; more; {
		more = false
		for pid := range family {
			if !c.deeper || asked[pid] || c.all[pid].Ended {
				continue
			}
			asked[pid] = true
			for _, child := range proc.Children(pid) {
				c.add(child)
			}
		}
		for pid, stat := range c.all {
			if !family[pid] && (family[stat.Parent] || family[stat.Group] || family[stat.Session]) {
				family[pid], more = true, true
			}
		}
	}
	return family
}

// Whose returns by what one can tell whose a process is: its mark, "" without one, and the numbers of
// the process itself, of its ancestors, and of the leaders of their groups and sessions.
func Whose(pid int) (mark string, kin []int) {
	mark = markOf(pid)
	for range maxAncestors {
		stat, err := proc.ReadStat(pid)
		if pid <= 1 || pid == os.Getpid() || err != nil {
			break
		}
		kin = append(kin, pid, stat.Group, stat.Session)
		pid = stat.Parent
	}

	return mark, kin
}

// describe returns "3 processes do not end: 17 (sleep), 18 (sh) and others".
func describe(found []int) string {
	const most = 5
	var names []string
	for _, pid := range found[:min(len(found), most)] {
		text := strconv.Itoa(pid)
		if name, err := os.ReadFile(fmt.Sprintf("/proc/%d/comm", pid)); err == nil {
			text += " (" + strings.TrimSpace(string(name)) + ")"
		}
		names = append(names, text)
	}
	list := strings.Join(names, ", ")
	if len(found) > most {
		list += " and others"
	}
	if len(found) == 1 {
		return "a process does not end: " + list
	}

	return fmt.Sprintf("%d processes do not end: %s", len(found), list)
}
