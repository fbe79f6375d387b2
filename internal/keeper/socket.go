//go:build unix

package keeper

import (
	"fmt"
	"net"
	"syscall"
)

// socket is a listening socket. It is held as a plain descriptor: an os.File would take the
// socket, and with it all processes that share it, out of non-blocking mode.
type socket struct {
	fd   int
	addr net.Addr
	path string // of a Unix socket
}

// Listen opens a listening socket and keeps it under a key, until Close. If the key has one, its
// address is returned.
func (k *Keeper) Listen(key, network, address string) (net.Addr, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.closed {
		return nil, errClosed
	}
	if s, ok := k.sockets[key]; ok {
		return s.addr, nil
	}
	l, err := net.Listen(network, address)
	if err != nil {
		return nil, err
	}
	if unix, ok := l.(*net.UnixListener); ok {
		unix.SetUnlinkOnClose(false)
	}
	defer l.Close()
	raw, err := l.(syscall.Conn).SyscallConn()
	if err != nil {
		return nil, err
	}
	s := &socket{addr: l.Addr()}
	if network == "unix" {
		s.path = address
	}
	var dupErr error
	if err := raw.Control(func(fd uintptr) { s.fd, dupErr = dup(int(fd)) }); err != nil {
		return nil, err
	}
	if dupErr != nil {
		return nil, fmt.Errorf("cannot keep the socket %s: %w", key, dupErr)
	}
	k.sockets[key] = s
	return s.addr, nil
}

// dup copies a descriptor that children do not inherit unless they are given it.
func dup(fd int) (int, error) {
	syscall.ForkLock.RLock()
	defer syscall.ForkLock.RUnlock()
	copied, err := syscall.Dup(fd)
	if err == nil {
		syscall.CloseOnExec(copied)
	}
	return copied, err
}

func (s *socket) close() {
	syscall.Close(s.fd)
	if s.path != "" {
		syscall.Unlink(s.path)
	}
}
