//go:build unix

package hold

import (
	"fmt"
	"strings"
	"syscall"

	"github.com/divisi-go/divisi/internal/keeper"
	"github.com/divisi-go/divisi/internal/keeper/bind"
	"github.com/divisi-go/divisi/internal/keeper/record"
)

// socket is a listening socket that is kept. It is held as a plain descriptor: an os.File would take
// the socket, and with it all processes that share it, out of non-blocking mode when asked for its
// number.
type socket struct {
	keeper.Socket
	fd    int    // -1 while the keeper does not have it
	inode uint64 // by which it is found in processes; 0 if nobody knows
}

// listen opens a listening socket for a session, or returns the one that has the key.
func (k *Keeper) listen(session *Session, want keeper.Socket) (keeper.Socket, error) {
	if want.Key == "" || strings.ContainsAny(want.Key, ":\x00") {
		return keeper.Socket{}, fmt.Errorf("cannot keep a socket under the key %q: %w: use one without a colon, "+
			"which separates keys in LISTEN_FDNAMES", want.Key, keeper.ErrInvalid)
	}
	if err := keeper.CheckDomain(want.Domain); err != nil {
		return keeper.Socket{}, err
	}
	k.starting.RLock()
	defer k.starting.RUnlock()
	k.listening.Lock() // one who asks for the same key meanwhile gets the same socket
	defer k.listening.Unlock()

	at := key{want.Domain, want.Key}
	k.mu.Lock()
	err := session.may(want.Domain)
	s, open := k.sockets[at]
	k.mu.Unlock()
	switch {
	case err != nil:
		return keeper.Socket{}, err
	case open && (s.Network != want.Network || s.Address != want.Address):
		return keeper.Socket{}, fmt.Errorf("cannot open %s in %s at %s: %w: %s", want.Key, want.Domain, want.Address, keeper.ErrDiffers, s.Address)
	case open && s.fd >= 0:
		return s.Socket, nil
	case open:
		return keeper.Socket{}, fmt.Errorf("cannot open %s in %s at %s: only processes that a killed keeper has started "+
			"have it: stop them", want.Key, want.Domain, s.Actual)
	}

	if s, err = openSocket(want); err != nil {
		return keeper.Socket{}, err
	}

	k.mu.Lock()
	defer k.mu.Unlock()
	if err := session.may(want.Domain); err != nil {
		s.close()
		return keeper.Socket{}, err
	}
	k.sockets[at] = s
	k.note(s.entry())

	return s.Socket, nil
}

// giveUp closes a socket for a session.
func (k *Keeper) giveUp(session *Session, at key) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	if err := session.may(at.domain); err != nil {
		return err
	}

	socket, ok := k.sockets[at]
	if !ok {
		return fmt.Errorf("no socket %s in %s: %w", at.name, at.domain, keeper.ErrUnknown)
	}
	k.unlisten(socket)
	return nil
}

// unlisten closes a socket; the mutex is held.
func (k *Keeper) unlisten(s *socket) {
	s.close()
	delete(k.sockets, key{s.Domain, s.Key})
	k.note(record.Entry{Event: record.Unlistened, Socket: &s.Socket})
}

// openSocket opens a socket.
func openSocket(want keeper.Socket) (*socket, error) {
	opened, err := bind.Listen(want.Network, want.Address)
	if err != nil {
		return nil, err
	}

	want.Actual, want.Held = opened.Address, keeper.Own
	return &socket{Socket: want, fd: opened.Descriptor, inode: opened.Inode}, nil
}

// entry returns what the journal has of the socket.
func (s *socket) entry() record.Entry {
	kept := s.Socket
	return record.Entry{Event: record.Listened, Socket: &kept, Inode: s.inode}
}

func (s *socket) close() {
	if s.fd < 0 {
		return // its path is that of whoever has it
	}
	syscall.Close(s.fd)
	if s.Network == "unix" {
		syscall.Unlink(s.Address)
	}
}
