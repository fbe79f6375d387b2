//go:build unix

package stock

import (
	"github.com/divisi-go/divisi/internal/keeper"
	"github.com/divisi-go/divisi/internal/keeper/bind"
	"github.com/divisi-go/divisi/internal/keeper/record"
)

// Recall keeps a socket that an earlier keeper had, and that nobody has yet.
func (k *Stock) Recall(at record.Key, old record.Socket) *Socket {
	s := &Socket{Socket: old.Socket, Inode: old.Inode, FD: -1}
	k.sockets[at] = s
	return s
}

// Heir is a process that lives, and may have sockets of an earlier keeper.
type Heir interface {
	Inherits(keeper.Socket) bool             // it was given that socket
	Socket(inode uint64) (fd int, err error) // a copy of its own
}

// Recover takes a socket back that was recalled, from the supervisor or from a process, if the machine is
// the same since. Else it is opened again.
func (k *Stock) Recover(s *Socket, same bool, heirs []Heir) {
	if same && s.Inode != 0 && (k.giveBack(s) || k.regain(s, heirs)) {
		return
	}
	k.relisten(s, heirs)
}

// Retry opens the sockets that the keeper still does not have, as when a process has ended that had them.
func (k *Stock) Retry(heirs []Heir) {
	for _, s := range k.sockets {
		if s.FD < 0 {
			k.relisten(s, heirs)
		}
	}
}

// giveBack has a socket again if the supervisor has given it back.
func (k *Stock) giveBack(s *Socket) bool {
	fd, ok := k.store.Take(s.stored())
	if ok {
		s.FD, s.Held = fd, keeper.Store
	}
	return ok
}

// regain has a socket again if it can be taken from a process.
func (k *Stock) regain(s *Socket, heirs []Heir) bool {
	for _, h := range heirs {
		if fd, err := h.Socket(s.Inode); err == nil {
			s.FD, s.Held = fd, keeper.Getfd
			k.store.Keep(s.stored(), s.FD)
			return true
		}
	}
	return false
}

// relisten opens a socket at the address where it was, or says who has it.
func (k *Stock) relisten(s *Socket, heirs []Heir) {
	address := s.Actual
	if s.Network == keeper.Handed {
		address = s.Address
	}
	opened, err := bind.Listen(s.Network, address)
	if err == nil {
		s.FD, s.Inode, s.Held = opened.Descriptor, opened.Inode, keeper.Relisten
		k.store.Keep(s.stored(), s.FD)
		return
	}

	s.Held = keeper.Lost
	for _, h := range heirs {
		if h.Inherits(s.Socket) {
			s.Held = keeper.Child
		}
	}
}
