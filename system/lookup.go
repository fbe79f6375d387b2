package system

import (
	"context"
	"iter"

	"github.com/divisi-go/divisi/internal/keeper/lookup"
)

// Found is a server that can be used, with the sockets that it inherits.
type Found = lookup.Found

// Socket is where a server listens.
type Socket = lookup.Socket

// Lookup returns the servers that a selector picks, such as "role:web@/shop/...", in the order of their names; see the command
// divisi lookup. A server is there from when it is ready until it is not, whoever has started it; nothing has to be
// registered. Without one the list is empty.
//
// Any program may call it: a server of an ensemble asks the keeper that has started it, and others that of DIVISI_HOME. It
// has to run as the same user, or as root. A domain that does not begin with a slash is below that of DIVISI_DOMAIN.
func Lookup(ctx context.Context, selector string) ([]Found, error) {
	desk, err := lookup.Here()
	if err != nil {
		return nil, err
	}
	return desk.Ask(ctx, selector)
}

// Follow is [Lookup] again and again: it has the servers at once, and then whenever that has changed, until the context ends or
// the loop does. While the keeper does not answer it has an error, and goes on; what was there last may still be there. A selector that
// means nothing is an error, after which it ends.
func Follow(ctx context.Context, selector string) iter.Seq2[[]Found, error] {
	return func(yield func([]Found, error) bool) {
		desk, err := lookup.Here()
		if err != nil {
			yield(nil, err)
			return
		}
		ctx, stop := context.WithCancel(ctx)
		defer stop()
		ended := false
		err = desk.Follow(ctx, selector, func(found []Found, err error) {
			if !ended && !yield(found, err) {
				ended = true
				stop()
			}
		})
		if !ended && ctx.Err() == nil {
			yield(nil, err)
		}
	}
}
