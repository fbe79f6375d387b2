package fork

import (
	"fmt"
	"os"
	"syscall"
)

// Of <linux/fcntl.h>: how to set the size of a pipe, and the most that a user may without a privilege.
const (
	setPipeSize = 1031
	pipeSize    = 1 << 20
)

// newPipe returns both ends of a pipe for what a process prints. Its own end is open to read as well,
// so that the pipe has a reader for as long as the process lives: one that prints while there is no
// keeper waits when the pipe is full, and is not killed by SIGPIPE.
func newPipe() (read, write *os.File, err error) {
	read, write, err = os.Pipe()
	if err != nil {
		return nil, nil, err
	}
	fd, err := Descriptor(write)
	if err != nil {
		return read, write, err
	}

	both, err := syscall.Open(fmt.Sprintf("/proc/self/fd/%d", fd), syscall.O_RDWR|syscall.O_CLOEXEC, 0)
	if err != nil {
		return read, write, nil // without /proc it is an ordinary pipe
	}
	// A user has a bounded number of large pipes; this one then has the usual size.
	_, _, _ = syscall.Syscall(syscall.SYS_FCNTL, uintptr(both), setPipeSize, pipeSize)
	write.Close()

	return read, os.NewFile(uintptr(both), "|1"), nil
}
