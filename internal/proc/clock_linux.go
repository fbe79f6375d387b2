package proc

import (
	"sync"
	"syscall"
	"time"
	"unsafe"
)

// Of <linux/time.h>.
const (
	clockMonotonic = 1
	clockBoottime  = 7
)

// timeOf returns the time of a clock, 0 if the kernel does not tell.
func timeOf(clock uintptr) time.Duration {
	var now syscall.Timespec
	_, _, errno := syscall.Syscall(syscall.SYS_CLOCK_GETTIME, clock, uintptr(unsafe.Pointer(&now)), 0)
	if errno != 0 {
		return 0
	}
	return time.Duration(now.Nano())
}

// NowTicks returns the time as the kernel counts the starts of processes, 0 if it does not tell.
func NowTicks() uint64 { return uint64(timeOf(clockBoottime) / (time.Second / userHz)) }

// Uptime returns which start of the machine this is, and how long it has run since by the monotonic
// clock, which is the same for all processes and stands still while the machine sleeps. "" is that nobody
// knows.
func Uptime() (start string, up time.Duration) {
	up = timeOf(clockMonotonic)
	if up == 0 {
		return "", 0
	}
	return BootID(), up
}

// clock is whether the kernel means the same time by both, which it is asked once.
var clock struct {
	once sync.Once
	same bool
}

// TicksSince is [StartTicks] of a process that was started after a time. Mostly the clock says it
// already, for it has not gone on: to look into /proc takes as long as a tenth of the start.
func TicksSince(begin uint64, pid int) uint64 {
	if begin == 0 || NowTicks() != begin {
		return StartTicks(pid)
	}

	clock.once.Do(func() { clock.same = StartTicks(pid) == begin })
	if !clock.same {
		return StartTicks(pid)
	}
	return begin
}
