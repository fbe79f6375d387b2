package system

import (
	"context"
	"fmt"
	"strings"

	"github.com/divisi-go/divisi/internal/claimed"
	"github.com/divisi-go/divisi/internal/keeper"
	"github.com/divisi-go/divisi/internal/server"
)

// Host is where programs run: this machine, or whatever else has a keeper. Everything that happens on it
// happens by its methods.
type Host struct {
	name  string
	below *server.Host
	asked *claimed.Set
}

// Name returns the name of the host, by which errors and logs call it.
func (h *Host) Name() string { return h.name }

// Listener is a listening socket of one host. The keeper has it, so it stays open whatever becomes of the
// programs that use it, and of this one.
type Listener struct {
	host    *Host
	name    string
	domain  string
	key     string
	network string
	address string
}

// Addr returns where it listens, such as 127.0.0.1:43211, or the path of a Unix socket.
func (l *Listener) Addr() string { return l.address }

// Name returns its name in the nursery, by which programs inherit it.
func (l *Listener) Name() string { return l.name }

// Listen returns the listening socket that has a name in a nursery, and opens it if there is none, at
// "host:port", where the port 0 is any; see [Dir.Listen] for Unix sockets. Whoever runs the program again has
// the same socket, with the same port, and with all that waits in its queue. With another address it is another
// socket; the one before is closed when the program has settled, unless it is in use.
func (h *Host) Listen(ctx context.Context, n *Nursery, name, address string) (*Listener, error) {
	return h.listen(ctx, n, name, "tcp", address)
}

func (h *Host) listen(ctx context.Context, n *Nursery, name, network, address string) (*Listener, error) {
	at := caller()
	if err := n.reserve("the listener "+name, name, at); err != nil {
		return nil, err
	}
	l := &Listener{host: h, name: name, network: network, domain: n.Path()}
	l.key = name + "@" + strings.ReplaceAll(address, ":", "~") // a key has no colon

	socket, err := h.below.Keeper.Listen(ctx, keeper.Socket{Domain: l.domain, Key: l.key, Network: network, Address: address})
	if err != nil {
		n.release("the listener " + name)
		return nil, fmt.Errorf("cannot listen at %s for %s in %s (%s): %w", address, name, n.Path(), at, err)
	}
	l.address = socket.Actual
	h.asked.Add(keeper.ID{Domain: l.domain, Name: l.key})
	return l, nil
}
