// Package register has servers by the names that they are known by.
package register

import (
	"iter"
	"maps"
	"slices"

	"github.com/divisi-go/divisi/internal/keeper"
)

// Server is what a register has.
type Server interface {
	comparable
	ID() keeper.ID // its name, without a start
}

// Register has servers. Several may have one name: the newest one is the last. It is not safe for
// concurrent use.
type Register[S Server] struct{ named map[keeper.ID][]S }

// New returns a register that is empty.
func New[S Server]() Register[S] { return Register[S]{map[keeper.ID][]S{}} }

// Add enters a server.
func (r Register[S]) Add(s S) { r.named[s.ID()] = append(r.named[s.ID()], s) }

// Remove strikes a server out.
func (r Register[S]) Remove(s S) {
	rest := slices.DeleteFunc(slices.Clone(r.named[s.ID()]), func(other S) bool { return other == s })
	if len(rest) == 0 {
		delete(r.named, s.ID())
		return
	}
	r.named[s.ID()] = rest
}

// Empty reports whether there is no server.
func (r Register[S]) Empty() bool { return len(r.named) == 0 }

// Named returns the servers of a name, whatever start that is of.
func (r Register[S]) Named(id keeper.ID) []S {
	return slices.Clip(r.named[keeper.ID{Domain: id.Domain, Name: id.Name}])
}

// All returns every server, in no order. They may be removed meanwhile.
func (r Register[S]) All() iter.Seq[S] {
	return func(yield func(S) bool) {
		for _, all := range r.named {
			for _, s := range all {
				if !yield(s) {
					return
				}
			}
		}
	}
}

// Within returns the servers of a domain and of those below it, by name.
func (r Register[S]) Within(domain string) []S {
	var list []S
	for _, id := range slices.SortedFunc(maps.Keys(r.named), keeper.ID.Compare) {
		if keeper.Within(id.Domain, domain) {
			list = append(list, r.named[id]...)
		}
	}
	return list
}
