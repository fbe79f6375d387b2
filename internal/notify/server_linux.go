package notify

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"strings"
	"syscall"
	"time"
)

const (
	maxMessage = 4096 // bytes, as with systemd
	maxFiles   = 64   // with one message
	maxPath    = 107  // bytes of the path of a socket
)

// Server is the end of the supervisor: one socket for all its processes, which the kernel tells
// apart. Messages that come while nobody serves wait in the socket, and their senders with them once
// it is full.
type Server struct {
	path string
	conn *net.UnixConn
}

// Listen opens the socket at a path, in place of one that nobody listens at any more. Whoever may
// look into the folder may send. A name that begins with @ is of Linux's abstract namespace, and not
// of a file. Every user of the machine sees such names, may send there, and may take one that is free:
// if somebody has, the server gets another one, which [Server.Path] returns.
func Listen(path string) (*Server, error) {
	if len(path) > maxPath {
		return nil, fmt.Errorf("cannot listen for notifications at %s: the path has %d bytes, a socket's at most %d",
			path, len(path), maxPath)
	}

	s, err := listen(path)
	switch {
	case !errors.Is(err, syscall.EADDRINUSE):
	case isAbstract(path):
		s, err = listen(path + "-" + rand.Text())
	case abandoned(path):
		s, err = listen(path)
	}
	if err != nil {
		return nil, fmt.Errorf("cannot listen for notifications: %w", err)
	}

	return s, nil
}

func listen(path string) (*Server, error) {
	// Before the socket has its name: no message comes without its sender.
	config := net.ListenConfig{Control: func(_, _ string, raw syscall.RawConn) error {
		return passCredentials(raw)
	}}
	conn, err := config.ListenPacket(context.Background(), "unixgram", path)
	if err != nil {
		return nil, err
	}
	s := &Server{path, conn.(*net.UnixConn)}
	if !isAbstract(path) {
		if err := os.Chmod(path, 0o666); err != nil {
			return nil, errors.Join(err, s.Close())
		}
	}

	return s, nil
}

func passCredentials(raw syscall.RawConn) error {
	var err error
	controlErr := raw.Control(func(fd uintptr) {
		err = syscall.SetsockoptInt(int(fd), syscall.SOL_SOCKET, syscall.SO_PASSCRED, 1)
	})

	return errors.Join(controlErr, err)
}

// abandoned removes a socket that nobody listens at. What else is at the path stays.
func abandoned(path string) bool {
	info, err := os.Lstat(path)
	if err != nil || info.Mode().Type() != fs.ModeSocket {
		return false
	}
	conn, err := net.Dial("unixgram", path)
	if err == nil {
		conn.Close()
	}

	return errors.Is(err, syscall.ECONNREFUSED) && os.Remove(path) == nil
}

// Adopt takes over what [Server.File] of another process has returned, and closes the file.
func Adopt(path string, socket *os.File) (*Server, error) {
	defer socket.Close()
	conn, err := net.FilePacketConn(socket)
	if err != nil {
		return nil, fmt.Errorf("cannot take over the notifications at %s: %w", path, err)
	}
	unix, ok := conn.(*net.UnixConn)
	if !ok {
		return nil, errors.Join(fmt.Errorf("cannot take over the notifications at %s: it is a socket of %s",
			path, conn.LocalAddr().Network()), conn.Close())
	}

	return &Server{path, unix}, nil
}

// File returns a copy of the socket's descriptor.
func (s *Server) File() (*os.File, error) { return s.conn.File() }

// Path returns what NOTIFY_SOCKET is for those that send here.
func (s *Server) Path() string { return s.path }

func isAbstract(path string) bool { return strings.HasPrefix(path, "@") }

// Close closes the socket and removes its path. It ends [Server.Serve] with [net.ErrClosed].
func (s *Server) Close() error {
	if isAbstract(s.path) {
		return s.conn.Close()
	}
	err := os.Remove(s.path)
	if errors.Is(err, fs.ErrNotExist) {
		err = nil
	}

	return errors.Join(err, s.conn.Close())
}

// Serve hands on every message, one after the other, until the context ends, which is no error. Files
// of a message that handle does not take are closed when it returns. Who sends a barrier waits until
// all that was sent before it has been handled; handle sees none.
func (s *Server) Serve(ctx context.Context, handle func(*Message)) error {
	if err := s.conn.SetReadDeadline(time.Time{}); err != nil {
		return err
	}
	ended := make(chan struct{})
	stop := context.AfterFunc(ctx, func() {
		defer close(ended)
		_ = s.conn.SetReadDeadline(time.Unix(1, 0)) // fails when it is closed, which ends Serve as well
	})
	defer func() {
		if !stop() {
			<-ended // the next Serve sets the deadline after it
		}
	}()

	for ctx.Err() == nil {
		m, barrier, err := s.receive()
		switch {
		case errors.Is(err, os.ErrDeadlineExceeded):
		case err != nil:
			return err
		case !barrier:
			handle(&m)
		}
		for _, f := range m.Files {
			f.Close()
		}
	}

	return nil
}

func (s *Server) receive() (m Message, barrier bool, err error) {
	data := make([]byte, maxMessage)
	control := make([]byte, syscall.CmsgSpace(syscall.SizeofUcred)+syscall.CmsgSpace(4*maxFiles))
	n, controlLen, flags, _, err := s.conn.ReadMsgUnix(data, control)
	if err != nil {
		return Message{}, false, err
	}

	pid, fds, err := unpack(control[:controlLen])
	switch {
	case err != nil:
		m.Fault = fmt.Errorf("a notification counts for nothing: what comes with it cannot be read: %w", err)
	case flags&syscall.MSG_TRUNC != 0:
		m.Fault = fmt.Errorf("a notification counts for nothing: it has more than %d bytes", maxMessage)
	case flags&syscall.MSG_CTRUNC != 0:
		m.Fault = fmt.Errorf("a notification counts for nothing: it has more than %d descriptors, "+
			"or more than this process may open", maxFiles)
	default:
		m, barrier = parse(data[:n])
	}
	m.Pid = pid
	for _, fd := range fds {
		m.Files = append(m.Files, os.NewFile(uintptr(fd), m.FDName))
	}

	return m, barrier, nil
}

// unpack reads who has sent a message, and the descriptors that came with it.
func unpack(control []byte) (pid int, fds []int, err error) {
	parts, err := syscall.ParseSocketControlMessage(control)
	if err != nil {
		return 0, nil, err
	}

	for _, part := range parts {
		if part.Header.Level != syscall.SOL_SOCKET {
			continue
		}
		switch part.Header.Type {
		case syscall.SCM_CREDENTIALS:
			sender, err := syscall.ParseUnixCredentials(&part)
			if err != nil {
				return 0, fds, err
			}
			pid = int(sender.Pid)
		case syscall.SCM_RIGHTS:
			part.Data = part.Data[:len(part.Data)/4*4] // it panics for less than a number
			more, err := syscall.ParseUnixRights(&part)
			if err != nil {
				return pid, fds, err
			}
			fds = append(fds, more...)
		}
	}

	return pid, fds, nil
}
