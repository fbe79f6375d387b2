//go:build unix && !linux

package fork

import (
	"os"
	"syscall"
)

// newPipe returns a pipe for what a process prints.
func newPipe() (pipe, error) {
	syscall.ForkLock.RLock()
	defer syscall.ForkLock.RUnlock()
	var ends [2]int
	err := syscall.Pipe(ends[:])
	if err != nil {
		return pipe{}, os.NewSyscallError("pipe", err)
	}
	syscall.CloseOnExec(ends[0])
	syscall.CloseOnExec(ends[1])
	_ = syscall.SetNonblock(ends[0], true) // which a pipe does not refuse

	return pipeOf(ends[0], ends[1]), nil
}
