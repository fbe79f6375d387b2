package system

import (
	"cmp"
	"context"
	"os"

	"github.com/divisi-go/divisi/internal/home"
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
	socket := os.Getenv(lookup.Variable)
	if socket == "" {
		h, err := home.Find()
		if err != nil {
			return nil, err
		}
		socket = h.Keeper().Door
	}
	return lookup.Ask(ctx, socket, selector, cmp.Or(os.Getenv("DIVISI_DOMAIN"), "/"))
}
