//go:build !unix

package keeper

import (
	"context"
	"errors"
	"syscall"
)

var errUnsupported = errors.New("processes are kept on Linux and macOS only: use go run . here")

// Keeper holds servers, sockets and slots for one state folder.
type Keeper struct{}

// Open fails on this system.
func Open(dir, logs string) (*Keeper, error) { return nil, errUnsupported }

// Close closes the keeper.
func (*Keeper) Close() error { return errUnsupported }

// LogDir returns the folder of the logs of a domain.
func (*Keeper) LogDir(domain string) string { return "" }

// Attach returns a session.
func (*Keeper) Attach(context.Context, Claim) (*Session, error) { return nil, errUnsupported }

// Session is how one client uses a keeper.
type Session struct{}

// Holder returns the claim of the session.
func (*Session) Holder() Holder { return Holder{} }

// Release ends the session.
func (*Session) Release() error { return errUnsupported }

// Listen opens a listening socket and keeps it under a key.
func (*Session) Listen(context.Context, Socket) (Socket, error) { return Socket{}, errUnsupported }

// Start starts a server.
func (*Session) Start(_ context.Context, spec Spec) (Proc, error) {
	for _, f := range spec.Files {
		f.File.Close()
	}
	return Proc{}, errUnsupported
}

// Signal sends a signal to a process and its children.
func (*Session) Signal(context.Context, ID, syscall.Signal) error { return errUnsupported }

// Wait returns how one start of a server has ended.
func (*Session) Wait(context.Context, ID) (Exit, error) { return Exit{}, errUnsupported }
