//go:build !linux

package notify

import (
	"context"
	"errors"
	"os"
)

var errUnsupported = errors.New("cannot receive notifications: only Linux says which process has sent one")

// Server is the end of the supervisor.
type Server struct{}

// Listen fails on this system.
func Listen(path string) (*Server, error) { return nil, errUnsupported }

// Adopt fails on this system.
func Adopt(path string, socket *os.File) (*Server, error) {
	return nil, errors.Join(errUnsupported, socket.Close())
}

// File returns a copy of the socket's descriptor.
func (*Server) File() (*os.File, error) { return nil, errUnsupported }

// Path returns what NOTIFY_SOCKET is for those that send here.
func (*Server) Path() string { return "" }

// Close closes the socket.
func (*Server) Close() error { return errUnsupported }

// Serve hands on every message.
func (*Server) Serve(ctx context.Context, handle func(*Message)) error { return errUnsupported }
