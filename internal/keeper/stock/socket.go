//go:build unix

package stock

import (
	"fmt"
	"strings"
	"syscall"

	"github.com/divisi-go/divisi/internal/keeper"
	"github.com/divisi-go/divisi/internal/keeper/bind"
	"github.com/divisi-go/divisi/internal/keeper/record"
	"github.com/divisi-go/divisi/internal/keeper/store"
)

// Socket is a listening socket that is kept. It is held as a plain descriptor: an os.File would take
// the socket, and with it all processes that share it, out of non-blocking mode when asked for its
// number.
type Socket struct {
	keeper.Socket
	FD    int    // -1 while the keeper does not have it
	Inode uint64 // by which it is found in processes; 0 if nobody knows
}

// Check says why a socket cannot be meant.
func Check(want keeper.Socket) error {
	if want.Key == "" || strings.ContainsAny(want.Key, ":\x00") {
		return fmt.Errorf("cannot keep a socket under the key %q: %w: use one without a colon, "+
			"which separates keys in LISTEN_FDNAMES", want.Key, keeper.ErrInvalid)
	}
	return keeper.CheckDomain(want.Domain)
}

// Listen opens a socket.
func Listen(want keeper.Socket) (*Socket, error) {
	opened, err := bind.Listen(want.Network, want.Address)
	if err != nil {
		return nil, err
	}

	want.Actual, want.Held = opened.Address, keeper.Own
	return &Socket{Socket: want, FD: opened.Descriptor, Inode: opened.Inode}, nil
}

// stored is what the store of a supervisor calls the socket.
func (s *Socket) stored() string { return store.Socket(s.Inode) }

// Entry returns what the journal has of the socket.
func (s *Socket) Entry() record.Entry {
	kept := s.Socket
	return record.Entry{Event: record.Listened, Socket: &kept, Inode: s.Inode}
}

// Close closes the socket.
func (s *Socket) Close() {
	if s.FD < 0 {
		return // its path is that of whoever has it
	}
	syscall.Close(s.FD)
	if s.Network == "unix" {
		syscall.Unlink(s.Address)
	}
}
