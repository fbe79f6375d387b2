// Package lookup finds servers that can be used, and where they listen. It asks a keeper, which knows: nothing is registered,
// and nothing is left of what has ended.
package lookup

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"hash/fnv"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/divisi-go/divisi/internal/keeper"
	"github.com/divisi-go/divisi/internal/lifecycle"
	"github.com/divisi-go/divisi/internal/name"
	"github.com/divisi-go/divisi/internal/selection"
)

// Variable has the socket of the keeper to ask. Servers of ensembles and of divisi start have it.
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

// Longest is how long a request waits for a change at most.
const Longest = time.Minute

// Keeper is what is asked.
type Keeper interface {
	List(ctx context.Context, domain string) ([]keeper.Proc, error)
	Sockets(ctx context.Context, domain string) ([]keeper.Socket, error)
	Spec(ctx context.Context, id keeper.ID) (keeper.Spec, error)
}

// Watched is a keeper that says when something has happened.
type Watched interface {
	Keeper
	Next(ctx context.Context, domain string, after uint64) ([]keeper.Event, error)
}

// Next returns what [Find] does, and its version: at once if after is another version, or else as soon as there is one, or
// when the context ends.
func Next(ctx context.Context, k Watched, s selection.Selector, after string) (found []Found, version string, err error) {
	var seen uint64 // the first look at events has those of the past, so none is missed that comes after the list
	for {
		found, err = Find(context.WithoutCancel(ctx), k, s)
		if err != nil {
			return nil, "", err
		}
		version = versionOf(found)
		if version != after {
			return found, version, nil
		}
		events, err := k.Next(ctx, "/", seen)
		if ctx.Err() != nil {
			return found, version, nil
		}
		if err != nil {
			return nil, "", err
		}
		seen = events[len(events)-1].Number
	}
}

// versionOf returns a version of a list, which is that of equal lists.
func versionOf(found []Found) string {
	sum := fnv.New64a()
	_ = json.NewEncoder(sum).Encode(found) // neither fails
	return strconv.FormatUint(sum.Sum64(), 36)
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
