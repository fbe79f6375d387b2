// Package lookup finds servers that can be used, and where they listen. It asks a keeper, which knows: nothing is registered,
// and nothing is left of what has ended.
package lookup

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"strings"

	"github.com/divisi-go/divisi/internal/keeper"
	"github.com/divisi-go/divisi/internal/lifecycle"
	"github.com/divisi-go/divisi/internal/name"
	"github.com/divisi-go/divisi/internal/selection"
)

// Variable has the socket of the keeper to ask. Servers of ensembles have it.
const Variable = "DIVISI_LOOKUP"

// Found is a server that can be used.
type Found struct {
	Server  string   `json:"server"` // full name, such as web-0@/shop
	Roles   []string `json:"roles"`  // the first one is what it is for
	Sockets []Socket `json:"sockets"`
}

// Socket is where a server listens, as far as the keeper has opened it.
type Socket struct {
	Name    string `json:"name"`    // by which the server inherits it
	Network string `json:"network"` // tcp, tcp4, tcp6 or unix
	Address string `json:"address"` // such as 127.0.0.1:8080, or a path
}

// Keeper is what is asked.
type Keeper interface {
	List(ctx context.Context, domain string) ([]keeper.Proc, error)
	Sockets(ctx context.Context, domain string) ([]keeper.Socket, error)
	Spec(ctx context.Context, id keeper.ID) (keeper.Spec, error)
}

// Find returns the servers that a selector picks and that are ready, in the order of their names.
func Find(ctx context.Context, k Keeper, s selection.Selector) ([]Found, error) {
	list, err := k.List(ctx, "/")
	if err != nil {
		return nil, err
	}
	sockets, err := k.Sockets(ctx, "/")
	if err != nil {
		return nil, err
	}

	all := []Found{}
	for _, p := range list {
		is := selection.Of(name.Server{Name: p.Name, Domain: p.Domain}, p.Labels)
		if p.State != lifecycle.Ready || !s.Picks(is) {
			continue
		}
		spec, err := k.Spec(ctx, p.ID)
		if errors.Is(err, keeper.ErrUnknown) {
			continue // it has just ended
		}
		if err != nil {
			return nil, err
		}
		all = append(all, Found{is.String(), append([]string{}, is.Roles...), inherited(spec, sockets)})
	}
	slices.SortFunc(all, func(a, b Found) int { return strings.Compare(a.Server, b.Server) })
	return all, nil
}

// inherited returns the sockets that a server inherits.
func inherited(spec keeper.Spec, sockets []keeper.Socket) []Socket {
	list := []Socket{}
	for _, i := range spec.Sockets {
		for _, s := range sockets {
			if domain, key := i.Of(spec.Domain); s.Domain == domain && s.Key == key {
				list = append(list, Socket{cmp.Or(i.As, s.Key), s.Network, s.Actual})
			}
		}
	}
	return list
}
