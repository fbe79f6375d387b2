package fork

import (
	"os"
	"strconv"
	"syscall"
)

// Of <linux/fcntl.h>: how to set the size of a pipe, and the most that a user may without a privilege.
const (
	setPipeSize = 1031
	pipeSize    = 1 << 20
)

// newPipe returns a pipe for what a process prints. The end of the process is open to read as well, so
// that the pipe has a reader for as long as the process lives: one that prints while there is no keeper
// waits when the pipe is full, and is not killed by SIGPIPE.
func newPipe() (pipe, error) {
	var ends [2]int
	err := syscall.Pipe2(ends[:], syscall.O_CLOEXEC|syscall.O_NONBLOCK)
	if err != nil {
		return pipe{}, os.NewSyscallError("pipe2", err)
	}

	both, err := syscall.Open("/proc/self/fd/"+strconv.Itoa(ends[1]), syscall.O_RDWR|syscall.O_CLOEXEC, 0)
	if err != nil { // without /proc it is an ordinary pipe
		_ = syscall.SetNonblock(ends[1], false) // which a pipe does not refuse
		return pipeOf(ends[0], ends[1]), nil
	}
	// A user has a bounded number of large pipes; this one then has the usual size.
	_, _, _ = syscall.Syscall(syscall.SYS_FCNTL, uintptr(both), setPipeSize, pipeSize)
	syscall.Close(ends[1])

	return pipeOf(ends[0], both), nil
}
