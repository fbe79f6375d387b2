package system

import (
	"context"
	"fmt"
	"net"
	"strings"
	"sync"

	"github.com/divisi-go/divisi/internal/agent"
	"github.com/divisi-go/divisi/internal/artifact/supply"
	"github.com/divisi-go/divisi/internal/claimed"
	"github.com/divisi-go/divisi/internal/hosts"
	"github.com/divisi-go/divisi/internal/keeper"
	"github.com/divisi-go/divisi/internal/server"
)

// Host is where programs run: this machine, or whatever else has a keeper. Everything that happens on it
// happens by its methods.
type Host struct {
	name  string
	below *server.Host
	asked *claimed.Set
	hangs *server.Hangs

	supply supply.Supply // of artifacts
	handed sync.Map      // keeper.Inherit by the handle of a listener of the machine that it shares
}

// Name returns the name of the host, by which errors and logs call it.
func (h *Host) Name() string { return h.name }

// Machine is what another host than this one is made of: a machine on which one may run a command, and reach a Unix
// socket. Packages lab and ssh have some.
type Machine = agent.Machine

// Open returns the host that a machine is, by the machine's name: the same one each time. Nothing has to be installed there:
// a machine that does not have this program is sent it, once. The context bounds that.
//
// The program decides about its domain on each host that it has opened. When a machine cannot be reached, what runs there
// goes on, and nothing there is started or stopped until it can be.
func Open(ctx context.Context, n *Nursery, m Machine) (*Host, error) {
	below, err := n.program.hosts.Open(ctx, m)
	if err != nil {
		return nil, err
	}
	n.program.note()
	return n.program.host(below), nil
}

// host returns a host as start functions have it: the same one each time.
func (p *program) host(below *hosts.Host) *Host {
	h, _ := p.known.LoadOrStore(below, &Host{
		name: below.Name, below: below.Host, asked: below.Asked, hangs: &below.Hangs, supply: supply.Supply{Store: p.here.Artifacts, Folder: p.Builds},
	})
	return h.(*Host)
}

// files returns those of the host.
func (h *Host) files() server.Files {
	if h.below.Files == nil {
		return server.Local{}
	}
	return h.below.Files
}

// Dial connects to an address as a program on the host would.
func (h *Host) Dial(ctx context.Context, network, address string) (net.Conn, error) {
	if h.below.Dial == nil {
		var d net.Dialer
		return d.DialContext(ctx, network, address)
	}
	return h.below.Dial(ctx, network, address)
}

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
	if err := n.keys.Reserve("the listener "+name, name, at); err != nil {
		return nil, err
	}
	l := &Listener{host: h, name: name, network: network, domain: n.Path()}
	l.key = name + "@" + strings.ReplaceAll(address, ":", "~") // a key has no colon

	socket, err := h.below.Keeper.Listen(ctx, keeper.Socket{Domain: l.domain, Key: l.key, Network: network, Address: address})
	if err != nil {
		n.keys.Release("the listener " + name)
		return nil, fmt.Errorf("cannot listen at %s for %s in %s (%s): %w", address, name, n.Path(), at, err)
	}
	l.address = socket.Actual
	h.asked.Add(keeper.ID{Domain: l.domain, Name: l.key})
	return l, nil
}
