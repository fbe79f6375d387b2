//go:build unix

package hold

import (
	"slices"

	"github.com/divisi-go/divisi/internal/keeper"
)

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
	for _, i := range spec.Sockets {
		at := key{spec.Domain, i.Key}
		s, ok := k.sockets[at]
		if !ok || k.isWanted(at, func(s *keeper.Spec) []keeper.Inherit { return s.Sockets }) {
			continue
		}
		k.unlisten(s)
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
