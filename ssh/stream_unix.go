//go:build unix

package ssh

import (
	"errors"
	"io"
	"net"
	"os"
	"sync"
	"syscall"
)

// stream is a connection over SSH with deadlines, which those of package ssh elsewhere do not have: it is one end of a pair of
// sockets, and what is written to it is passed on.
type stream struct {
	*net.UnixConn
	once   sync.Once
	closed chan struct{}
}

// Close closes the stream. What was written is still passed on.
func (s *stream) Close() error {
	s.once.Do(func() { close(s.closed) })
	return s.UnixConn.Close()
}

// timed returns a connection that is another one, and has deadlines.
func timed(far net.Conn) (net.Conn, error) {
	near, end, err := pair()
	if err != nil {
		return nil, errors.Join(err, far.Close())
	}
	s := &stream{UnixConn: near, closed: make(chan struct{})}
	go func() {
		defer far.Close()
		if _, err := io.Copy(far, end); err != nil || endWriting(far) != nil {
			end.Close() // nobody takes what is written
		}
		<-s.closed
	}()
	go func() {
		defer end.Close()
		_, _ = io.Copy(end, far) // however it ends
		_ = end.CloseWrite()     // nobody may listen any more
		<-s.closed
	}()
	return s, nil
}

// endWriting says that nothing more is written.
func endWriting(c net.Conn) error {
	half, ok := c.(interface{ CloseWrite() error })
	if !ok {
		return errors.ErrUnsupported
	}
	return half.CloseWrite()
}

// pair returns both ends of a connection within this process.
func pair() (near, end *net.UnixConn, err error) {
	syscall.ForkLock.RLock()
	ends, err := syscall.Socketpair(syscall.AF_UNIX, syscall.SOCK_STREAM, 0)
	if err == nil {
		syscall.CloseOnExec(ends[0])
		syscall.CloseOnExec(ends[1])
	}
	syscall.ForkLock.RUnlock()
	if err != nil {
		return nil, nil, os.NewSyscallError("socketpair", err)
	}
	var both [2]*net.UnixConn
	for i, fd := range ends {
		f := os.NewFile(uintptr(fd), "ssh")
		conn, wrong := net.FileConn(f)
		both[i], _ = conn.(*net.UnixConn) // or there is an error
		err = errors.Join(err, wrong, f.Close())
	}
	return both[0], both[1], err
}
