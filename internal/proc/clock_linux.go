package proc

import (
	"sync"
	"syscall"
	"time"
	"unsafe"
)

const clockBoottime = 7 // of <linux/time.h>

// NowTicks returns the time as the kernel counts the starts of processes, 0 if it does not tell.
func NowTicks() uint64 {
	var now syscall.Timespec
	_, _, errno := syscall.Syscall(syscall.SYS_CLOCK_GETTIME, clockBoottime, uintptr(unsafe.Pointer(&now)), 0)
	if errno != 0 {
		return 0
	}
	return uint64(now.Nano()) / uint64(time.Second/userHz)
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
