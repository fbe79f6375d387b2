//go:build unix

package link

import (
	"io"
	"net"
	"os"
	"syscall"
	"unsafe"

	"github.com/divisi-go/divisi/internal/wire"
)

// socket writes to a connection of the system without waiting for the peer.
type socket struct {
	raw   syscall.RawConn
	write func(fd uintptr) bool // writes; made once, because it is on the heap

	b      []byte
	pieces [2]syscall.Iovec // to write instead of b, if there are two
	n      int
	err    error
}

var _ trier = (*socket)(nil)

// trierOf returns what writes to a connection without waiting; nil if nothing does.
func trierOf(nc net.Conn) trier {
	if t, ok := nc.(trier); ok {
		return t
	}
	raw := rawOf(nc)
	if raw == nil {
		return nil
	}
	s := &socket{raw: raw}
	s.write = s.writeTo
	return s
}

// rawOf returns a connection of the system; nil if it is another one.
func rawOf(nc net.Conn) syscall.RawConn {
	sc, ok := nc.(syscall.Conn)
	if !ok {
		return nil
	}
	raw, err := sc.SyscallConn()
	if err != nil {
		return nil
	}
	return raw
}

func (s *socket) writeTo(fd uintptr) bool {
	for {
		if s.b != nil {
			s.n, s.err = syscall.Write(int(fd), s.b)
		} else {
			n, _, errno := syscall.Syscall(syscall.SYS_WRITEV, fd, uintptr(unsafe.Pointer(&s.pieces)), uintptr(len(s.pieces)))
			s.n, s.err = int(n), nil
			if errno != 0 {
				s.err = errno
			}
		}
		if s.err != syscall.EINTR {
			return true // also if it would wait
		}
	}
}

// WriteNow implements trier.
func (s *socket) WriteNow(b, more []byte) (int, error) {
	s.b = b
	if len(more) > 0 {
		s.b = nil
		for i, piece := range [][]byte{b, more} {
			s.pieces[i].Base = unsafe.SliceData(piece)
			s.pieces[i].SetLen(len(piece))
		}
		tell()
	}
	err := s.raw.Write(s.write)
	s.b, s.pieces = nil, [2]syscall.Iovec{}
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

// source reads from a connection of the system, and has no buffer while it waits.
type source struct {
	raw  syscall.RawConn
	read func(fd uintptr) bool // reads; made once, because it is on the heap

	lend func() []byte
	back func()
	n    int
	err  error
}

var _ wire.Lender = (*source)(nil)

// lenderOf returns what reads from a connection without a buffer while it waits; nil if nothing does.
func lenderOf(nc net.Conn) wire.Lender {
	raw := rawOf(nc)
	if raw == nil {
		return nil
	}
	s := &source{raw: raw}
	s.read = s.readFrom
	return s
}

func (s *source) readFrom(fd uintptr) bool {
	b := s.lend()
	s.n, s.err = syscall.Read(int(fd), b)
	for s.err == syscall.EINTR {
		s.n, s.err = syscall.Read(int(fd), b)
	}
	if s.err == syscall.EAGAIN {
		s.back()
		return false
	}
	return true
}

// ReadLent implements [wire.Lender].
func (s *source) ReadLent(lend func() []byte, back func()) (int, error) {
	s.lend, s.back = lend, back
	err := s.raw.Read(s.read)
	switch {
	case err != nil: // closed, or the deadline has passed
		return 0, err
	case s.err != nil:
		return 0, os.NewSyscallError("read", s.err)
	case s.n == 0:
		return 0, io.EOF
	}
	return s.n, nil
}
