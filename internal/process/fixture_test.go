package process

import (
	"testing"

	"github.com/divisi-go/divisi/internal/weavelet"
	"github.com/divisi-go/divisi/internal/weavelet/weavelettest"
)

// The fixture is the application of [weavelettest], in a weavelet.
type (
	a = weavelettest.A

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
	app weavelet.Application
}

func newWorld(t *testing.T, nodes map[string]*behaviour) *world {
	t.Helper()
	w := weavelettest.NewWorld(t, nodes)
	inspect := func(impl any) (weavelet.Fields, error) { return fieldsOf(w.Inspect(impl)), nil }
	return &world{w, weavelet.Application{Registry: w.Registry, Inspect: inspect}}
}

// fieldsOf returns fields as a weavelet knows them.
func fieldsOf(of weavelettest.Fields) weavelet.Fields {
	fields := weavelet.Fields{Config: of.Config, SetHost: func(h *weavelet.Host) { of.SetHost(h) }}
	for _, r := range of.Refs {
		fields.Refs = append(fields.Refs, weavelet.RefField{Iface: r.Iface, Direct: r.Direct, Set: r.Set})
	}
	if of.Listener != "" {
		fields.Listeners = []weavelet.ListenerField{{Name: of.Listener}}
	}
	return fields
}

func (w *world) local(o weavelet.LocalOptions) *weavelet.Weavelet {
	o.Logger = w.Logger
	return weavelet.NewLocal(w.app, weavelet.Alone("app"), o)
}

func client[T any](t *testing.T, w *weavelet.Weavelet) doer {
	t.Helper()
	v, err := w.Client("test", weavelettest.IfaceOf[T](), "")
	if err != nil {
		t.Fatal(err)
	}
	return v.(doer)
}
