// Package weavelet hosts components in a process: it creates them, connects them with each other
// and with the components of other processes, and ends them in order.
//
// Where listeners and other components are is said by a [Network]. That of [NewLocal] has all
// components here.
package weavelet

import (
	"context"
	"crypto/rand"
	"fmt"
	"log/slog"
	"net"
	"os"
	"reflect"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/divisi-go/divisi/codegen"
	"github.com/divisi-go/divisi/envelope/protos"
	"github.com/divisi-go/divisi/internal/config"
	"github.com/divisi-go/divisi/internal/drain"
	"github.com/divisi-go/divisi/internal/name"
	"github.com/divisi-go/divisi/internal/tally"
	"github.com/divisi-go/divisi/internal/trace"
	"github.com/divisi-go/divisi/metrics"
)

// Application is what a weavelet must know of the binary.
type Application struct {
	Registry *codegen.Registry
	Inspect  func(impl any) (Fields, error) // finds the fields to fill
}

// Fields are the fields of an implementation that a weavelet fills.
type Fields struct {
	SetHost   func(*Host)
	Config    any // pointer to the configuration, nil if there is none
	Refs      []RefField
	Listeners []ListenerField
}

var inspect func(impl any) (Fields, error)

// HandOver takes the function that finds the fields of an implementation from the package of the
// programming model, whose types they are.
func HandOver(f func(impl any) (Fields, error)) bool {
	inspect = f
	return true
}

// Inspect returns the function that was handed over, for [Application.Inspect].
func Inspect() func(impl any) (Fields, error) { return inspect }

// RefField is a reference to another component.
type RefField struct {
	Iface  reflect.Type
	Name   string // of a named implementation
	Direct bool   // the implementation itself, which must be in this process
	Set    func(any)
}

// ListenerField is a network listener.
type ListenerField struct {
	Name string
	Set  func(l net.Listener, proxy string)
}

// Self says who a component is.
type Self struct {
	App, Version, Group, Component string
	Replica                        string // full name, such as "cart-0@/shop"
	Domain                         string // such as "/shop"
	Host                           string // name of the machine
	Pid                            int
}

// Here returns what a process knows of itself without being told.
func Here() Self {
	host, err := os.Hostname()
	if err != nil {
		host = ""
	}
	return Self{Host: host, Pid: os.Getpid()}
}

// Alone returns who the process is that hosts all of an application.
func Alone(app string) Self {
	self, all := Here(), name.Replica(app, "all", 0)
	self.App, self.Version = app, rand.Text()
	self.Replica, self.Domain = all.String(), all.Domain
	return self
}

// Host is what a component sees of its weavelet.
type Host struct {
	self   Self
	logger *slog.Logger
}

// Self returns who the component is.
func (h *Host) Self() Self { return h.self }

// Logger returns the component's logger; records name the span that ctx belongs to.
func (h *Host) Logger(ctx context.Context) *slog.Logger {
	if span := trace.FromContext(ctx); span.Valid() {
		return h.logger.With("traceid", span.TraceID.String(), "spanid", span.SpanID.String())
	}
	return h.logger
}

// Network knows where listeners and other components are.
type Network interface {
	// Listen opens a component's listener.
	Listen(ctx context.Context, name string) (net.Listener, string, error)

	// Connect returns where the calls of w to a component go; nil means that it is known to be here.
	Connect(w *Weavelet, c *codegen.Component) (Remote, error)

	// Section returns the text of a section of the configuration.
	Section(component string) (config.Section, bool)
}

// Remote is a component in other processes, or perhaps in this one. It is called as part of a span.
type Remote interface {
	// Resolve waits until it is known where the component is; true means here.
	Resolve(ctx context.Context) (local bool, err error)
	// Call is told what the clock says, and says when the call has ended.
	Call(ctx context.Context, r *codegen.Request, span trace.SpanContext, now time.Time) (
		status codegen.Status, body []byte, ended time.Time, err error)
	Stream(ctx context.Context, r *codegen.Request, span trace.SpanContext) (codegen.Receiver, error)
}

// Weavelet is one of them; there is one in a process, except in tests.
type Weavelet struct {
	app     Application
	self    Self // of the process: without a component
	logger  *slog.Logger
	tracer  *trace.Recorder
	network Network

	fakes      map[string]any
	countLocal bool
	share      func(method string, copies func() []any)

	methods *tally.Methods
	loads   *tally.Loads

	news     chan struct{} // has an element when what is known of health has changed
	draining atomic.Bool
	drained  chan struct{} // closed when the first Drain has returned

	mu      sync.Mutex // guards what follows
	asked   bool       // for components, whose parts are there
	parts   map[string]*part
	started []*part // in the order of their start
	remotes map[string]Remote

	listeners []*drain.Listener
	changed   chan struct{} // closed, and replaced, when parts grows
}

// Options are what surrounds a weavelet.
type Options struct {
	Self    Self // of the process: without a component
	Logger  *slog.Logger
	Tracer  *trace.Recorder
	Network Network

	Fakes      map[string]any                           // implementations by component, for tests
	CountLocal bool                                     // local calls are measured too
	Share      func(method string, copies func() []any) // see [LocalOptions]; may be nil
}

// New returns a weavelet that hosts nothing yet.
func New(app Application, o Options) *Weavelet {
	return &Weavelet{
		app:     app,
		self:    o.Self,
		logger:  o.Logger,
		tracer:  o.Tracer,
		network: o.Network,

		fakes:      o.Fakes,
		countLocal: o.CountLocal,
		share:      o.Share,

		methods: tally.NewMethods(),
		loads:   tally.NewLoads(time.Now()),
		news:    make(chan struct{}, 1),
		drained: make(chan struct{}),
		parts:   map[string]*part{},
		changed: make(chan struct{}),
		remotes: map[string]Remote{},
	}
}

// Tracer returns what records the spans of calls.
func (w *Weavelet) Tracer() *trace.Recorder { return w.tracer }

// Metrics returns the metrics of calls.
func (w *Weavelet) Metrics() []metrics.Metric { return w.methods.Snapshot() }

// Assigned takes the version of the assignment that the calls of a component follow from now on. It
// reports whether the binary has the component.
func (w *Weavelet) Assigned(component string, version uint64) (linked bool) {
	if _, linked = w.app.Registry.Find(component); linked {
		w.loads.Assigned(component, version)
	}
	return linked
}

// Load returns the load of the routed components that run here, since it was last called.
func (w *Weavelet) Load() *protos.LoadReport { return w.loads.Report(time.Now()) }

// lookup returns a part that was created.
func (w *Weavelet) lookup(component string) (*part, bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	p, ok := w.parts[component]
	return p, ok
}

// Expect has the weavelet not ready before the components with these names run.
func (w *Weavelet) Expect(names ...string) error {
	for _, name := range names {
		if _, err := w.create(name); err != nil {
			return err
		}
	}

	w.mu.Lock()
	defer w.mu.Unlock()
	w.asked = true
	return nil
}

// Host starts the components with these names, without what they refer to. It creates those that
// are not there yet, fills their references, and runs their Inits, those of the components that are
// used first. It returns when they run, or the first error; the components after it are not started.
func (w *Weavelet) Host(ctx context.Context, names ...string) error {
	if err := w.Expect(names...); err != nil {
		return err
	}

	var parts []*part
	for _, name := range names {
		p, _ := w.lookup(name)
		parts = append(parts, p)
	}
	for _, p := range parts {
		if err := w.fill(ctx, p); err != nil {
			return err
		}
	}
	for _, p := range w.inOrder(names) {
		if err := w.init(ctx, p); err != nil {
			return err
		}
	}
	return nil
}

// create returns a part, which it makes if it is not there, without filling it.
func (w *Weavelet) create(component string) (*part, error) {
	c, ok := w.app.Registry.Find(component)
	if !ok {
		return nil, w.unknown(component)
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if p, ok := w.parts[component]; ok {
		return p, nil
	}
	p := newPart(c)
	if fake, ok := w.fakes[component]; ok {
		p.impl = fake
	} else {
		p.impl = reflect.New(c.Impl).Interface()
		fields, err := w.app.Inspect(p.impl)
		if err == nil {
			err = w.checkFresh(c, fields)
		}
		if err != nil {
			return nil, err
		}
		p.fields = fields
	}
	w.parts[component] = p
	close(w.changed)
	w.changed = make(chan struct{})
	w.notify()
	return p, nil
}

// checkFresh refuses an implementation that got fields since its code was generated: deployers do
// not know of them. The compiler sees only what changes in interfaces.
func (w *Weavelet) checkFresh(c *codegen.Component, fields Fields) error {
	what := ""
	for _, ref := range fields.Refs {
		callee, ok := w.app.Registry.FindIface(ref.Iface, ref.Name)
		if ok && !slices.Contains(c.Info.Refs, callee.Info.Name) {
			what = "the reference to " + name.Short(callee.Info.Name)
		}
	}
	for _, l := range fields.Listeners {
		if !slices.Contains(c.Info.Listeners, l.Name) {
			what = "the listener " + l.Name
		}
	}
	if fields.Config != nil && !c.Info.Config {
		what = "the configuration"
	}
	if what == "" {
		return nil
	}
	return fmt.Errorf("%s of %v is newer than its generated code: run divisi generate, then build again",
		what, c.Impl)
}

func (w *Weavelet) unknown(component string) error {
	var known []string
	for _, c := range w.app.Registry.Components {
		known = append(known, c.Info.Name)
	}
	return fmt.Errorf("the binary has no component %s: import the package that implements it, "+
		"and run divisi generate there (%s)", component, name.Suggest(component, known))
}

// fill sets the fields of a part, unless somebody does: whoever needs them waits for the step.
func (w *Weavelet) fill(ctx context.Context, p *part) error {
	if !p.fill.claim() {
		return nil
	}

	err := w.setFields(ctx, p)
	if err != nil && p.init.claim() {
		p.init.end(err)
	}
	p.fill.end(err)
	return err
}

func (w *Weavelet) setFields(ctx context.Context, p *part) error {
	info := p.component.Info
	if p.fields.SetHost != nil {
		self := w.self
		self.Component = name.Short(info.Name)
		p.fields.SetHost(&Host{self: self, logger: w.logger.With("component", info.Name)})
	}
	if p.fields.Config != nil {
		if err := w.configure(p); err != nil {
			return err
		}
	}
	for _, ref := range p.fields.Refs {
		if err := w.connect(ctx, p, ref); err != nil {
			return err
		}
	}
	for _, l := range p.fields.Listeners {
		inner, proxy, err := w.network.Listen(ctx, l.Name)
		if err != nil {
			return fmt.Errorf("cannot open the listener %s of %s: %w", l.Name, info.Name, err)
		}
		drainable := drain.New(inner, w.tracer)
		w.mu.Lock()
		w.listeners = append(w.listeners, drainable)
		w.mu.Unlock()
		l.Set(drainable, proxy)
	}
	return nil
}

// connect sets one reference.
func (w *Weavelet) connect(ctx context.Context, p *part, ref RefField) error {
	c, ok := w.app.Registry.FindIface(ref.Iface, ref.Name)
	if !ok {
		what := ref.Iface.PkgPath() + "." + ref.Iface.Name()
		if ref.Name != "" {
			what += " with the name " + ref.Name
		}
		return fmt.Errorf("%s refers to %s, but no implementation is linked: "+
			"import the package that implements it, and run divisi generate there",
			p.component.Info.Name, what)
	}
	if ref.Direct {
		callee, err := w.create(c.Info.Name)
		if err != nil {
			return err
		}
		ref.Set(callee.impl)
		return w.fill(ctx, callee)
	}
	e, err := w.newEdge(p, c)
	if err != nil {
		return err
	}
	ref.Set(c.Stub(e.client()))
	return nil
}

// init runs a part's Init unless somebody has, and waits until it has returned.
func (w *Weavelet) init(ctx context.Context, p *part) error {
	if err := p.fill.wait(ctx); err != nil {
		return err
	}
	if !p.init.claim() {
		return p.init.wait(ctx)
	}

	err := p.initialise(ctx, w.logger, graph{w.app.Registry})
	if err == nil {
		w.mu.Lock()
		w.started = append(w.started, p)
		w.mu.Unlock()
	}
	p.init.end(err)
	w.notify()
	return err
}
