package codegen

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"sort"
	"strings"
	"sync"
)

// Method is one method of a component with the interface I.
type Method[I any] struct {
	Name         string
	Layout       uint64 // hash of the types of arguments and results
	NotRetriable bool   // must not be executed twice; so are all streams
	Stream       bool
	Serve        func(ctx context.Context, impl I, call *Served)
}

// MethodInfo is Method without its type parameter.
type MethodInfo struct {
	Name         string
	Key          Key
	NotRetriable bool
	Stream       bool
	Serve        func(ctx context.Context, impl any, call *Served)
}

// Component is one implementation of one component interface.
type Component struct {
	Info    Info
	Iface   reflect.Type // the interface
	Impl    reflect.Type // the struct that implements it by pointer
	Methods []MethodInfo
	Stub    func(*Client) any // returns an Iface
}

// Register adds the component with the interface I, implemented by *T, to those that this
// binary holds. The description is Info in its text form.
func Register[I, T any](description string, stub func(*Client) I, methods ...Method[I]) {
	// The compiler makes this function anew for every component, so little is done here.
	c := newComponent(description, reflect.TypeFor[I](), reflect.TypeFor[T]())
	c.Stub = func(client *Client) any { return stub(client) }
	for _, m := range methods {
		c.addMethod(m.Name, m.Layout, m.NotRetriable, m.Stream, func(ctx context.Context, impl any, call *Served) {
			m.Serve(ctx, impl.(I), call)
		})
	}
	registry.addComponent(c)
}

// MethodKey returns the key of a method.
func MethodKey(component, method string, layout uint64) Key {
	var hash [8]byte
	binary.LittleEndian.PutUint64(hash[:], layout)
	sum := sha256.Sum256(fmt.Appendf(hash[:], "%s\x00%s", component, method))
	return Key(sum[:16])
}

// RegisterSentinel makes the value of a package-level variable known by its name, so that an
// error decodes to the same value.
func RegisterSentinel(name string, err error) {
	registry.add(knownError{name: name, value: err})
}

// RegisterErrorType makes errors of the type T keep their type between processes.
func RegisterErrorType[T error](name string, enc func(*Encoder, T), dec func(*Decoder) T) {
	registry.add(knownError{
		name: name,
		typ:  reflect.TypeFor[T](),
		enc:  func(e *Encoder, err error) { enc(e, err.(T)) },
		dec:  func(d *Decoder) error { return dec(d) },
	})
}

// registry is filled by generated init functions and read through Snapshot.
var registry registrations

type registrations struct {
	mu         sync.Mutex
	components []*Component
	errors     map[string]knownError
}

func newComponent(description string, iface, impl reflect.Type) *Component {
	info, err := ParseInfo(description)
	if err != nil {
		panic(fmt.Sprintf("the generated registration of %v is damaged (%v): run divisi generate",
			impl, err))
	}
	return &Component{Info: info, Iface: iface, Impl: impl}
}

func (c *Component) addMethod(name string, layout uint64, notRetriable, stream bool,
	serve func(ctx context.Context, impl any, call *Served)) {
	c.Methods = append(c.Methods, MethodInfo{
		Name: name, Key: MethodKey(c.Info.Name, name, layout),
		NotRetriable: notRetriable || stream, Stream: stream, Serve: serve,
	})
}

func (r *registrations) addComponent(c *Component) {
	r.mu.Lock()
	defer r.mu.Unlock()
	// Hand-made registrations, unlike generated ones, may come twice in one process.
	r.components = slices.DeleteFunc(r.components, func(old *Component) bool {
		return old.Info.Name == c.Info.Name && old.Impl == c.Impl
	})
	r.components = append(r.components, c)
}

func (r *registrations) add(known knownError) {
	if known.typ == nil && known.value == nil {
		return // a sentinel variable that is nil names no error
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.errors == nil {
		r.errors = map[string]knownError{}
	}
	r.errors[known.name] = known
}

// Registry is what a binary holds: a value, so that applications in one test process do not
// share one.
type Registry struct {
	Components []*Component // sorted by name
	Errors     *Errors
}

// Snapshot returns everything that is registered. Two components of one name are an error.
func Snapshot() (*Registry, error) {
	registry.mu.Lock()
	defer registry.mu.Unlock()
	r := &Registry{
		Components: slices.Clone(registry.components),
		Errors:     newErrors(maps.Clone(registry.errors)),
	}
	// A generic sort would be one more in every application.
	sort.SliceStable(r.Components, func(i, j int) bool {
		return r.Components[i].Info.Name < r.Components[j].Info.Name
	})
	for i := 1; i < len(r.Components); i++ {
		if before, c := r.Components[i-1], r.Components[i]; before.Info.Name == c.Info.Name {
			return nil, fmt.Errorf("component %s is implemented twice, by %v and %v: "+
				"give one a name with a divisi:\"name\" tag on its Implements field",
				c.Info.Name, before.Impl, c.Impl)
		}
	}
	return r, nil
}

// Find returns the component with a full name.
func (r *Registry) Find(name string) (*Component, bool) {
	i, ok := slices.BinarySearchFunc(r.Components, name, func(c *Component, name string) int {
		return strings.Compare(c.Info.Name, name)
	})
	if !ok {
		return nil, false
	}
	return r.Components[i], true
}

// FindIface returns the implementation of an interface with a given name, "" for the one
// without a name.
func (r *Registry) FindIface(iface reflect.Type, name string) (*Component, bool) {
	for _, c := range r.Components {
		if c.Iface == iface && c.Info.Variant() == name {
			return c, true
		}
	}
	return nil, false
}

// FindImpl returns the component that a struct implements.
func (r *Registry) FindImpl(impl reflect.Type) (*Component, bool) {
	for _, c := range r.Components {
		if c.Impl == impl {
			return c, true
		}
	}
	return nil, false
}
