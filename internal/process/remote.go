package process

import (
	"cmp"
	"context"
	"errors"
	"log/slog"
	"maps"
	"net"
	"slices"
	"sync"
	"time"

	"github.com/divisi-go/divisi/codegen"
	"github.com/divisi-go/divisi/envelope/protos"
	"github.com/divisi-go/divisi/internal/call"
	"github.com/divisi-go/divisi/internal/call/balance"
	"github.com/divisi-go/divisi/internal/call/link"
	"github.com/divisi-go/divisi/internal/config"
	"github.com/divisi-go/divisi/internal/inherit"
	"github.com/divisi-go/divisi/internal/name"
	"github.com/divisi-go/divisi/internal/weavelet"
)

// peerName returns the name of a component as the deployer knows it.
func peerName(info *protos.EnvelopeInfo, component string) string {
	if component == string(name.Main) && len(info.Features) == 0 {
		return string(name.OldMain)
	}
	return component
}

// deployer is the other end of the conversation.
type deployer interface {
	authority
	ActivateComponent(context.Context, *protos.ActivateComponentRequest) (
		*protos.ActivateComponentReply, error)
	GetListenerAddress(context.Context, *protos.GetListenerAddressRequest) (
		*protos.GetListenerAddressReply, error)
	ExportListener(context.Context, *protos.ExportListenerRequest) (
		*protos.ExportListenerReply, error)

	// Attended reports whether there is a deployer; what is asked waits for one.
	Attended() bool
}

// remoteNetwork is the network of a weavelet that a deployer runs.
type remoteNetwork struct {
	info        *protos.EnvelopeInfo
	deployer    deployer
	credentials *credentials // nil without mutual TLS
	files       inherit.Files
	logger      *slog.Logger
	needed      chan *codegen.Component // that the deployer is to be told of
	understood  chan struct{}           // has an element when a deployer has been told of one

	mu        sync.Mutex // guards what follows
	routes    map[string]*route
	listeners []*exported
	foretold  []*protos.RoutingInfo // of components that have no route here yet
}

// exported is a listener that deployers know of.
type exported struct {
	*protos.ExportListenerRequest
	telling bool // somebody tells the deployer of it
}

var _ weavelet.Network = (*remoteNetwork)(nil)

// serve tells the deployer which components are needed, and renews the certificate, until ctx ends.
func (n *remoteNetwork) serve(ctx context.Context) {
	if n.credentials != nil {
		go n.credentials.leaf.Serve(ctx)
	}
	for {
		select {
		case c := <-n.needed:
			go n.activate(ctx, c)
		case <-ctx.Done():
			return
		}
	}
}

// Listen implements [weavelet.Network]: an inherited socket, or one at the address that the deployer says.
// If there is no deployer, an inherited socket needs none, and the one that comes is told.
func (n *remoteNetwork) Listen(ctx context.Context, listener string) (net.Listener, string, error) {
	l, inherited := n.files.Sockets.Claim(listener, false)
	if !inherited {
		reply, err := n.deployer.GetListenerAddress(ctx,
			&protos.GetListenerAddressRequest{Name: listener})
		if err != nil {
			return nil, "", err
		}
		if l, err = net.Listen("tcp", reply.Address); err != nil {
			return nil, "", err
		}
	}

	// Listed before it is asked whether there is a deployer: one that comes after that tells it.
	request := &protos.ExportListenerRequest{Listener: listener, Address: l.Addr().String()}
	n.mu.Lock()
	n.listeners = append(n.listeners, &exported{ExportListenerRequest: request})
	n.mu.Unlock()
	if inherited && !n.deployer.Attended() {
		return l, "", nil
	}

	proxy, err := n.export(ctx, request)
	if err != nil {
		l.Close()
		return nil, "", err
	}
	return l, proxy, nil
}

// export tells the deployer where a listener is.
func (n *remoteNetwork) export(ctx context.Context, r *protos.ExportListenerRequest) (proxy string, err error) {
	reply, err := n.deployer.ExportListener(ctx, r)
	if err != nil {
		return "", err
	}
	if reply.Error != "" {
		return "", errors.New(reply.Error)
	}
	return reply.ProxyAddress, nil
}

// Section implements [weavelet.Network].
func (n *remoteNetwork) Section(component string) (config.Section, bool) {
	text, ok := n.info.Sections[component]
	if !ok {
		return "", false
	}
	return config.Section(text), true
}

// Connect implements [weavelet.Network]. The deployer is told that the component is needed; calls wait
// until it has said where the component is.
func (n *remoteNetwork) Connect(_ *weavelet.Weavelet, c *codegen.Component) (weavelet.Remote, error) {
	pool := balance.NewPool(balance.PoolOptions{
		Dial: func(ctx context.Context, address string) (net.Conn, error) {
			if n.credentials == nil {
				return link.Dial(ctx, address, nil)
			}
			return link.Dial(ctx, address, n.credentials.client(c.Info.Name))
		},
		Conn:   n.connection(),
		Logger: n.logger,
	})
	r := newRoute(c, pool)
	n.mu.Lock()
	n.routes[c.Info.Name] = r
	for _, info := range n.foretold {
		if info.Component == c.Info.Name {
			_ = r.update(info) // the first word on a component fits
		}
	}
	n.mu.Unlock()
	n.needed <- c // has room for every component
	return r, nil
}

// foretell says where components are until a deployer says so.
func (n *remoteNetwork) foretell(routes []*protos.RoutingInfo) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.foretold = routes
}

// activate tells the deployer that a component is needed, until it has understood.
func (n *remoteNetwork) activate(ctx context.Context, c *codegen.Component) {
	request := &protos.ActivateComponentRequest{Component: c.Info.Name, Routed: c.Info.Routed}
	for wait := 100 * time.Millisecond; ; wait = min(2*wait, 10*time.Second) {
		_, err := n.deployer.ActivateComponent(ctx, request)
		if err == nil {
			n.activated(c)
			return
		}
		if ctx.Err() != nil {
			return
		}

		n.logger.Error("cannot activate component", "component", c.Info.Name, "err", err)
		select {
		case <-time.After(wait):
		case <-ctx.Done():
			return
		}
	}
}

// activated notes that the deployer knows that a component is needed.
func (n *remoteNetwork) activated(c *codegen.Component) {
	n.mu.Lock()
	r := n.routes[c.Info.Name]
	r.telling, r.heard = false, true
	n.mu.Unlock()
	select {
	case n.understood <- struct{}{}:
	default:
	}
}

// unheard returns the components that no deployer has understood to be needed, in order.
func (n *remoteNetwork) unheard() (names []string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	for name, r := range n.routes {
		if !r.heard {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}

// told returns what deployers have said of the components that the weavelet uses, and were told of its
// listeners.
func (n *remoteNetwork) told() (routes []*protos.RoutingInfo, listeners []*protos.ExportListenerRequest) {
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, name := range slices.Sorted(maps.Keys(n.routes)) {
		routes = append(routes, n.routes[name].told())
	}
	for _, l := range n.listeners {
		listeners = append(listeners, l.ExportListenerRequest)
	}
	return routes, listeners
}

// tellAgain tells a deployer that has taken over what those before were told, but for what somebody is
// telling already. It asks for a certificate, too: with that it hears whom the deployer trusts.
func (n *remoteNetwork) tellAgain(ctx context.Context) {
	if n.credentials != nil {
		n.credentials.leaf.Renew()
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, r := range n.routes {
		if !r.telling {
			r.telling = true
			go n.activate(ctx, r.component)
		}
	}
	for _, l := range n.listeners {
		if !l.telling {
			l.telling = true
			go n.exportAgain(ctx, l)
		}
	}
}

func (n *remoteNetwork) exportAgain(ctx context.Context, l *exported) {
	_, err := n.export(ctx, l.ExportListenerRequest)
	if err != nil && ctx.Err() == nil {
		n.logger.Error("the deployer that has taken over does not want a listener", "listener", l.Listener, "err", err)
	}

	n.mu.Lock()
	defer n.mu.Unlock()
	l.telling = false
}

// server accepts calls from other weavelets.
func (n *remoteNetwork) server(w *weavelet.Weavelet) *call.Server {
	options := call.ServerOptions{
		Lookup: w.Lookup(),
		Conn:   n.connection(),
		Logger: n.logger,
	}
	if n.credentials != nil {
		options.TLS = n.credentials.leaf.Server()
		options.Authorize = n.credentials.authorize
	}
	return call.NewServer(options)
}

// route returns where the calls of a component go, if something here calls it.
func (n *remoteNetwork) route(component string) (*route, bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	r, ok := n.routes[component]
	return r, ok
}

// connection says who this weavelet is to those that it calls and that call it.
func (n *remoteNetwork) connection() link.Options {
	return link.Options{Deployment: n.info.DeploymentId, Weavelet: cmp.Or(n.info.Name, n.info.Id)}
}

// all returns the routes to all components that this weavelet calls.
func (n *remoteNetwork) all() []*route {
	n.mu.Lock()
	defer n.mu.Unlock()
	return slices.Collect(maps.Values(n.routes))
}
