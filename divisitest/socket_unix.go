//go:build unix

package divisitest

import (
	"net"
	"os"
	"syscall"
)

// socketOf returns a file of a listener's socket. One of its method File takes the socket, and with
// it all processes that share it, out of non-blocking mode when a child gets it.
func socketOf(l *net.TCPListener) (*os.File, error) {
	raw, err := l.SyscallConn()
	if err != nil {
		return nil, err
	}
	var fd int
	var dupErr error
	if err := raw.Control(func(of uintptr) {
		syscall.ForkLock.RLock()
		defer syscall.ForkLock.RUnlock()
		if fd, dupErr = syscall.Dup(int(of)); dupErr == nil {
			syscall.CloseOnExec(fd)
		}
	}); err != nil {
		return nil, err
	}
	if dupErr != nil {
		return nil, dupErr
	}
	return os.NewFile(uintptr(fd), "socket"), nil
}
