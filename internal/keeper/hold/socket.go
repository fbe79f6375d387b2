//go:build unix

package hold

import (
	"errors"
	"slices"
	"syscall"

	"github.com/divisi-go/divisi/internal/keeper"
	"github.com/divisi-go/divisi/internal/keeper/stock"
)

// listen opens a listening socket for a session, or returns the one that has the key.
func (k *Keeper) listen(session *Session, want keeper.Socket) (keeper.Socket, error) {
	if err := stock.Check(want); err != nil {
		return keeper.Socket{}, err
	}
	k.whole.RLock()
	defer k.whole.RUnlock()
	k.listening.Lock() // one who asks for the same key meanwhile gets the same socket
	defer k.listening.Unlock()

	k.mu.Lock()
	err := session.may(want.Domain)
	var s *stock.Socket
	if err == nil {
		s, err = k.stock.Find(want)
	}
	k.mu.Unlock()
	switch {
	case err != nil:
		return keeper.Socket{}, err
	case s != nil:
		return s.Socket, nil
	}

	s, err = stock.Listen(want)
	if errors.Is(err, syscall.EADDRINUSE) { // perhaps by a copy that is about to be closed
		k.store.Settle()
		s, err = stock.Listen(want)
	}
	if err != nil {
		return keeper.Socket{}, err
	}

	k.mu.Lock()
	defer k.mu.Unlock()
	if err := session.may(want.Domain); err != nil {
		s.Close()
		return keeper.Socket{}, err
	}
	k.stock.Add(s)

	return s.Socket, nil
}

// recover takes a socket back, or says who has it.
func (k *Keeper) recover(s *stock.Socket, sameBoot bool) {
	if sameBoot && s.Inode != 0 {
		if k.stock.GiveBack(s) {
			return
		}
		for _, p := range k.processes {
			if fd, err := p.Socket(s.Inode); err == nil {
				k.stock.Regain(s, fd)
				return
			}
		}
	}
	k.relisten(s)
}

// relisten opens a socket again that nobody has handed over, at the address where it was.
func (k *Keeper) relisten(s *stock.Socket) {
	err := k.stock.Relisten(s)
	switch {
	case err == nil:
	case k.inherited(s):
		s.Held = keeper.Child
	default:
		s.Held = keeper.Lost
	}
}

// inherited reports whether a process that an earlier keeper has started was given a socket.
func (k *Keeper) inherited(s *stock.Socket) bool {
	for _, p := range k.processes {
		given := slices.ContainsFunc(p.server.spec.Sockets, func(i keeper.Inherit) bool { return i.Key == s.Key })
		if p.Foreign() && !p.Reaped() && p.server.spec.Domain == s.Domain && given {
			return true
		}
	}
	return false
}

// leftBy takes note that a server has left: what it inherited is closed, at once or when the client that
// has its domain goes, which may start it again; the mutex is held.
func (k *Keeper) leftBy(spec *keeper.Spec) {
	if claim := k.claims.Of(spec.Domain); claim != nil {
		claim.Left = append(claim.Left, spec)
		return
	}
	k.abandon(spec)
}

// abandon closes what a server inherited that has left, as far as no other server inherits it; the
// mutex is held.
func (k *Keeper) abandon(spec *keeper.Spec) {
	var others []*keeper.Spec
	for _, all := range k.servers {
		for _, s := range all {
			others = append(others, &s.spec)
		}
	}
	k.stock.Abandon(spec, others)
}
