//go:build unix

// Package stock is what a keeper keeps for domains and their servers to come: listening sockets, and
// files in slots.
package stock

import (
	"cmp"
	"fmt"
	"maps"
	"os"
	"slices"

	"github.com/divisi-go/divisi/internal/keeper"
	"github.com/divisi-go/divisi/internal/keeper/fork"
	"github.com/divisi-go/divisi/internal/keeper/record"
	"github.com/divisi-go/divisi/internal/keeper/store"
	"github.com/divisi-go/divisi/internal/memfd"
	"github.com/divisi-go/divisi/internal/probe"
)

// Stock has sockets and slots, each under a key of its domain. It is not safe for concurrent use.
type Stock struct {
	note    func(record.Entry)
	store   *store.Store // of the supervisor, which has copies of the sockets; nil without one
	sockets map[record.Key]*Socket
	slots   map[record.Key]*os.File
}

// New returns a stock that has nothing. Its changes that the journal is to have are noted, and of its
// sockets the store of a supervisor has copies, if there is one.
func New(note func(record.Entry), kept *store.Store) *Stock {
	return &Stock{note: note, store: kept, sockets: map[record.Key]*Socket{}, slots: map[record.Key]*os.File{}}
}

// Empty reports whether there is nothing.
func (k *Stock) Empty() bool { return len(k.sockets)+len(k.slots) == 0 }

// Find returns the socket that has the key of one that is wanted, nil if there is none. The error is
// [keeper.ErrDiffers] if it was asked for with another address.
func (k *Stock) Find(want keeper.Socket) (*Socket, error) {
	s, ok := k.sockets[record.Key{Domain: want.Domain, Name: want.Key}]
	switch {
	case !ok:
		return nil, nil
	case s.Network != want.Network || s.Address != want.Address:
		return nil, fmt.Errorf("cannot open %s in %s at %s: %w: %s", want.Key, want.Domain, want.Address, keeper.ErrDiffers, s.Address)
	case s.FD < 0:
		return nil, fmt.Errorf("cannot open %s in %s at %s: only processes that a killed keeper has started "+
			"have it: stop them", want.Key, want.Domain, s.Actual)
	}
	return s, nil
}

// Add keeps a socket.
func (k *Stock) Add(s *Socket) {
	k.sockets[record.Key{Domain: s.Domain, Name: s.Key}] = s
	k.store.Keep(s.stored(), s.FD)
	k.note(s.Entry())
}

// Sockets returns the sockets of a domain and of those below it, in order.
func (k *Stock) Sockets(domain string) []*Socket {
	list := slices.DeleteFunc(slices.Collect(maps.Values(k.sockets)), func(s *Socket) bool {
		return !keeper.Within(s.Domain, domain)
	})
	slices.SortFunc(list, func(a, b *Socket) int {
		return cmp.Or(cmp.Compare(a.Domain, b.Domain), cmp.Compare(a.Key, b.Key))
	})
	return list
}

// Addresses returns where a server listens that inherits sockets.
func (k *Stock) Addresses(spec *keeper.Spec) []probe.Address {
	var list []probe.Address
	for _, inherit := range spec.Sockets {
		if s, ok := k.sockets[keyOf(spec, inherit)]; ok {
			list = append(list, probe.Address{Network: s.Network, Address: s.Actual})
		}
	}
	return list
}

// Take returns a copy of a socket.
func (k *Stock) Take(at record.Key) (*os.File, error) {
	s, ok := k.sockets[at]
	if !ok || s.FD < 0 {
		return nil, fmt.Errorf("no socket %s in %s: %w", at.Name, at.Domain, keeper.ErrUnknown)
	}
	fd, err := fork.Dup(s.FD)
	if err != nil {
		return nil, err
	}
	return os.NewFile(uintptr(fd), at.Name), nil
}

// Unlisten closes a socket. Processes that have inherited it keep their copies.
func (k *Stock) Unlisten(at record.Key) error {
	s, ok := k.sockets[at]
	if !ok {
		return fmt.Errorf("no socket %s in %s: %w", at.Name, at.Domain, keeper.ErrUnknown)
	}
	k.shut(s)
	delete(k.sockets, at)
	k.note(record.Entry{Event: record.Unlistened, Socket: &s.Socket})
	return nil
}

// Put keeps a file in a slot, in place of what is there, or nothing if the file is nil. It becomes the
// stock's.
func (k *Stock) Put(at record.Key, f *os.File) {
	k.empty(at)
	if f != nil {
		k.slots[at] = f
	}
}

// Get returns a copy of the file in a slot.
func (k *Stock) Get(at record.Key) (*os.File, error) {
	f, ok := k.slots[at]
	if !ok {
		return nil, fmt.Errorf("nothing is in the slot %s of %s: %w", at.Name, at.Domain, keeper.ErrUnknown)
	}
	fd, err := fork.Descriptor(f)
	if err == nil {
		fd, err = fork.Dup(fd)
	}
	if err != nil {
		return nil, err
	}
	return os.NewFile(uintptr(fd), at.Name), nil
}

// empty closes what is in a slot.
func (k *Stock) empty(at record.Key) {
	if f, ok := k.slots[at]; ok {
		f.Close()
		delete(k.slots, at)
	}
}

const maxSecret = 1 << 20 // bytes

// keyOf returns where something is kept that a server inherits.
func keyOf(spec *keeper.Spec, i keeper.Inherit) record.Key {
	domain, key := i.Of(spec.Domain)
	return record.Key{Domain: domain, Name: key}
}

// Pass gives a program copies of what a server inherits.
func (k *Stock) Pass(spec *keeper.Spec, program *fork.Program) error {
	for _, inherit := range spec.Sockets {
		s, ok := k.sockets[keyOf(spec, inherit)]
		if !ok || s.FD < 0 {
			return fmt.Errorf("no socket is kept under the key %s: %w", inherit.Key, keeper.ErrUnknown)
		}
		fd, err := fork.Dup(s.FD)
		if err != nil {
			return err
		}
		program.Sockets = append(program.Sockets, fd)
		program.Names = append(program.Names, cmp.Or(inherit.As, inherit.Key))
	}

	for _, inherit := range spec.Secrets {
		slot, ok := k.slots[keyOf(spec, inherit)]
		if !ok {
			return fmt.Errorf("nothing is in the slot %s: %w", inherit.Key, keeper.ErrUnknown)
		}
		secret, err := memfd.Copy(slot, maxSecret)
		if err != nil {
			return err
		}
		program.Files = append(program.Files, secret)
		program.Vars = append(program.Vars, cmp.Or(inherit.As, inherit.Key))
	}

	return nil
}

// Abandon closes what a server inherited that has left, as far as none of the others inherits it.
func (k *Stock) Abandon(gone *keeper.Spec, others []*keeper.Spec) {
	wanted := func(at record.Key, inherits func(*keeper.Spec) []keeper.Inherit) bool {
		return slices.ContainsFunc(others, func(s *keeper.Spec) bool {
			return slices.ContainsFunc(inherits(s), func(i keeper.Inherit) bool { return keyOf(s, i) == at })
		})
	}
	for _, i := range gone.Sockets {
		at := keyOf(gone, i)
		if !wanted(at, func(s *keeper.Spec) []keeper.Inherit { return s.Sockets }) {
			_ = k.Unlisten(at) // it may be closed
		}
	}
	for _, i := range gone.Secrets {
		at := keyOf(gone, i)
		if !wanted(at, func(s *keeper.Spec) []keeper.Inherit { return s.Secrets }) {
			k.empty(at)
		}
	}
}

// End closes everything of a domain and of those below it.
func (k *Stock) End(domain string) {
	for at := range k.sockets {
		if keeper.Within(at.Domain, domain) {
			_ = k.Unlisten(at) // it is there
		}
	}
	for at := range k.slots {
		if keeper.Within(at.Domain, domain) {
			k.empty(at)
		}
	}
}

// Close closes everything. The journal does not have it.
func (k *Stock) Close() {
	for _, s := range k.sockets {
		k.shut(s)
	}
	clear(k.sockets)
	for at := range k.slots {
		k.empty(at)
	}
}

// shut closes a socket, and has its copy closed.
func (k *Stock) shut(s *Socket) {
	if s.FD >= 0 {
		k.store.Drop(s.stored())
	}
	s.Close()
}

// HandOver adds the descriptors of everything to what another program of this process takes over.
func (k *Stock) HandOver(h *record.Handover) error {
	for at, s := range k.sockets {
		if s.FD >= 0 {
			h.Sockets = append(h.Sockets, record.HandedFile{Domain: at.Domain, Key: at.Name, FD: s.FD})
		}
	}
	for at, f := range k.slots {
		fd, err := fork.Descriptor(f)
		if err != nil {
			return err
		}
		h.Slots = append(h.Slots, record.HandedFile{Domain: at.Domain, Key: at.Name, FD: fd})
	}
	return nil
}

// TakeOver takes over the descriptors of everything. The sockets are those that were recalled.
func (k *Stock) TakeOver(h *record.Handover) {
	for _, f := range h.Sockets {
		if s := k.sockets[record.Key{Domain: f.Domain, Name: f.Key}]; s != nil {
			s.FD = f.FD
		}
	}
	for _, f := range h.Slots {
		k.slots[record.Key{Domain: f.Domain, Name: f.Key}] = os.NewFile(uintptr(f.FD), f.Key)
	}
}
