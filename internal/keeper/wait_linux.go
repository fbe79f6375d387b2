package keeper

import (
	"syscall"
	"unsafe"
)

// Of <linux/wait.h>.
const (
	idPid   = 1
	wExited = 4
	wNoWait = 0x01000000
)

// waitExited waits until a child has ended, and leaves it to be reaped: until it is, its number
// cannot become another's.
func waitExited(pid int) {
	var info [128]byte // siginfo_t
	for {
		_, _, errno := syscall.Syscall6(syscall.SYS_WAITID, idPid, uintptr(pid),
			uintptr(unsafe.Pointer(&info)), wExited|wNoWait, 0, 0)
		if errno != syscall.EINTR {
			return
		}
	}
}
