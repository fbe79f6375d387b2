// Package weavelettest is an application for the tests of weavelets. Its components A, B, C and D are
// all of the generic type [Node], with stubs as the generator would write them. What they do is said
// by the test's [World].
package weavelettest

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

// The components.
type (
	A struct{}
	B struct{}
	C struct{}
	D struct{}
)

// Doer is what all components do; Iface makes a component interface of its own of it.
type Doer interface {
	Do(ctx context.Context, words []string) ([]string, error)
	Once(ctx context.Context, words []string) ([]string, error)
	Count(ctx context.Context, n int) iter.Seq2[int, error]
}

// Iface is the interface of a component.
type Iface[T any] interface {
	Doer
	is(T)
}

// World is what a test says of its components, and what they did.
type World struct {
	Registry *codegen.Registry
	Logs     fmt.Stringer
	Logger   *slog.Logger

	mu    sync.Mutex // guards did
	did   []string
	nodes map[string]*Behaviour
}

// Behaviour is one component's. Functions that are nil do nothing.
type Behaviour struct {
	Refs      []string // "x" for a Ref, "!x" for a Direct
	Config    any
	Listener  string
	Always    bool
	Routed    bool // by the first word
	Init      func(ctx context.Context, n Self) error
	Do        func(ctx context.Context, n Self, words []string) ([]string, error)
	Count     func(ctx context.Context, n int) iter.Seq2[int, error]
	Drain     func(context.Context) error
	Shutdown  func(context.Context) error
	Ready     func() error
	BeforeSet func() // while the fields are set
}

// Self is a component as its own functions see it.
type Self struct {
	Refs map[string]Doer
	Host Host
}

// Host is what a component sees of its weavelet.
type Host interface {
	Logger(context.Context) *slog.Logger
}

// Node is the implementation of a component.
type Node[T any] struct {
	Self Self

	w    *World
	b    *Behaviour
	name string
}

// NewNode returns one that is in no weavelet.
func NewNode[T any](w *World, name string, b *Behaviour) *Node[T] {
	return &Node[T]{w: w, name: name, b: b}
}

func (n *Node[T]) is(T) {}

func (n *Node[T]) routed() bool { return n.b.Routed }

func (n *Node[T]) Init(ctx context.Context) error {
	n.w.note("init " + n.name)
	if n.b.Init == nil {
		return nil
	}
	return n.b.Init(ctx, n.Self)
}

func (n *Node[T]) Drain(ctx context.Context) error {
	n.w.note("drain " + n.name)
	if n.b.Drain == nil {
		return nil
	}
	return n.b.Drain(ctx)
}

func (n *Node[T]) Ready(context.Context) error {
	if n.b.Ready == nil {
		return nil
	}
	return n.b.Ready()
}

func (n *Node[T]) Shutdown(ctx context.Context) error {
	n.w.note("shutdown " + n.name)
	if n.b.Shutdown == nil {
		return nil
	}
	return n.b.Shutdown(ctx)
}

func (n *Node[T]) Do(ctx context.Context, words []string) ([]string, error) {
	n.w.note("do " + n.name)
	if n.b.Do == nil {
		return append(words, n.name), nil
	}
	return n.b.Do(ctx, n.Self, words)
}

func (n *Node[T]) Once(ctx context.Context, words []string) ([]string, error) {
	return n.Do(ctx, words)
}

func (n *Node[T]) Count(ctx context.Context, upTo int) iter.Seq2[int, error] {
	return n.b.Count(ctx, upTo)
}

// Reference is a field of a component for another one.
type Reference struct {
	Iface  reflect.Type
	Direct bool
	Set    func(any)
}

// Fields are the fields of a component that its weavelet fills.
type Fields struct {
	SetHost  func(Host)
	Config   any
	Refs     []Reference
	Listener string // "" for none
}

// Inspect finds the fields of a component.
func (w *World) Inspect(impl any) Fields {
	return impl.(interface{ fields(*World) Fields }).fields(w)
}

func (n *Node[T]) fields(w *World) Fields {
	n.name = nameOf[T]()
	n.w, n.b = w, w.nodes[n.name]
	n.Self.Refs = map[string]Doer{}
	fields := Fields{
		Config:   n.b.Config,
		Listener: n.b.Listener,
		SetHost: func(h Host) {
			if n.b.BeforeSet != nil {
				n.b.BeforeSet()
			}
			n.Self.Host = h
		},
	}
	for _, ref := range n.b.Refs {
		name, direct := strings.CutPrefix(ref, "!")
		to, _ := w.Registry.Find("t/p/" + name)
		if to == nil {
			to = &codegen.Component{Iface: reflect.TypeFor[fmt.Stringer]()}
		}
		fields.Refs = append(fields.Refs, Reference{
			Iface: to.Iface, Direct: direct, Set: func(v any) { n.Self.Refs[name] = v.(Doer) },
		})
	}
	return fields
}

func nameOf[T any]() string { return reflect.TypeFor[T]().Name() }

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
	if impl, ok := impl.(Doer); ok {
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
		Local: func(impl any) iter.Seq2[int, error] { return impl.(Doer).Count(ctx, n) },
	})
}

func serve(ctx context.Context, impl any, s *codegen.Served) {
	words := codegen.DecSlice(&s.Args, 4, (*codegen.Decoder).String)
	if s.Ready() {
		if r, ok := impl.(interface{ routed() bool }); ok && r.routed() {
			s.Route(words[0])
		}
		r0, err := impl.(Doer).Do(ctx, words)
		codegen.EncSlice(&s.Results, r0, (*codegen.Encoder).String)
		s.End(err)
	}
}

func serveCount(ctx context.Context, impl any, s *codegen.Served) {
	n := s.Args.Int()
	if s.Ready() {
		codegen.ServeStream(s, impl.(Doer).Count(ctx, n), (*codegen.Encoder).Int)
	}
}

func component[T any](behaviour *Behaviour) *codegen.Component {
	name := "t/p/" + nameOf[T]()
	info := codegen.Info{Name: name, Always: behaviour.Always, Routed: behaviour.Routed, Config: behaviour.Config != nil}
	if behaviour.Listener != "" {
		info.Listeners = []string{behaviour.Listener}
	}
	for _, ref := range behaviour.Refs {
		info.Refs = append(info.Refs, "t/p/"+strings.TrimPrefix(ref, "!"))
	}
	return &codegen.Component{
		Info:  info,
		Iface: reflect.TypeFor[Iface[T]](),
		Impl:  reflect.TypeFor[Node[T]](),
		Stub:  func(c *codegen.Client) any { return stub[T]{c, behaviour.Routed} },
		Methods: []codegen.MethodInfo{
			{Name: "Do", Serve: serve, Key: codegen.MethodKey(name, "Do", 1)},
			{Name: "Once", Serve: serve, Key: codegen.MethodKey(name, "Once", 1), NotRetriable: true},
			{Name: "Count", Serve: serveCount, Key: codegen.MethodKey(name, "Count", 1), NotRetriable: true, Stream: true},
		},
	}
}

// NewWorld makes an application of the components A, B, C and D, as far as they are given.
func NewWorld(t *testing.T, nodes map[string]*Behaviour) *World {
	t.Helper()
	snapshot, err := codegen.Snapshot()
	if err != nil {
		t.Fatal(err)
	}
	logs := &lockedBuffer{}
	w := &World{
		Registry: &codegen.Registry{Errors: snapshot.Errors}, nodes: nodes,
		Logs: logs, Logger: slog.New(slog.NewTextHandler(logs, nil)),
	}
	for name, create := range map[string]func(*Behaviour) *codegen.Component{
		"A": component[A], "B": component[B], "C": component[C], "D": component[D],
	} {
		if nodes[name] != nil {
			w.Registry.Components = append(w.Registry.Components, create(nodes[name]))
		}
	}
	slices.SortFunc(w.Registry.Components, func(a, b *codegen.Component) int {
		return strings.Compare(a.Info.Name, b.Info.Name)
	})
	return w
}

func (w *World) note(s string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.did = append(w.did, s)
}

// Done returns what the components did since the last time.
func (w *World) Done() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	s := strings.Join(w.did, ", ")
	w.did = nil
	return s
}

// IfaceOf returns the interface of a component.
func IfaceOf[T any]() reflect.Type { return reflect.TypeFor[Iface[T]]() }

// Forward returns what calls a reference with the words that it was given.
func Forward(name string) func(context.Context, Self, []string) ([]string, error) {
	return func(ctx context.Context, n Self, words []string) ([]string, error) {
		return n.Refs[name].Do(ctx, words)
	}
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

// ErrWrong is an error that components may return.
var ErrWrong = errors.New("wrong")

// WantError fails the test unless err is an error, and has what it is to have.
func WantError(t *testing.T, err error, is error, texts ...string) {
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
