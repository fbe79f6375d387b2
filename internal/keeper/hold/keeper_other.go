//go:build !unix

package hold

import (
	"context"
	"errors"
	"os"
	"syscall"

	"github.com/divisi-go/divisi/internal/keeper"
)

var errUnsupported = errors.New("processes are kept on Linux and macOS only: use go run . here")

// Keeper holds servers, sockets and slots for one state folder.
type Keeper struct{}

// Open fails on this system.
func Open(dir, logs, sockets string) (*Keeper, error) { return nil, errUnsupported }

// Close closes the keeper.
func (*Keeper) Close() error { return errUnsupported }

// LogDir returns the folder of the logs of a domain.
func (*Keeper) LogDir(domain string) string { return "" }

// Attach returns a session.
func (*Keeper) Attach(context.Context, keeper.Claim) (*Session, error) { return nil, errUnsupported }

// Session is how one client uses a keeper.
type Session struct{}

// Holder returns the claim of the session.
func (*Session) Holder() keeper.Holder { return keeper.Holder{} }

// Release ends the session.
func (*Session) Release() error { return errUnsupported }

// Fenced returns why the session may change nothing.
func (*Session) Fenced(context.Context) error { return errUnsupported }

// Listen opens a listening socket and keeps it under a key.
func (*Session) Listen(context.Context, keeper.Socket) (keeper.Socket, error) {
	return keeper.Socket{}, errUnsupported
}

// Start starts a server.
func (*Session) Start(_ context.Context, spec keeper.Spec) (keeper.Proc, error) {
	for _, f := range spec.Files {
		f.File.Close()
	}
	return keeper.Proc{}, errUnsupported
}

// Signal sends a signal to a process and its children.
func (*Session) Signal(context.Context, keeper.ID, syscall.Signal) error { return errUnsupported }

// Wait returns how one start of a server has ended.
func (*Session) Wait(context.Context, keeper.ID) (keeper.Exit, error) {
	return keeper.Exit{}, errUnsupported
}

// Stop fails on this system.
func (*Session) Stop(context.Context, keeper.ID) (keeper.Exit, error) {
	return keeper.Exit{}, errUnsupported
}

// Put fails on this system.
func (*Session) Put(context.Context, string, string, *os.File) error { return errUnsupported }

// Get fails on this system.
func (*Session) Get(context.Context, string, string) (*os.File, error) { return nil, errUnsupported }

// Unlisten fails on this system.
func (*Session) Unlisten(context.Context, string, string) error { return errUnsupported }

// Sockets fails on this system.
func (*Session) Sockets(context.Context, string) ([]keeper.Socket, error) { return nil, errUnsupported }

// List fails on this system.
func (*Session) List(context.Context, string) ([]keeper.Proc, error) { return nil, errUnsupported }

// Spec fails on this system.
func (*Session) Spec(context.Context, keeper.ID) (keeper.Spec, error) {
	return keeper.Spec{}, errUnsupported
}

// Next fails on this system.
func (*Session) Next(context.Context, string, uint64) ([]keeper.Event, error) {
	return nil, errUnsupported
}
