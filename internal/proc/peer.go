package proc

import (
	"errors"
	"syscall"
)

// Peer returns the process at the other end of a Unix socket, as the kernel knows it: the one that has
// connected, or that has begun to listen.
func Peer(conn syscall.Conn) (pid int, err error) {
	raw, err := conn.SyscallConn()
	if err != nil {
		return 0, err
	}
	var unknown error
	err = raw.Control(func(fd uintptr) { pid, unknown = peer(fd) })
	return pid, errors.Join(err, unknown)
}
