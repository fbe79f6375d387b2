//go:build unix

package hold

import (
	"errors"
	"fmt"
	"net"
	"os"
	"strings"
	"syscall"

	"github.com/divisi-go/divisi/internal/keeper"
	"github.com/divisi-go/divisi/internal/keeper/fork"
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
	if err := checkDomain(want.Domain); err != nil {
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

// unlisten closes a socket; the mutex is held.
func (k *Keeper) unlisten(s *socket) {
	s.close()
	delete(k.sockets, key{s.Domain, s.Key})
	k.note(entry{Event: unlistened, Socket: &s.Socket})
}

// openSocket opens a socket, and takes it out of the hands of the runtime.
func openSocket(want keeper.Socket) (*socket, error) {
	l, err := net.Listen(want.Network, want.Address)
	if errors.Is(err, syscall.EADDRINUSE) && want.Network == "unix" && abandoned(want.Address) {
		l, err = net.Listen(want.Network, want.Address)
	}
	if err != nil {
		return nil, err
	}
	defer l.Close()
	if unix, ok := l.(*net.UnixListener); ok {
		unix.SetUnlinkOnClose(false)
	}
	raw, err := l.(syscall.Conn).SyscallConn()
	if err != nil {
		return nil, err
	}

	s := &socket{Socket: want}
	s.Actual, s.Held = l.Addr().String(), keeper.Own
	var dupErr error
	if err := raw.Control(func(fd uintptr) { s.fd, dupErr = fork.Dup(int(fd)) }); err != nil {
		return nil, err
	}
	if dupErr != nil {
		return nil, fmt.Errorf("cannot keep the socket %s: %w", want.Key, dupErr)
	}
	var info syscall.Stat_t
	if err := syscall.Fstat(s.fd, &info); err == nil {
		s.inode = uint64(info.Ino)
	}

	return s, nil
}

// abandoned removes a Unix socket that nobody listens at any more, as a killed keeper leaves them.
// A file that is no socket refuses connections as well, and stays.
func abandoned(path string) bool {
	info, err := os.Lstat(path)
	if err != nil || info.Mode().Type() != os.ModeSocket {
		return false
	}
	conn, err := net.Dial("unix", path)
	if err == nil {
		conn.Close()
	}
	return errors.Is(err, syscall.ECONNREFUSED) && os.Remove(path) == nil
}

// entry returns what the journal has of the socket.
func (s *socket) entry() entry {
	kept := s.Socket
	return entry{Event: listened, Socket: &kept, Inode: s.inode}
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
