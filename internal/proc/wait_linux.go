package proc

import (
	"os"
	"syscall"
	"unsafe"
)

// Of <linux/wait.h>, and the number of pidfd_open. On MIPS it is another; there, no call has this
// one, which is the same as an old kernel.
const (
	idPid        = 1
	wNoHang      = 1
	wExited      = 4
	wNoWait      = 0x01000000
	sysPidfdOpen = 434
)

// WaitExited waits until a child has ended, and leaves it to be reaped: until it is, its number
// cannot become another's. It waits with the runtime's poller, so that many children do not take
// as many threads; kernels before 5.10 have no descriptor to do so. An error means that it is no
// child of this process.
func WaitExited(pid int) error {
	fd, _, errno := syscall.Syscall(sysPidfdOpen, uintptr(pid), syscall.O_NONBLOCK, 0)
	if errno == 0 {
		f := os.NewFile(fd, "pidfd")
		defer f.Close()
		if raw, err := f.SyscallConn(); err == nil {
			// The end may have come before the poller looks, so it is asked for each time.
			var ended bool
			_ = raw.Read(func(uintptr) bool {
				ended, err = hasExited(pid, wNoHang)
				return ended || err != nil
			})
			if ended || err != nil {
				return err
			}
		}
	}
	_, err := hasExited(pid, 0)
	return err
}

// hasExited reports whether a child has ended, after waiting for it unless the option is wNoHang.
func hasExited(pid int, option uintptr) (bool, error) {
	for {
		var info [128]byte // siginfo_t; the signal's number is the first field, 0 for no child
		_, _, errno := syscall.Syscall6(syscall.SYS_WAITID, idPid, uintptr(pid),
			uintptr(unsafe.Pointer(&info)), wExited|wNoWait|option, 0, 0)
		switch {
		case errno == syscall.EINTR:
		case errno != 0:
			return false, errno
		default:
			return *(*int32)(unsafe.Pointer(&info)) != 0, nil
		}
	}
}
