//go:build !linux && !darwin

package keeper

import (
	"errors"
	"net"
)

var errUnsupported = errors.New("processes are kept on Linux and macOS only: use go run . here")

// Keeper holds processes and sockets for one folder.
type Keeper struct{}

// Open fails on this system, as do the methods of Keeper.
func Open(dir, logs string) (*Keeper, error) { return nil, errUnsupported }

// Close closes the keeper.
func (*Keeper) Close() error { return errUnsupported }

// LogDir returns the folder of the logs.
func (*Keeper) LogDir() string { return "" }

// Listen opens a listening socket and keeps it under a key.
func (*Keeper) Listen(key, network, address string) (net.Addr, error) { return nil, errUnsupported }

// Start starts a process.
func (*Keeper) Start(s Spec) (*Process, error) {
	for _, f := range s.Files {
		f.Close()
	}
	return nil, errUnsupported
}

// Exits returns the ends in the journal.
func (*Keeper) Exits() ([]ExitRecord, error) { return nil, errUnsupported }
