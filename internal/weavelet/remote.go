package weavelet

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"sync"
	"time"

	"github.com/divisi-go/divisi/codegen"
	"github.com/divisi-go/divisi/envelope/protos"
	"github.com/divisi-go/divisi/internal/call"
	"github.com/divisi-go/divisi/internal/config"
	"github.com/divisi-go/divisi/internal/pipe"
)

// The names of the main component: ours, and that of Service Weaver, which deployers written
// for it use.
const (
	mainName    = "github.com/divisi-go/divisi/Main"
	oldMainName = "github.com/ServiceWeaver/weaver/Main"
)

// peerName returns the name of a component as the deployer knows it.
func peerName(info *protos.EnvelopeInfo, component string) string {
	if component == mainName && len(info.Features) == 0 {
		return oldMainName
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
	SendLogEntry(*protos.LogEntry) error
	SendTraceSpans(*protos.TraceSpans) error
}

// remoteNetwork is the network of a weavelet that a deployer runs.
type remoteNetwork struct {
	ctx         context.Context
	w           *Weavelet
	info        *protos.EnvelopeInfo
	deployer    deployer
	credentials *credentials // nil without mutual TLS
	sockets     map[string]net.Listener
	logger      *slog.Logger

	mu     sync.Mutex // guards what follows
	routes map[string]*route
}

// listen implements network: an inherited socket, or one at the address that the deployer says.
func (n *remoteNetwork) listen(ctx context.Context, listener string) (net.Listener, string, error) {
	l, ok := n.sockets[listener]
	if !ok {
		reply, err := n.deployer.GetListenerAddress(ctx,
			&protos.GetListenerAddressRequest{Name: listener})
		if err != nil {
			return nil, "", err
		}
		if l, err = net.Listen("tcp", reply.Address); err != nil {
			return nil, "", err
		}
	}
	reply, err := n.deployer.ExportListener(ctx, &protos.ExportListenerRequest{
		Listener: listener, Address: l.Addr().String(),
	})
	if err == nil && reply.Error != "" {
		err = errors.New(reply.Error)
	}
	if err != nil {
		l.Close()
		return nil, "", err
	}
	return l, reply.ProxyAddress, nil
}

// section implements network.
func (n *remoteNetwork) section(component string) (config.Section, bool) {
	text, ok := n.info.Sections[component]
	if !ok {
		return "", false
	}
	return config.Section(text), true
}

// connect implements network. The deployer is told that the component is needed; calls wait
// until it has said where the component is.
func (n *remoteNetwork) connect(c *codegen.Component) (remote, error) {
	pool := call.NewPool(call.PoolOptions{
		Dial: func(ctx context.Context, address string) (net.Conn, error) {
			if n.credentials == nil {
				return call.Dial(ctx, address, nil)
			}
			return call.Dial(ctx, address, n.credentials.client(c.Info.Name))
		},
		Logger: n.logger,
	})
	r := newRoute(c, pool)
	n.mu.Lock()
	n.routes[c.Info.Name] = r
	n.mu.Unlock()
	go n.activate(c)
	return r, nil
}

// activate tells the deployer that a component is needed, until it has understood.
func (n *remoteNetwork) activate(c *codegen.Component) {
	request := &protos.ActivateComponentRequest{Component: c.Info.Name, Routed: c.Info.Routed}
	for wait := 100 * time.Millisecond; ; wait = min(2*wait, 10*time.Second) {
		_, err := n.deployer.ActivateComponent(n.ctx, request)
		if err == nil || n.ctx.Err() != nil {
			return
		}
		n.logger.Error("cannot activate component", "component", c.Info.Name, "err", err)
		select {
		case <-time.After(wait):
		case <-n.ctx.Done():
			return
		}
	}
}

// server accepts calls from other weavelets.
func (n *remoteNetwork) server() *call.Server {
	options := call.ServerOptions{
		Lookup: n.w.lookupMethod(methods(n.w.app.Registry)),
		Logger: n.logger,
	}
	if n.credentials != nil {
		options.TLS = n.credentials.leaf.Server()
		options.Authorize = n.credentials.authorize
	}
	return call.NewServer(options)
}

// dialAddress is what other weavelets dial to reach a listener.
func (n *remoteNetwork) dialAddress(l net.Listener) string {
	address := l.Addr().Network() + "://" + l.Addr().String()
	if n.info.Mtls {
		return "mtls://" + address
	}
	return address
}

// control is what the deployer may ask of this weavelet.
type control struct {
	n        *remoteNetwork
	server   *call.Server
	profiler *profiler
	measures measures
	deadlock sync.Once  // is reported
	fatal    chan error // the first failure that ends the process
}

func newControl(n *remoteNetwork, server *call.Server) *control {
	c := &control{n: n, server: server,
		profiler: newProfiler(), fatal: make(chan error, 1)}
	if len(n.info.Features) == 0 {
		c.measures.sent = map[uint64]*protos.MetricValue{}
	}
	return c
}

// UpdateComponents starts the components that are to run here. It does not wait: a component
// may need others that the deployer has yet to name. A component that cannot start ends the
// process, because what it said is in its log and the deployer restarts it.
func (c *control) UpdateComponents(_ context.Context, r *protos.UpdateComponentsRequest) (
	*protos.UpdateComponentsReply, error) {
	var names []string
	for _, component := range r.Components {
		if component == mainName || component == oldMainName {
			continue // runs if, and only if, the handshake said so
		}
		if _, ok := c.n.w.app.Registry.Find(component); !ok {
			return nil, c.n.w.unknown(component)
		}
		names = append(names, component)
	}
	go func() {
		if err := c.n.w.start(c.n.ctx, names...); err != nil {
			c.fail(err)
		}
	}()
	return &protos.UpdateComponentsReply{}, nil
}

func (c *control) fail(err error) {
	select {
	case c.fatal <- err:
	default:
	}
}

// UpdateRoutingInfo takes where a component is.
func (c *control) UpdateRoutingInfo(_ context.Context, r *protos.UpdateRoutingInfoRequest) (
	*protos.UpdateRoutingInfoReply, error) {
	info := r.RoutingInfo
	if info == nil || info.Component == "" {
		return nil, errors.New("routing information without a component")
	}
	c.n.mu.Lock()
	route, ok := c.n.routes[info.Component]
	c.n.mu.Unlock()
	if _, linked := c.n.w.app.Registry.Find(info.Component); linked && info.Assignment != nil {
		// One that only hosts the component is told for the sake of its load reports.
		c.n.w.loads.assigned(info.Component, info.Assignment.Version)
		if !ok {
			return &protos.UpdateRoutingInfoReply{}, nil
		}
	}
	if !ok {
		return nil, fmt.Errorf("nothing in this weavelet uses %s", info.Component)
	}
	if err := route.update(info); err != nil {
		return nil, err
	}
	return &protos.UpdateRoutingInfoReply{}, nil
}

// GetHealth answers that the process lives, and which of its components take calls.
func (c *control) GetHealth(ctx context.Context, _ *protos.GetHealthRequest) (
	*protos.GetHealthReply, error) {
	names, ready, complete := c.n.w.isReady(ctx)
	if len(c.n.info.Features) > 0 {
		// A deployer that has not heard of readiness may not ask again soon.
		c.n.w.admit(ready)
	}
	status := protos.HealthStatus_HEALTHY
	if stuck := c.n.w.stuck(time.Now()); len(stuck) > 0 {
		status = protos.HealthStatus_UNHEALTHY
		c.deadlock.Do(func() {
			c.n.logger.Error("calls do not end long after their callers have given up: a deadlock?",
				"components", stuck)
		})
	}
	return &protos.GetHealthReply{Status: status, Ready: ready && complete, HealthyComponents: names}, nil
}

// GetProfile takes a profile.
func (c *control) GetProfile(ctx context.Context, r *protos.GetProfileRequest) (
	*protos.GetProfileReply, error) {
	data, err := c.profiler.profile(ctx, r)
	if err != nil {
		return nil, err
	}
	return &protos.GetProfileReply{Data: data}, nil
}

// Drain ends listeners and calls in order; the process goes on until it is told to end.
func (c *control) Drain(ctx context.Context, r *protos.DrainRequest) (*protos.DrainReply, error) {
	ctx, cancel := context.WithTimeout(ctx, time.Duration(r.TimeoutMicros)*time.Microsecond)
	defer cancel()
	c.n.w.drain(ctx)
	return &protos.DrainReply{}, c.server.Drain(ctx)
}

// host runs the weavelet until the deployer is gone, the process is told to end, or the main
// component's program has returned.
func (n *remoteNetwork) host(ctx context.Context, conversation *pipe.Weavelet, server *call.Server,
	l net.Listener, gone func()) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	n.ctx = ctx
	c := newControl(n, server)
	go func() {
		err := conversation.Serve(ctx, c)
		if ctx.Err() == nil {
			gone()
		}
		cancel(fmt.Errorf("%w: %w", errDeployerGone, err))
	}()
	go func() {
		if err := server.Serve(ctx, l); err != nil {
			c.fail(err)
		}
	}()
	go func() {
		select {
		case err := <-c.fatal:
			n.logger.Error("cannot go on", "err", err)
			cancel(err)
		case <-ctx.Done():
		}
	}()
	if n.info.RunMain {
		return n.runMain(ctx)
	}
	<-ctx.Done()
	n.w.end(ctx)
	return context.Cause(ctx)
}

// runMain runs the program's own function.
func (n *remoteNetwork) runMain(ctx context.Context) error {
	if embedded := n.w.app.Embedded; embedded != nil {
		defer n.w.end(ctx)
		return embedded(ctx, n.w)
	}
	main, ok := n.w.app.Registry.FindImpl(n.w.app.MainImpl)
	if !ok {
		return fmt.Errorf("%v is not registered: run divisi generate", n.w.app.MainImpl)
	}
	if err := n.w.start(ctx, main.Info.Name); err != nil {
		if ctx.Err() != nil {
			err = context.Cause(ctx)
		}
		return err
	}
	p, _ := n.w.lookup(main.Info.Name)
	return n.w.body(ctx, p)
}

var errDeployerGone = errors.New("the deployer has gone")
