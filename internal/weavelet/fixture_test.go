package weavelet

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"iter"
	"log/slog"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/divisi-go/divisi/codegen"
)

// The fixture is an application whose components a, b, c, ... are all of the generic type node,
// with stubs as the generator would write them. What they do is said by the test's world.
type (
	a struct{}
	b struct{}
	c struct{}
	d struct{}
)

// doer is what all components do; iface makes a component interface of its own of it.
type doer interface {
	Do(ctx context.Context, words []string) ([]string, error)
	Once(ctx context.Context, words []string) ([]string, error)
	Count(ctx context.Context, n int) iter.Seq2[int, error]
}

type iface[T any] interface {
	doer
	is(T)
}

// world is what a test says of its components, and what they did.
type world struct {
	t      *testing.T
	app    Application
	logs   *lockedBuffer
	logger *slog.Logger

	mu    sync.Mutex
	did   []string
	nodes map[string]*behaviour
}

// behaviour is one component's. Functions that are nil do nothing.
type behaviour struct {
	refs      []string // "x" for a Ref, "!x" for a Direct
	config    any
	listener  string
	always    bool
	routed    bool // by the first word
	init      func(ctx context.Context, n self) error
	do        func(ctx context.Context, n self, words []string) ([]string, error)
	count     func(ctx context.Context, n int) iter.Seq2[int, error]
	drain     func(context.Context) error
	shutdown  func(context.Context) error
	ready     func() error
	beforeSet func() // while the fields are set
}

// self is a component as its own functions see it.
type self struct {
	refs map[string]doer
	host *Host
}

type node[T any] struct {
	w    *world
	b    *behaviour
	name string
	self self
}

func (n *node[T]) is(T) {}

func (n *node[T]) routed() bool { return n.b.routed }

func (n *node[T]) Init(ctx context.Context) error {
	n.w.note("init " + n.name)
	if n.b.init == nil {
		return nil
	}
	return n.b.init(ctx, n.self)
}

func (n *node[T]) Drain(ctx context.Context) error {
	n.w.note("drain " + n.name)
	if n.b.drain == nil {
		return nil
	}
	return n.b.drain(ctx)
}

func (n *node[T]) Ready(context.Context) error {
	if n.b.ready == nil {
		return nil
	}
	return n.b.ready()
}

func (n *node[T]) Shutdown(ctx context.Context) error {
	n.w.note("shutdown " + n.name)
	if n.b.shutdown == nil {
		return nil
	}
	return n.b.shutdown(ctx)
}

func (n *node[T]) Do(ctx context.Context, words []string) ([]string, error) {
	n.w.note("do " + n.name)
	if n.b.do == nil {
		return append(words, n.name), nil
	}
	return n.b.do(ctx, n.self, words)
}

func (n *node[T]) Once(ctx context.Context, words []string) ([]string, error) {
	return n.Do(ctx, words)
}

func (n *node[T]) Count(ctx context.Context, upTo int) iter.Seq2[int, error] {
	return n.b.count(ctx, upTo)
}

// inspect is the test's Application.Inspect.
func (w *world) inspect(impl any) (Fields, error) {
	return impl.(interface{ fields(*world) Fields }).fields(w), nil
}

func (n *node[T]) fields(w *world) Fields {
	n.name = nameOf[T]()
	n.w, n.b = w, w.nodes[n.name]
	n.self.refs = map[string]doer{}
	fields := Fields{
		Config: n.b.config,
		SetHost: func(h *Host) {
			if n.b.beforeSet != nil {
				n.b.beforeSet()
			}
			n.self.host = h
		},
	}
	for _, ref := range n.b.refs {
		name, direct := strings.CutPrefix(ref, "!")
		to, _ := w.app.Registry.Find("t/p/" + name)
		if to == nil {
			to = &codegen.Component{Iface: reflect.TypeFor[fmt.Stringer]()}
		}
		fields.Refs = append(fields.Refs, RefField{
			Iface: to.Iface, Direct: direct, Set: func(v any) { n.self.refs[name] = v.(doer) },
		})
	}
	if n.b.listener != "" {
		fields.Listeners = []ListenerField{{Name: n.b.listener}}
	}
	return fields
}

func nameOf[T any]() string { return strings.ToUpper(reflect.TypeFor[T]().Name()) }

type stub[T any] struct {
	c      *codegen.Client
	routed bool
}

func (stub[T]) is(T) {}

func (s stub[T]) Do(ctx context.Context, words []string) (r0 []string, err error) {
	return s.call(ctx, 0, words)
}

func (s stub[T]) Once(ctx context.Context, words []string) (r0 []string, err error) {
	return s.call(ctx, 1, words)
}

func (s stub[T]) call(ctx context.Context, method int, words []string) (r0 []string, err error) {
	impl, err := s.c.Local(ctx)
	if err != nil {
		return nil, err
	}
	if impl, ok := impl.(doer); ok {
		defer s.c.Enter(method).Leave(&err)
		r0, err = impl.Do(ctx, slices.Clone(words))
		return slices.Clone(r0), err
	}
	call := s.c.Call(ctx, method)
	codegen.EncSlice(&call.Args, words, (*codegen.Encoder).String)
	if s.routed {
		call.Route(words[0])
	}
	if call.Do() {
		r0 = codegen.DecSlice(&call.Results, 4, (*codegen.Decoder).String)
	}
	return r0, call.End()
}

func (s stub[T]) Count(ctx context.Context, n int) iter.Seq2[int, error] {
	return codegen.Stream(ctx, s.c, 2, codegen.StreamOf[int]{
		Args:  func(e *codegen.Encoder) { e.Int(n) },
		Elem:  (*codegen.Decoder).Int,
		Copy:  func(v int) int { return v },
		Local: func(impl any) iter.Seq2[int, error] { return impl.(doer).Count(ctx, n) },
	})
}

func serve(ctx context.Context, impl any, s *codegen.Served) {
	words := codegen.DecSlice(&s.Args, 4, (*codegen.Decoder).String)
	if s.Ready() {
		if r, ok := impl.(interface{ routed() bool }); ok && r.routed() {
			s.Route(words[0])
		}
		r0, err := impl.(doer).Do(ctx, words)
		codegen.EncSlice(&s.Results, r0, (*codegen.Encoder).String)
		s.End(err)
	}
}

func serveCount(ctx context.Context, impl any, s *codegen.Served) {
	n := s.Args.Int()
	if s.Ready() {
		codegen.ServeStream(s, impl.(doer).Count(ctx, n), (*codegen.Encoder).Int)
	}
}

func component[T any](behaviour *behaviour) *codegen.Component {
	name := "t/p/" + nameOf[T]()
	info := codegen.Info{Name: name, Always: behaviour.always, Routed: behaviour.routed, Config: behaviour.config != nil}
	if behaviour.listener != "" {
		info.Listeners = []string{behaviour.listener}
	}
	for _, ref := range behaviour.refs {
		info.Refs = append(info.Refs, "t/p/"+strings.TrimPrefix(ref, "!"))
	}
	return &codegen.Component{
		Info:  info,
		Iface: reflect.TypeFor[iface[T]](),
		Impl:  reflect.TypeFor[node[T]](),
		Stub:  func(c *codegen.Client) any { return stub[T]{c, behaviour.routed} },
		Methods: []codegen.MethodInfo{
			{Name: "Do", Serve: serve, Key: codegen.MethodKey(name, "Do", 1)},
			{Name: "Once", Serve: serve, Key: codegen.MethodKey(name, "Once", 1), NotRetriable: true},
			{Name: "Count", Serve: serveCount, Key: codegen.MethodKey(name, "Count", 1), NotRetriable: true, Stream: true},
		},
	}
}

// newWorld makes an application of the components A, B, C and D, as far as they are given.
func newWorld(t *testing.T, nodes map[string]*behaviour) *world {
	snapshot, err := codegen.Snapshot()
	if err != nil {
		t.Fatal(err)
	}
	w := &world{t: t, nodes: nodes, logs: &lockedBuffer{}}
	w.logger = slog.New(slog.NewTextHandler(w.logs, nil))
	registry := &codegen.Registry{Errors: snapshot.Errors}
	for name, create := range map[string]func(*behaviour) *codegen.Component{
		"A": component[a], "B": component[b], "C": component[c], "D": component[d],
	} {
		if nodes[name] != nil {
			registry.Components = append(registry.Components, create(nodes[name]))
		}
	}
	slices.SortFunc(registry.Components, func(a, b *codegen.Component) int {
		return strings.Compare(a.Info.Name, b.Info.Name)
	})
	w.app = Application{Registry: registry, Inspect: w.inspect}
	return w
}

func (w *world) note(s string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.did = append(w.did, s)
}

// done returns what was done since the last time, but for calls where quiet.
func (w *world) done() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	s := strings.Join(w.did, ", ")
	w.did = nil
	return s
}

func (w *world) local(o LocalOptions) *Weavelet {
	o.Name, o.Logger = "app", w.logger
	return NewLocal(w.app, o)
}

func client[T any](t *testing.T, w *Weavelet) doer {
	t.Helper()
	v, err := w.Client("test", reflect.TypeFor[iface[T]](), "")
	if err != nil {
		t.Fatal(err)
	}
	return v.(doer)
}

// lockedBuffer is a buffer for the logs of several goroutines.
type lockedBuffer struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (b *lockedBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.Write(p)
}

func (b *lockedBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.String()
}

var errWrong = errors.New("wrong")

func wantError(t *testing.T, err error, is error, texts ...string) {
	t.Helper()
	if err == nil || is != nil && !errors.Is(err, is) {
		t.Errorf("error %v, want %v", err, is)
		return
	}
	for _, text := range texts {
		if !strings.Contains(err.Error(), text) {
			t.Errorf("error %v, want %q in it", err, text)
		}
	}
}
