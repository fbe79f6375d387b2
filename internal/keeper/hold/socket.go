//go:build unix

package hold

import (
	"errors"
	"syscall"

	"github.com/divisi-go/divisi/internal/keeper"
	"github.com/divisi-go/divisi/internal/keeper/stock"
)

// listen opens a listening socket for a session, or returns the one that has the key.
func (k *Keeper) listen(session *Session, want keeper.Socket) (socket keeper.Socket, isNew bool, err error) {
	if err := stock.Check(want); err != nil {
		return keeper.Socket{}, false, err
	}
	k.whole.RLock()
	defer k.whole.RUnlock()
	k.listening.Lock() // one who asks for the same key meanwhile gets the same socket
	defer k.listening.Unlock()

	k.mu.Lock()
	err = session.may(want.Domain)
	var s *stock.Socket
	if err == nil {
		s, err = k.stock.Find(want)
	}
	k.mu.Unlock()
	switch {
	case err != nil:
		return keeper.Socket{}, false, err
	case s != nil:
		return s.Socket, false, nil
	}

	s, err = stock.Listen(want)
	if errors.Is(err, syscall.EADDRINUSE) { // perhaps by a copy that is about to be closed
		k.store.Settle()
		s, err = stock.Listen(want)
	}
	if err != nil {
		return keeper.Socket{}, false, err
	}

	k.mu.Lock()
	defer k.mu.Unlock()
	if err := session.may(want.Domain); err != nil {
		s.Close()
		return keeper.Socket{}, false, err
	}
	k.stock.Add(s)

	return s.Socket, true, nil
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
	for s := range k.servers.All() {
		others = append(others, &s.spec)
	}
	k.stock.Abandon(spec, others)
}
