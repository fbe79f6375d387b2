//go:build linux || darwin

package keeper

import (
	"errors"
	"fmt"
	"net"
	"os"
	"strings"
	"syscall"
)

// socket is a listening socket. It is held as a plain descriptor: an os.File would take the
// socket, and with it all processes that share it, out of non-blocking mode when asked for its
// number.
type socket struct {
	fd   int
	addr net.Addr
	path string // of a Unix socket
}

// Listen opens a listening socket and keeps it under a key, until Close. If the key has one, its
// address is returned, whatever is asked for. The network is one of net.Listen's.
func (k *Keeper) Listen(key, network, address string) (net.Addr, error) {
	if key == "" || strings.ContainsAny(key, ":\x00") {
		return nil, fmt.Errorf("cannot keep a socket under the key %q: use one without a colon, "+
			"which separates keys in LISTEN_FDNAMES", key)
	}
	k.starting.RLock()
	defer k.starting.RUnlock()
	k.listening.Lock() // one who asks for the same key meanwhile gets the same socket
	defer k.listening.Unlock()

	k.mu.Lock()
	s, open := k.sockets[key]
	closed := k.closed
	k.mu.Unlock()
	switch {
	case closed:
		return nil, errClosed
	case open:
		return s.addr, nil
	}

	s, err := listen(key, network, address)
	if err != nil {
		return nil, err
	}

	k.mu.Lock()
	defer k.mu.Unlock()
	k.sockets[key] = s
	return s.addr, nil
}

// listen opens a socket, and takes it out of the hands of the runtime.
func listen(key, network, address string) (*socket, error) {
	l, err := net.Listen(network, address)
	if errors.Is(err, syscall.EADDRINUSE) && network == "unix" && abandoned(address) {
		l, err = net.Listen(network, address)
	}
	if err != nil {
		return nil, err
	}
	defer l.Close()
	if unix, ok := l.(*net.UnixListener); ok {
		unix.SetUnlinkOnClose(false)
	}
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

	return s, nil
}

// abandoned removes a Unix socket that nobody listens at any more, as a killed keeper leaves them.
// A file that is no socket refuses connections as well, and stays.
func abandoned(path string) bool {
	info, err := os.Lstat(path)
	if err != nil || info.Mode().Type() != os.ModeSocket {
		return false
	}
	conn, err := net.Dial("unix", path)
	if err == nil {
		conn.Close()
	}
	return errors.Is(err, syscall.ECONNREFUSED) && os.Remove(path) == nil
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
