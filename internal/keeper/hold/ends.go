//go:build unix

package hold

import (
	"slices"

	"github.com/divisi-go/divisi/internal/keeper"
)

// abandon closes what a server inherited that has left, as far as no other server inherits it; the
// mutex is held.
func (k *Keeper) abandon(spec *keeper.Spec) {
	for _, i := range spec.Sockets {
		at := key{spec.Domain, i.Key}
		s, ok := k.sockets[at]
		if !ok || k.isWanted(at, func(s *keeper.Spec) []keeper.Inherit { return s.Sockets }) {
			continue
		}
		s.close()
		delete(k.sockets, at)
		k.note(entry{Event: unlistened, Socket: &s.Socket})
	}

	for _, i := range spec.Secrets {
		at := key{spec.Domain, i.Key}
		f, ok := k.slots[at]
		if !ok || k.isWanted(at, func(s *keeper.Spec) []keeper.Inherit { return s.Secrets }) {
			continue
		}
		f.Close()
		delete(k.slots, at)
	}
}

// isWanted reports whether a server inherits what is kept; the mutex is held.
func (k *Keeper) isWanted(at key, inherits func(*keeper.Spec) []keeper.Inherit) bool {
	for id, all := range k.servers {
		for _, s := range all {
			if id.Domain == at.domain &&
				slices.ContainsFunc(inherits(&s.spec), func(i keeper.Inherit) bool { return i.Key == at.name }) {
				return true
			}
		}
	}
	return false
}
