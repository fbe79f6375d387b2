// Package divisitest runs the components of an application in tests.
//
//	func TestCheckout(t *testing.T) {
//		for _, runner := range divisitest.AllRunners() {
//			runner.Test(t, func(t *testing.T, checkout Checkout) {
//				order, err := checkout.Place(t.Context(), ...)
//				...
//			})
//		}
//	}
//
// The body takes any number of components: by their interface, as another component would see
// them, or by a pointer to their struct.
package divisitest

import (
	"context"
	"fmt"
	"log/slog"
	"reflect"
	"testing"

	"github.com/divisi-go/divisi/codegen"
	"github.com/divisi-go/divisi/internal/config"
	"github.com/divisi-go/divisi/internal/weavelet"
)

// Runner says how the components of a test run. Copy one of the variables of this package and
// set what differs.
type Runner struct {
	// Name is the name of the subtest.
	Name string

	// Config is the text of a configuration file.
	Config string

	// Fakes take the place of components.
	Fakes []FakeComponent

	// NoAliasing fails the test if an argument or a result of a method marked //divisi:shared is
	// changed after it was handed over, by either side, until the test ends. Local only: the
	// other runners share nothing.
	NoAliasing bool

	// Logger takes the components' logs. The default writes them to the test's own log.
	Logger *slog.Logger

	encoded, processes bool
}

// The runners.
var (
	// Local runs components in the test's process and calls them as a single process does. It
	// works in a testing/synctest bubble.
	Local = Runner{Name: "Local"}

	// RPC encodes and decodes arguments and results as if components were in other processes,
	// and executes every retriable call twice, so that a method that may not be is found out.
	RPC = Runner{Name: "RPC", encoded: true}
)

// AllRunners returns all runners.
func AllRunners() []Runner { return []Runner{Local, RPC, Process} }

// FakeComponent is a fake of one component.
type FakeComponent struct {
	iface reflect.Type
	impl  any
}

// Fake returns a fake of the component with the interface T. It panics if impl does not
// implement T.
func Fake[T any](impl any) FakeComponent {
	if _, ok := impl.(T); !ok {
		panic(fmt.Sprintf("divisitest.Fake: %T does not implement %v", impl, reflect.TypeFor[T]()))
	}
	return FakeComponent{iface: reflect.TypeFor[T](), impl: impl}
}

// Test runs body as a subtest with the components that it takes, and what they refer to, then
// shuts them down. The type of body is func(*testing.T, components...).
func (r Runner) Test(t *testing.T, body any) {
	t.Helper()
	check(t, body, reflect.TypeFor[*testing.T]())
	t.Run(r.Name, func(t *testing.T) { r.run(t, body) })
}

// Bench is Test for benchmarks: the type of body is func(*testing.B, components...).
func (r Runner) Bench(b *testing.B, body any) {
	b.Helper()
	check(b, body, reflect.TypeFor[*testing.B]())
	b.Run(r.Name, func(b *testing.B) { r.run(b, body) })
}

// Run is Test without a subtest, for bodies in a testing/synctest bubble.
func (r Runner) Run(t testing.TB, body any) {
	t.Helper()
	check(t, body, reflect.TypeOf(t))
	r.run(t, body)
}

func check(t testing.TB, body any, first reflect.Type) {
	t.Helper()
	typ := reflect.TypeOf(body)
	if typ == nil || typ.Kind() != reflect.Func || typ.NumIn() < 1 || typ.In(0) != first ||
		typ.NumOut() != 0 {
		t.Fatalf("the body of a test is a %v, not a func(%v, components...)", typ, first)
	}
}

// run starts what body takes and calls it.
func (r Runner) run(t testing.TB, body any) {
	t.Helper()
	registry, err := codegen.Snapshot()
	if err != nil {
		t.Fatal(err)
	}
	if isWeavelet() {
		serveAsWeavelet(registry)
	}
	conf, fakes, err := r.prepare(t, registry)
	if err != nil {
		t.Fatal(err)
	}
	typ := reflect.TypeOf(body)
	var names []string
	for i := 1; i < typ.NumIn(); i++ {
		c, err := find(registry, typ.In(i))
		if err != nil {
			t.Fatal(err)
		}
		names = append(names, c.Info.Name)
	}
	if r.processes {
		r.runProcesses(t, registry, body, conf, fakes)
		return
	}
	var handed shared
	w := r.newWeavelet(t, registry, conf, fakes, &handed)
	defer func() {
		w.End(t.Context(), weavelet.StopTime, nil)
		handed.check(t)
	}()
	if err := w.Start(t.Context(), names...); err != nil {
		t.Fatal(err)
	}
	call(t, w, registry, "test", body)
}

// call calls a body with the components that it takes, as one with the caller's name sees them.
func call(t testing.TB, w *weavelet.Weavelet, registry *codegen.Registry, caller string, body any) {
	t.Helper()
	args := []reflect.Value{reflect.ValueOf(t)}
	typ := reflect.TypeOf(body)
	for i := 1; i < typ.NumIn(); i++ {
		arg, err := component(t.Context(), w, registry, caller, typ.In(i))
		if err != nil {
			t.Fatal(err)
		}
		args = append(args, reflect.ValueOf(arg))
	}
	reflect.ValueOf(body).Call(args)
}

// find returns the component that a parameter of a body names.
func find(registry *codegen.Registry, param reflect.Type) (*codegen.Component, error) {
	if param.Kind() == reflect.Interface {
		if c, ok := registry.FindIface(param, ""); ok {
			return c, nil
		}
		return nil, fmt.Errorf("no component with the interface %v is linked: import the package "+
			"that implements it, and run divisi generate there", param)
	}
	if param.Kind() == reflect.Pointer {
		if c, ok := registry.FindImpl(param.Elem()); ok {
			return c, nil
		}
	}
	return nil, fmt.Errorf("%v is not a component: give its interface or a pointer to its struct, "+
		"and run divisi generate", param)
}

// component returns the value for a parameter of a body. What it points to runs here from then on.
func component(ctx context.Context, w *weavelet.Weavelet, registry *codegen.Registry, caller string,
	param reflect.Type) (any, error) {
	if param.Kind() == reflect.Interface {
		return w.Client(caller, param, "")
	}
	c, err := find(registry, param)
	if err != nil {
		return nil, err
	}
	if err := w.Host(ctx, c.Info.Name); err != nil {
		return nil, err
	}
	impl, ok := w.Implementation(c.Info.Name)
	if !ok || reflect.TypeOf(impl) != param {
		return nil, fmt.Errorf("%v does not run in this test: a fake stands for it", param)
	}
	return impl, nil
}

// prepare parses the configuration and names the components that are faked.
func (r Runner) prepare(t testing.TB, registry *codegen.Registry) (
	config.App, map[string]any, error) {
	var names []string
	for _, c := range registry.Components {
		names = append(names, c.Info.Name)
	}
	conf, err := config.Parse(t.Name()+".toml", r.Config, config.Options{Components: names})
	if err != nil {
		return config.App{}, nil, err
	}
	fakes := map[string]any{}
	for _, fake := range r.Fakes {
		c, ok := registry.FindIface(fake.iface, "")
		if !ok {
			return config.App{}, nil,
				fmt.Errorf("a fake stands for %v, but no such component is linked", fake.iface)
		}
		fakes[c.Info.Name] = fake.impl
	}
	return conf, fakes, nil
}

func (r Runner) newWeavelet(t testing.TB, registry *codegen.Registry, conf config.App,
	fakes map[string]any, handed *shared) *weavelet.Weavelet {
	logger := r.Logger
	if logger == nil {
		logger = slog.New(slog.NewTextHandler(t.Output(), &slog.HandlerOptions{Level: slog.LevelDebug}))
	}
	o := weavelet.LocalOptions{
		Config:  conf,
		Logger:  logger,
		Encoded: r.encoded,
		Twice:   r.encoded,
		Fakes:   fakes,
	}
	if r.NoAliasing {
		o.Share = handed.add
	}
	app := weavelet.Application{Registry: registry, Inspect: weavelet.Inspect()}
	return weavelet.NewLocal(app, weavelet.Alone(t.Name()), o)
}
