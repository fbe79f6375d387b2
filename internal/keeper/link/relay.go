//go:build linux

package link

import (
	"errors"
	"io"
	"net"
	"os"
	"syscall"
)

// relayed returns a socket of this host that is as good as a connection of any kind, which ends with it.
func relayed(far net.Conn) (*net.UnixConn, error) {
	near, inner, err := pair()
	if err != nil {
		return nil, err
	}
	copies := func(to, from net.Conn) {
		_, _ = io.Copy(to, from) // the end of the one is that of the other
		to.Close()
		from.Close()
	}
	go copies(inner, far)
	go copies(far, inner)
	return near, nil
}

// pair returns the two ends of a connection.
func pair() (a, b *net.UnixConn, err error) {
	fds, err := syscall.Socketpair(syscall.AF_UNIX, syscall.SOCK_STREAM|syscall.SOCK_CLOEXEC|syscall.SOCK_NONBLOCK, 0)
	if err != nil {
		return nil, nil, err
	}
	a, err = end(fds[0])
	b, failed := end(fds[1])
	return a, b, errors.Join(err, failed)
}

func end(fd int) (*net.UnixConn, error) {
	file := os.NewFile(uintptr(fd), "relay")
	conn, err := net.FileConn(file)
	if err = errors.Join(err, file.Close()); err != nil {
		return nil, err
	}
	return conn.(*net.UnixConn), nil
}
