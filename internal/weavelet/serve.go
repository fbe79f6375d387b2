package weavelet

import (
	"context"
	"fmt"
	"sync/atomic"

	"github.com/divisi-go/divisi/codegen"
	"github.com/divisi-go/divisi/internal/call"
	"github.com/divisi-go/divisi/internal/trace"
	"github.com/divisi-go/divisi/metadata"
)

// served is one method that others may call.
type served struct {
	component *codegen.Component
	method    *codegen.MethodInfo
	span      string // the name of its spans
	handler   call.Handler
	hooks     codegen.Hooks        // of all its calls; those of a stream can send
	part      atomic.Pointer[part] // what it is a method of, once that is here; it stays
}

// served returns the methods of all components in the binary by their keys.
func (w *Weavelet) served() map[codegen.Key]*served {
	all := map[codegen.Key]*served{}
	for _, c := range w.app.Registry.Components {
		for i := range c.Methods {
			m := &c.Methods[i]
			s := &served{component: c, method: m, span: spanName(c, m)}
			s.handler = func(ctx context.Context, in *call.Incoming) call.Reply { return w.serveCall(ctx, s, in) }
			s.hooks.Panicked = func(thrown any, stack []byte) { w.panicked(c, m, thrown, stack) }
			s.hooks.Routed = func(shard uint64) { w.loads.Add(c.Info.Name, shard) }
			all[m.Key] = s
		}
	}
	return all
}

// Lookup is the server's way to components. A peer that was verified may call what its
// rights allow; any other may call all.
func (w *Weavelet) Lookup() func(call.Peer, codegen.Key) call.Handler {
	table := w.served()
	return func(peer call.Peer, key codegen.Key) call.Handler {
		s, ok := table[key]
		if !ok {
			return nil
		}
		if !peer.Rights.May(s.component.Info.Name) {
			text := fmt.Sprintf("the caller may not call %s", s.component.Info.Name)
			return func(context.Context, *call.Incoming) call.Reply {
				return call.Reply{Status: codegen.StatusUnimplemented, Body: []byte(text)}
			}
		}
		return s.handler
	}
}

// serveCall executes one call.
func (w *Weavelet) serveCall(ctx context.Context, s *served, in *call.Incoming) call.Reply {
	p := s.part.Load()
	if p == nil {
		p, _ = w.lookup(s.component.Info.Name)
		s.part.Store(p)
	}
	if p == nil || !p.started() || p.init.err != nil {
		// Somebody has been told of this replica too early. The caller goes elsewhere, or comes again.
		text := fmt.Sprintf("%s does not run here yet", s.component.Info.Name)
		return call.Reply{Status: codegen.StatusDraining, Body: []byte(text)}
	}
	defer p.calls.end(p.calls.begin(ctx))
	if len(in.Meta) > 0 {
		ctx = metadata.NewContext(ctx, in.Meta)
	}
	ctx = w.tracer.Carry(&in.Carrier, ctx, in.Trace)
	ctx, span := w.tracer.Start(ctx, s.span, trace.Server)
	hooks := s.hooks
	if s.method.Stream {
		hooks.Send = in.Send
	}
	status, body := codegen.Serve(ctx, s.component, s.method, p.impl, w.app.Registry.Errors, in.Args, hooks)
	span.Finish(spanError(status, nil))
	return call.Reply{Status: status, Body: body, Spent: codegen.Recycle}
}
