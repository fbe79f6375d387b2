//go:build linux

package frame

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"syscall"
)

// mostPassed is how many descriptors the system passes at once at most (SCM_MAX_FD). There is always
// room for so many, so some are cut off only if this process cannot have more.
const mostPassed = 253

// passed are descriptors that came.
type passed struct {
	descriptors
	cut bool // there were more, which this process could not have
}

// reader reads frames, and knows what came with each.
type reader struct {
	socket *net.UnixConn
	buffer [16 << 10]byte
	oob    []byte
	most   int // bytes of a frame

	line []byte // of the frame that is being read, as far as it is here
	own  passed // came with it
	rest []byte // of the last read, what comes after line
	last passed // came with the last read; empty unless rest has bytes
}

func newReader(socket *net.UnixConn, most int) *reader {
	return &reader{socket: socket, most: most, oob: make([]byte, syscall.CmsgSpace(mostPassed*4))}
}

// next returns the next frame and what came with it. The error is io.EOF if the stream ends between
// frames.
func (r *reader) next() (frame, passed, error) {
	for {
		end := bytes.IndexByte(r.rest, '\n') + 1
		if end > 0 {
			r.take(end)
		} else {
			r.take(len(r.rest))
		}

		switch {
		case len(r.line) > r.most:
			return frame{}, passed{}, fmt.Errorf("a frame is longer than %d bytes", r.most)
		case end > 0:
			return r.finish()
		}
		if err := r.read(); err != nil {
			return frame{}, passed{}, err
		}
	}
}

// take adds bytes to the frame that is being read, and what came with the last of them.
func (r *reader) take(n int) {
	r.line = append(r.line, r.rest[:n]...)
	r.rest = r.rest[n:]

	if len(r.rest) == 0 {
		r.own.descriptors = append(r.own.descriptors, r.last.descriptors...)
		r.own.cut = r.own.cut || r.last.cut
		r.last = passed{}
	}
}

// finish returns the frame whose line is complete.
func (r *reader) finish() (frame, passed, error) {
	f, err := decode(r.line)
	r.line = nil
	if err != nil {
		return frame{}, passed{}, err
	}
	if n := len(r.own.descriptors); n > f.Files || n < f.Files && !r.own.cut {
		return frame{}, passed{}, fmt.Errorf("a frame says that it has %d files, and came with %d", f.Files, n)
	}

	came := r.own
	r.own = passed{}
	return f, came, nil
}

// read reads once. There is nothing in rest.
func (r *reader) read() error {
	n, oobn, flags, _, err := r.socket.ReadMsgUnix(r.buffer[:], r.oob)
	r.rest = r.buffer[:max(n, 0)]
	r.last = parsePassed(r.oob[:max(oobn, 0)])
	r.last.cut = flags&syscall.MSG_CTRUNC != 0

	switch {
	case errors.Is(err, io.EOF), err == nil && n == 0:
		if len(r.line) > 0 {
			return io.ErrUnexpectedEOF
		}
		return io.EOF
	case err != nil:
		return err
	case len(r.own.descriptors)+len(r.last.descriptors) > MaxFiles:
		return fmt.Errorf("more than %d files came with a frame", MaxFiles)
	}
	return nil
}

// close closes what came and was not handed on.
func (r *reader) close() {
	r.own.close()
	r.last.close()
}

// parsePassed returns the descriptors in control messages. There are no others in what the system
// makes.
func parsePassed(oob []byte) passed {
	var p passed
	messages, err := syscall.ParseSocketControlMessage(oob)
	if err != nil {
		return p
	}
	for _, m := range messages {
		if fds, err := syscall.ParseUnixRights(&m); err == nil {
			p.descriptors = append(p.descriptors, fds...)
		}
	}
	return p
}
