//go:build unix

// Package child is one process of a server as its keeper has it: what it prints, what it has started,
// and how it ends.
package child

import (
	"context"
	"errors"
	"fmt"
	"os"
	"syscall"
	"time"

	"github.com/divisi-go/divisi/internal/family"
	"github.com/divisi-go/divisi/internal/keeper"
	"github.com/divisi-go/divisi/internal/keeper/fork"
	"github.com/divisi-go/divisi/internal/keeper/limit"
	"github.com/divisi-go/divisi/internal/proc"
)

// Child is a process, as the leader of a process group of its own. Whoever has it holds one lock to
// call [Child.Signal] and [Child.Reap], so that no signal reaches a number that may be another's.
type Child struct {
	Pid     int
	Ticks   uint64 // when it started, as the kernel counts it
	Started time.Time
	Family  *family.Family

	NoGroup string // why it has no control group of its own; "" if it has, or was to have none

	prints  prints
	hungry  bool          // the memory of its group was used up, and somebody was killed for it
	foreign *proc.Foreign // if an earlier keeper has started it; nil if this program has
	end     keeper.Exit   // of a foreign one, after Wait
	ended   bool          // it has ended, and until it is reaped its number is its own
	reaped  bool
}

// groupOf is the name of the control group of a process.
func groupOf(mark string) string { return "divisi-" + mark }

// Start has a starter start a program. The mark tells it, and whatever it starts, from all other processes. If
// it is grouped, it is in a control group of its own, where the system lets this program make one; with
// limits of a control group it is in one, or not started.
func Start(starter *fork.Starter, p fork.Program, mark string, grouped bool) (*Child, error) {
	p.More = append(p.More, family.Variable+"="+mark)
	var limits []limit.Limit
	p.Limits, limits = limit.Divide(p.Limits)
	var group *family.Group
	var refused error
	if grouped || len(limits) > 0 {
		group, refused = makeGroup(mark, limits)
	}
	switch {
	case refused != nil && len(limits) > 0:
		return nil, refused
	case group != nil:
		p.Join = group.Join
	}
	begin := proc.NowTicks()
	forked, err := starter.Start(p)
	if err != nil && group != nil && len(limits) == 0 { // perhaps since processes may not be started in a group
		remove(group)
		group, refused, p.Join = nil, err, nil
		begin = proc.NowTicks()
		forked, err = starter.Start(p)
	}
	if err != nil {
		remove(group)
		return nil, err
	}

	c := &Child{Pid: forked.Pid, Ticks: proc.TicksSince(begin, forked.Pid), Started: time.Now()}
	c.prints.pipes = [2]*os.File{forked.Stdout, forked.Stderr}
	c.Family = &family.Family{Pid: c.Pid, Ticks: c.Ticks, Mark: mark, Group: group}
	if refused != nil {
		c.NoGroup = refused.Error()
	}

	return c, nil
}

// makeGroup makes a control group with limits.
func makeGroup(mark string, limits []limit.Limit) (*family.Group, error) {
	group, err := family.MakeGroup(groupOf(mark))
	if err != nil {
		if len(limits) > 0 {
			err = fmt.Errorf("the limit %v: %w: %s", limits[0], err, delegate)
		}
		return nil, err
	}

	for _, l := range limits {
		if err := group.Control(l.Control()); err != nil {
			remove(group)
			return nil, fmt.Errorf("the limit %v: %w: %s", l, err, delegate)
		}
	}
	return group, nil
}

// delegate is the way to limits of control groups.
const delegate = "have systemd 254 or newer run the keeper (divisi keeper install), or set the limit by systemd-run --scope"

// remove removes a control group that nobody is in, if there is one.
func remove(group *family.Group) {
	if group != nil {
		_ = group.Remove(context.Background())
	}
}

// Group returns the control group of the process, "" if it has none of its own.
func (c *Child) Group() string {
	if c.Family.Group == nil {
		return ""
	}
	return c.Family.Group.Path()
}

// releaseTime bounds how long the end of a control group may take.
const releaseTime = time.Second

// Release gives up what there is of a process that was reaped: its control group, and its log, once that
// is written.
func (c *Child) Release() {
	if g := c.Family.Group; g != nil {
		ctx, cancel := context.WithTimeout(context.Background(), releaseTime)
		defer cancel()
		_ = g.Remove(ctx) // what could not be ended, which was said, keeps it
	}
	c.prints.finish()
}

// Find returns a process that an earlier keeper has started, as far as that knew: by its mark if it did
// not know its number. It is an error if the process has ended, and somebody has waited for it.
func Find(known Child, mark string) (*Child, error) {
	c := &Child{Pid: known.Pid, Ticks: known.Ticks, Started: known.Started}
	if c.Pid == 0 {
		var found bool
		if c.Pid, c.Ticks, found = proc.ByMark(family.Variable, mark); !found {
			endGroup(mark)
			return nil, os.ErrProcessDone
		}
		c.Started = time.Now()
	}

	var err error
	if c.foreign, err = proc.Find(c.Pid, c.Ticks); err != nil {
		endGroup(mark)
		return nil, err
	}
	c.Family = &family.Family{Pid: c.Pid, Ticks: c.Ticks, Mark: mark, Group: family.GroupOf(c.Pid, groupOf(mark))}

	return c, nil
}

// endGroup ends what a process has left in its control group that has ended while nobody looked.
func endGroup(mark string) {
	ctx, cancel := context.WithTimeout(context.Background(), releaseTime)
	defer cancel()
	family.EndGroup(ctx, groupOf(mark))
}

// Foreign reports whether an earlier keeper has started it.
func (c *Child) Foreign() bool { return c.foreign != nil }

// Reaped reports whether its number may be another's.
func (c *Child) Reaped() bool { return c.reaped }

// Socket returns a copy of its socket with an inode, of a process that an earlier keeper has started.
func (c *Child) Socket(inode uint64) (int, error) { return c.foreign.Socket(inode) }

// Signal signals the process and its group.
func (c *Child) Signal(s syscall.Signal) error {
	switch {
	case c.reaped:
		return os.ErrProcessDone
	case c.foreign != nil:
		return c.foreign.Signal(s)
	}
	return syscall.Kill(-c.Pid, s)
}

// familyTime bounds how long the end of a family may take.
const familyTime = 10 * time.Second

// EndFamily kills the process and whatever it has started, in other groups and sessions as well. Where
// the system does not tell what that is, it leaves it to the signal for the group. What is left then is
// said in the log.
func (c *Child) EndFamily() {
	ctx, cancel := context.WithTimeout(context.Background(), familyTime)
	defer cancel()
	err := c.Family.End(ctx)
	if err != nil && !errors.Is(err, errors.ErrUnsupported) {
		c.Warn("of what it has started is left: " + err.Error())
	}
}

// Work returns how long the processors have worked for the process and what it has started; 0 if nobody
// knows.
func (c *Child) Work() time.Duration {
	found, err := c.Family.Find()
	if err != nil {
		return 0
	}

	var sum time.Duration
	for _, pid := range found {
		used, _ := proc.CPUTime(pid) // it may have ended meanwhile
		sum += used
	}
	return sum
}

// Wait waits until the process has ended. It reports false if the system did not let it wait.
func (c *Child) Wait() bool {
	if c.foreign != nil {
		c.end = c.wait()
		c.ended = c.end.How == keeper.Stat
		c.end.OutOfMemory = c.outOfMemory()
		return true
	}
	c.ended = proc.WaitExited(c.Pid) == nil
	c.hungry = c.outOfMemory()
	return c.ended
}

// outOfMemory reports whether the kernel has killed a process of the server because its memory was used up.
func (c *Child) outOfMemory() bool { return c.Family.Group != nil && c.Family.Group.OutOfMemory() }

// wait waits for the end of a process of an earlier keeper.
func (c *Child) wait() keeper.Exit {
	end, err := c.foreign.Wait()
	exit := keeper.Exit{Code: end.Status.ExitStatus(), How: keeper.Unknown, Time: time.Now()}
	switch {
	case err != nil || !end.Stat && !end.Pidfd:
		exit.Code = -1
	case end.Stat:
		exit.How = keeper.Stat
	default:
		exit.How = keeper.Pidfd
	}
	if exit.How != keeper.Unknown && end.Status.Signaled() {
		exit.Code, exit.Signal = -1, end.Status.Signal().String()
	}

	return exit
}

// Reap returns how the process has ended, once Wait has returned. It reports false if it cannot be
// reaped yet: some systems say a moment too early that it can. What the process leaves behind of its
// group ends with it.
func (c *Child) Reap() (keeper.Exit, bool) {
	if c.ended {
		_ = syscall.Kill(-c.Pid, syscall.SIGKILL)
	}
	if c.foreign != nil {
		c.reaped = true
		c.foreign.Close()
		return c.end, true
	}

	var status syscall.WaitStatus
	pid, err := syscall.Wait4(c.Pid, &status, syscall.WNOHANG, nil)
	exit := keeper.Exit{Code: status.ExitStatus(), How: keeper.Waited, Time: time.Now(), OutOfMemory: c.hungry}
	switch {
	case err == syscall.EINTR || err == nil && pid == 0:
		return keeper.Exit{}, false
	case err != nil: // something else in this program has reaped it
		exit.Code, exit.How = -1, keeper.Unknown
	case status.Signaled():
		exit.Code, exit.Signal = -1, status.Signal().String()
	}

	c.reaped = true
	return exit, true
}
