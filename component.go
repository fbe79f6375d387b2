package divisi

import (
	"context"
	"log/slog"

	"github.com/divisi-go/divisi/codegen"
	"github.com/divisi-go/divisi/internal/weavelet"
)

// Implements[T] is embedded in the struct that implements the component interface T:
//
//	type cart struct {
//		divisi.Implements[Cart]
//		...
//	}
//
// The struct implements T by pointer. Methods of T may be called by many at once, and end when their
// context does: one that goes on for half a minute after that, while no other call ends, is taken for
// deadlocked, and its process is replaced. The struct may have these methods as well, each optional:
//
//	Init(context.Context) error      // before the first call
//	Ready(context.Context) error     // nil when calls may come; asked from time to time
//	Drain(context.Context) error     // calls still come, but the end is near
//	Shutdown(context.Context) error  // after the last call
//
// An interface has one implementation without a name, and any number with one each, given by a
// tag `divisi:"name"` on the embedded field.
type Implements[T any] struct {
	host *weavelet.Host
}

// InstanceOf[T] is implemented by pointers to structs that embed Implements[T].
type InstanceOf[T any] interface {
	implements(T)
}

func (Implements[T]) implements(T) {}

func (i *Implements[T]) setHost(h *weavelet.Host) { i.host = h }

// Logger returns the component's logger. Its records carry the component, the replica, and the
// trace that ctx belongs to.
func (i *Implements[T]) Logger(ctx context.Context) *slog.Logger {
	if i.host == nil {
		return slog.Default()
	}
	return i.host.Logger(ctx)
}

// Identity says who does something: which component, in which process.
type Identity struct {
	App       string // the application
	Version   string // the deployment, one run of the application or one version of it
	Group     string // the colocation group, "" in a single process
	Component string // short name of the component
	Replica   string // full name of the replica: the group, a number and the domain, as in "cart-0@/shop"
	Domain    string // where the replica is in the tree of names, such as "/shop"
	Host      string // name of the machine, "" if it has none
	Pid       int    // process id
}

// Self returns the component's own identity. Outside of a running application it has only a
// process id.
func (i *Implements[T]) Self() Identity {
	if i.host == nil {
		return Identity{}
	}
	s := i.host.Self()
	return Identity{
		App: s.App, Version: s.Version, Group: s.Group,
		Component: s.Component, Replica: s.Replica, Domain: s.Domain, Host: s.Host, Pid: s.Pid,
	}
}

// WeaverInfo describes the running application, by the names of Service Weaver.
type WeaverInfo struct {
	DeploymentID string // unique to a deployment
}

// Weaver returns information about the running application.
func (i *Implements[T]) Weaver() WeaverInfo {
	return WeaverInfo{DeploymentID: i.Self().Version}
}

// Ref[T] is a field of a component that calls the component with the interface T. It is filled
// before Init is called. A tag `divisi:"name"` picks the implementation with that name.
//
// A call means the same wherever the callee is: arguments and results are not shared, a panic is
// an error, and a call that failed on its way has RemoteCallError in its error.
type Ref[T any] struct {
	value T
}

// Get returns the component.
func (r Ref[T]) Get() T { return r.value }

func (r *Ref[T]) isRef() (any, bool) { return (*T)(nil), false }
func (r *Ref[T]) setRef(v any)       { r.value = v.(T) }

// Direct[T] is a Ref[T] whose component always runs in the same process, and whose calls go to
// the implementation itself: nothing is copied and a panic stays a panic.
type Direct[T any] struct {
	value T
}

// Get returns the implementation.
func (r Direct[T]) Get() T { return r.value }

func (r *Direct[T]) isRef() (any, bool) { return (*T)(nil), true }
func (r *Direct[T]) setRef(v any)       { r.value = v.(T) }

// Main is the interface of the main component, whose implementation Run is given.
type Main interface{}

// WithConfig[T] is embedded in a component that takes its configuration, a T, from the section
// of the configuration file that is named after the component:
//
//	["github.com/example/shop/Cart"]
//	MaxItems = 20
//
// A key that T does not have is an error. If *T has a method Validate() error, it is called.
type WithConfig[T any] struct {
	config T
}

// Config returns the configuration.
func (c *WithConfig[T]) Config() *T { return &c.config }

func (c *WithConfig[T]) configPointer() any { return &c.config }

// WithRouter[T] is embedded in a component whose calls are routed: for every method of the
// struct T there is a method of the component with the same name and arguments, and calls with
// an equal result of T's method go to the same replica, as long as replicas do not change. The
// result is a string, a number, or a struct of those.
type WithRouter[T any] struct{}

func (WithRouter[T]) routedBy(T) {}

// RoutedBy[T] is implemented by components that embed WithRouter[T].
type RoutedBy[T any] interface {
	routedBy(T)
}

// AutoMarshal is embedded in a struct that has something to hide from other packages: unexported
// fields, or fields of unexported types. The struct gets methods, generated in its own package, by
// which components of other packages send it. A struct without secrets does not need it.
type AutoMarshal struct{}

// NotRetriable marks methods that must not be executed twice:
//
//	var _ divisi.NotRetriable = Payment.Charge
//
// Any other method may be, when a connection breaks during a call.
type NotRetriable interface{}

// Errors of calls, for errors.Is.
var (
	// RemoteCallError is in the error of a call that failed on its way. The method may have been
	// executed not at all, once, or, if it is retriable, more often.
	RemoteCallError = codegen.ErrRemoteCall

	// ErrPanic is in the error of a call whose method panicked.
	ErrPanic = codegen.ErrPanic
)
