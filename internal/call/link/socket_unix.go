//go:build unix

package link

import (
	"net"
	"os"
	"syscall"
)

// socket writes to a connection of the system without waiting for the peer.
type socket struct {
	raw   syscall.RawConn
	write func(fd uintptr) bool // writes b; made once, because it is on the heap

	b   []byte
	n   int
	err error
}

var _ trier = (*socket)(nil)

// trierOf returns what writes to a connection without waiting; nil if nothing does.
func trierOf(nc net.Conn) trier {
	if t, ok := nc.(trier); ok {
		return t
	}
	sc, ok := nc.(syscall.Conn)
	if !ok {
		return nil
	}
	raw, err := sc.SyscallConn()
	if err != nil {
		return nil
	}
	s := &socket{raw: raw}
	s.write = s.writeTo
	return s
}

func (s *socket) writeTo(fd uintptr) bool {
	for {
		s.n, s.err = syscall.Write(int(fd), s.b)
		if s.err != syscall.EINTR {
			return true // also if it would wait
		}
	}
}

// WriteNow implements trier.
func (s *socket) WriteNow(b []byte) (int, error) {
	s.b = b
	err := s.raw.Write(s.write)
	s.b = nil
	switch {
	case err != nil: // closed, or the deadline has passed
		return 0, err
	case s.err == syscall.EAGAIN:
		return 0, nil
	case s.err != nil:
		return 0, os.NewSyscallError("write", s.err)
	}
	return s.n, nil
}
