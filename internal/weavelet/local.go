package weavelet

import (
	"bytes"
	"cmp"
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"reflect"
	"time"

	"github.com/divisi-go/divisi/codegen"
	"github.com/divisi-go/divisi/internal/config"
	"github.com/divisi-go/divisi/internal/inherit"
	"github.com/divisi-go/divisi/internal/trace"
)

// LocalOptions say how an application runs in one process. The zero value suits most.
type LocalOptions struct {
	Config  config.App
	Logger  *slog.Logger
	Trace   trace.Options
	Fakes   map[string]any   // implementations by component
	Sockets *inherit.Sockets // of listeners

	// Encoded makes calls take the way of remote ones, but for the network: arguments and
	// results are encoded and decoded.
	Encoded bool

	// Twice makes every retriable call that is encoded be executed twice, which shows methods
	// that only seem retriable.
	Twice bool

	// Share is told of values that methods marked //divisi:shared hand over as they are, by what
	// makes copies of them.
	Share func(method string, copies func() []any)
}

// NewLocal returns a weavelet that hosts all components. Nothing runs before Start.
func NewLocal(app Application, self Self, o LocalOptions) *Weavelet {
	logger := cmp.Or(o.Logger, slog.Default())
	network := &local{options: o, logger: logger}
	for _, c := range app.Registry.Components {
		network.listeners += len(c.Info.Listeners)
	}
	return New(app, Options{
		Self: self, Logger: logger, Tracer: trace.NewRecorder(o.Trace),
		Network: network, Fakes: o.Fakes,
		CountLocal: o.Config.Metrics.Local, Share: o.Share,
	})
}

// Start starts the components with these names, what they refer to, and those that always run.
func (w *Weavelet) Start(ctx context.Context, names ...string) error {
	for _, c := range w.app.Registry.Components {
		if c.Info.Always {
			names = append(names, c.Info.Name)
		}
	}
	return w.Host(ctx, graph{w.app.Registry}.closure(names)...)
}

// Client returns the component with an interface and name, as a component called caller sees it.
func (w *Weavelet) Client(caller string, iface reflect.Type, variant string) (any, error) {
	c, ok := w.app.Registry.FindIface(iface, variant)
	if !ok {
		return nil, fmt.Errorf("no implementation of %v is linked: import the package that has it, "+
			"and run divisi generate there", iface)
	}
	from := newPart(&codegen.Component{Info: codegen.Info{Name: caller}})
	from.init.end(nil)
	e, err := w.newEdge(from, c)
	if err != nil {
		return nil, err
	}
	return c.Stub(e.client()), nil
}

// Implementation returns a running component by the name of the component.
func (w *Weavelet) Implementation(component string) (any, bool) {
	p, ok := w.lookup(component)
	if !ok || !p.started() || p.init.err != nil {
		return nil, false
	}
	return p.impl, true
}

// local is the network of an application that runs in one process. Its listeners are sockets that
// the process has inherited, by their names, or the only one for the only listener; and else new ones.
type local struct {
	options   LocalOptions
	logger    *slog.Logger
	listeners int // of the application
}

var _ Network = (*local)(nil)

// anyPort is where listeners are without configuration. Looking up a name would tie the process to
// the first testing/synctest bubble that does.
const anyPort = "127.0.0.1:0"

func (n *local) Listen(_ context.Context, listener string) (net.Listener, string, error) {
	l, ok := n.options.Sockets.Claim(listener, n.listeners == 1)
	if !ok {
		address := cmp.Or(n.options.Config.Single.Listeners[listener].Address, anyPort)
		var err error
		if l, err = net.Listen("tcp", address); err != nil {
			return nil, "", fmt.Errorf("%w (set another address: listeners.%s = { address = \"...\" } "+
				"in [single] of the configuration)", err, listener)
		}
	}

	n.logger.Info("listening", "listener", listener, "url", "http://"+l.Addr().String())
	return l, "", nil
}

func (n *local) Connect(w *Weavelet, c *codegen.Component) (Remote, error) {
	if n.options.Encoded {
		return &loopback{n, w, c}, nil
	}
	return nil, nil
}

func (n *local) Section(component string) (config.Section, bool) {
	section, ok := n.options.Config.Sections[component]
	return section, ok
}

// loopback makes calls as a remote component does, to this process.
type loopback struct {
	n         *local
	w         *Weavelet
	component *codegen.Component
}

var _ Remote = (*loopback)(nil)

func (l *loopback) Resolve(context.Context) (bool, error) { return false, nil }

// Call executes the method on a goroutine of its own, as a server does: the method may end that, or
// go on when its caller has given up.
func (l *loopback) Call(ctx context.Context, r *codegen.Request, span trace.SpanContext, _ time.Time) (
	_ codegen.Status, _ []byte, ended time.Time, _ error) {
	defer func() { ended = time.Now() }()
	p, err := l.w.await(ctx, l.component.Info.Name)
	if err != nil {
		return 0, nil, ended, l.failed(r, err)
	}

	ctx, cancel := context.WithCancel(l.w.tracer.NewContext(ctx, span))
	defer cancel()
	request := *r
	request.Args = bytes.Clone(r.Args)
	answered := make(chan answer, 1)
	go func() {
		a := goexit
		defer func() { answered <- a }()
		// Within an extra execution nothing is executed twice again, or deep calls would never end.
		if l.n.options.Twice && !r.Method.NotRetriable && ctx.Value(extraKey{}) == nil {
			l.serve(context.WithValue(ctx, extraKey{}, true), p, &request, nil)
		}
		a = l.serve(ctx, p, &request, nil)
	}()

	select {
	case a := <-answered:
		return a.status, a.body, ended, nil
	case <-ctx.Done():
		return 0, nil, ended, l.failed(r, ctx.Err())
	}
}

func (l *loopback) failed(r *codegen.Request, err error) error {
	return fmt.Errorf("%w: %s.%s: %w", codegen.ErrRemoteCall, l.component.Info.Name, r.Method.Name, err)
}

// extraKey marks the context of an extra execution.
type extraKey struct{}

// answer is how a method that was served has ended.
type answer struct {
	status codegen.Status
	body   []byte
}

// goexit is the answer of a method that ended its goroutine.
var goexit = answer{codegen.StatusPanic, []byte("the method ended its goroutine")}

func (l *loopback) serve(ctx context.Context, p *part, r *codegen.Request, send func([]byte) error) answer {
	status, body := codegen.Serve(ctx, l.component, r.Method, p.impl, l.w.app.Registry.Errors,
		bytes.Clone(r.Args), codegen.Hooks{Send: send, Panicked: func(thrown any, stack []byte) {
			l.w.panicked(l.component, r.Method, thrown, stack)
		}})
	return answer{status, body}
}

func (l *loopback) Stream(ctx context.Context, r *codegen.Request, span trace.SpanContext) (codegen.Receiver, error) {
	p, err := l.w.await(ctx, l.component.Info.Name)
	if err != nil {
		return nil, l.failed(r, err)
	}

	ctx, cancel := context.WithCancel(l.w.tracer.NewContext(ctx, span))
	s := &loopStream{ctx: ctx, cancel: cancel, elems: make(chan []byte), ended: make(chan answer, 1)}
	request := *r
	request.Args = bytes.Clone(r.Args)
	go func() {
		a := goexit
		defer func() { s.ended <- a }()
		a = l.serve(ctx, p, &request, func(elem []byte) error {
			select {
			case s.elems <- elem:
				return nil
			case <-ctx.Done():
				return ctx.Err()
			}
		})
	}()
	return s, nil
}

// loopStream is a stream within the process.
type loopStream struct {
	ctx    context.Context
	cancel context.CancelFunc
	elems  chan []byte
	ended  chan answer
}

func (s *loopStream) Recv() ([]byte, error) {
	select {
	case elem := <-s.elems:
		return elem, nil
	case a := <-s.ended:
		if a.status == codegen.StatusOK {
			return nil, io.EOF
		}
		return nil, &codegen.StatusError{Status: a.status, Text: string(a.body)}
	case <-s.ctx.Done():
		return nil, fmt.Errorf("%w: %w", codegen.ErrRemoteCall, s.ctx.Err())
	}
}

func (s *loopStream) Close() error {
	s.cancel()
	return nil
}

// await returns a component once it runs here.
func (w *Weavelet) await(ctx context.Context, component string) (*part, error) {
	for {
		w.mu.Lock()
		p, changed := w.parts[component], w.changed
		w.mu.Unlock()
		var started chan struct{}
		if p != nil {
			started = p.init.done
		}

		select {
		case <-started:
			return p, p.init.err
		case <-changed:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}
