//go:build unix

package drain

import (
	"net"
	"syscall"
)

// unread reports whether the system has bytes of a connection that its server has not read yet: it may wait for a processor.
func unread(c net.Conn) bool {
	has, ok := c.(syscall.Conn)
	if !ok {
		return false
	}
	raw, err := has.SyscallConn()
	if err != nil {
		return false
	}
	n := 0
	err = raw.Control(func(fd uintptr) {
		n, _, _ = syscall.Recvfrom(int(fd), make([]byte, 1), syscall.MSG_PEEK|syscall.MSG_DONTWAIT)
	})
	return err == nil && n > 0
}
