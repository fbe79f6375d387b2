package weavelet

import (
	"testing"

	"github.com/divisi-go/divisi/internal/weavelet/weavelettest"
)

// The fixture is the application of [weavelettest], in a weavelet.
type (
	a = weavelettest.A
	b = weavelettest.B

	behaviour = weavelettest.Behaviour
	self      = weavelettest.Self
	doer      = weavelettest.Doer
)

var (
	errWrong  = weavelettest.ErrWrong
	wantError = weavelettest.WantError
	forward   = weavelettest.Forward
)

// world is an application, and what its components did.
type world struct {
	*weavelettest.World
	app Application
}

func newWorld(t *testing.T, nodes map[string]*behaviour) *world {
	t.Helper()
	w := weavelettest.NewWorld(t, nodes)
	inspect := func(impl any) (Fields, error) { return fieldsOf(w.Inspect(impl)), nil }
	return &world{w, Application{Registry: w.Registry, Inspect: inspect}}
}

// fieldsOf returns fields as a weavelet knows them.
func fieldsOf(of weavelettest.Fields) Fields {
	fields := Fields{Config: of.Config, SetHost: func(h *Host) { of.SetHost(h) }}
	for _, r := range of.Refs {
		fields.Refs = append(fields.Refs, RefField{Iface: r.Iface, Direct: r.Direct, Set: r.Set})
	}
	if of.Listener != "" {
		fields.Listeners = []ListenerField{{Name: of.Listener}}
	}
	return fields
}

func (w *world) local(o LocalOptions) *Weavelet {
	o.Logger = w.Logger
	return NewLocal(w.app, Alone("app"), o)
}

func client[T any](t *testing.T, w *Weavelet) doer {
	t.Helper()
	v, err := w.Client("test", weavelettest.IfaceOf[T](), "")
	if err != nil {
		t.Fatal(err)
	}
	return v.(doer)
}
