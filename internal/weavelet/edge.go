package weavelet

import (
	"context"
	"fmt"
	"io"
	"sync/atomic"
	"time"

	"github.com/divisi-go/divisi/codegen"
	"github.com/divisi-go/divisi/internal/name"
	"github.com/divisi-go/divisi/internal/tally"
	"github.com/divisi-go/divisi/internal/trace"
)

// edge carries the calls of one component to another. It implements codegen.Target.
type edge struct {
	w      *Weavelet
	from   *part
	to     *codegen.Component
	remote Remote              // nil if the callee is known to be here
	here   atomic.Pointer[any] // the callee, once it is here and both are ready
	stats  []*tally.Method     // of remote calls, by method
	locals []*tally.Method     // of local ones; nil if they are not counted
	spans  []string            // names, by method
}

func (w *Weavelet) newEdge(from *part, to *codegen.Component) (*edge, error) {
	remote, err := w.connectRemote(to)
	if err != nil {
		return nil, err
	}
	e := &edge{w: w, from: from, to: to, remote: remote}
	for i, m := range to.Methods {
		e.spans = append(e.spans, spanName(to, &to.Methods[i]))
		key := tally.Key{Caller: from.component.Info.Name, Component: to.Info.Name, Method: m.Name, Remote: true}
		e.stats = append(e.stats, w.methods.Of(key))
		if w.countLocal {
			key.Remote = false
			e.locals = append(e.locals, w.methods.Of(key))
		}
	}
	return e, nil
}

// client returns what a stub of the callee is made of.
func (e *edge) client() *codegen.Client {
	var observer codegen.Observer
	if e.w.share != nil {
		observer.Share = func(method int, copies func() []any) {
			e.w.share(e.spans[method], copies)
		}
	}
	if e.locals != nil {
		observer.Begin = func(method int) *time.Time { return e.locals[method].Begin() }
		observer.End = func(method int, began *time.Time, failed bool) { e.locals[method].End(began, failed) }
	}
	return codegen.NewClient(e.to, e.w.app.Registry.Errors, e, observer)
}

// connectRemote returns the one remote of a component that all its callers here share.
func (w *Weavelet) connectRemote(to *codegen.Component) (Remote, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if r, ok := w.remotes[to.Info.Name]; ok {
		return r, nil
	}
	r, err := w.network.Connect(w, to)
	if err != nil {
		return nil, err
	}
	w.remotes[to.Info.Name] = r
	return r, nil
}

// Local implements codegen.Target. It starts a callee of which the deployer has said that it is
// here, but not yet that it is to start.
func (e *edge) Local(ctx context.Context) (any, error) {
	if impl := e.here.Load(); impl != nil {
		return *impl, nil
	}
	return e.find(ctx)
}

// find is Local of a callee that has not been found here for good.
func (e *edge) find(ctx context.Context) (any, error) {
	defer e.from.waitFor(e.to.Info.Name)()
	here, err := e.isHere(ctx)
	if err == nil && !here {
		err = e.checkCycle()
	}
	var p *part
	if err == nil && here {
		p, err = e.start(ctx)
	}
	if err != nil {
		return nil, fmt.Errorf("%w: %w", codegen.ErrRemoteCall, err)
	}
	if p == nil {
		return nil, nil
	}

	if e.from.started() {
		e.here.Store(&p.impl)
	}
	return p.impl, nil
}

// isHere reports whether the callee runs in this process, once that is known.
func (e *edge) isHere(ctx context.Context) (bool, error) {
	if e.remote == nil {
		return true, nil
	}
	return e.remote.Resolve(ctx)
}

// start returns the callee, which is here, once it has started.
func (e *edge) start(ctx context.Context) (*part, error) {
	callee := e.to.Info.Name
	p, err := e.w.create(callee)
	if err != nil {
		return nil, err
	}
	if p.started() {
		return p, p.init.err
	}
	if err := e.checkCycle(); err != nil {
		return nil, err
	}

	// The start is everybody's: it does not end with the call that happens to need it first.
	started := make(chan error, 1)
	go func() { started <- e.w.Host(context.WithoutCancel(ctx), callee) }()
	select {
	case err := <-started:
		return p, err
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// checkCycle refuses a call of a component that waits for the Init that makes the call.
func (e *edge) checkCycle() error {
	if e.from.started() {
		return nil
	}
	caller, callee := e.from.component.Info.Name, e.to.Info.Name
	if p, ok := e.w.lookup(callee); !ok || p.started() {
		return nil
	}
	cycle := graph{e.w.app.Registry}.cycle(caller, callee)
	if cycle == "" {
		return nil
	}
	return fmt.Errorf("%s is used in the Init of %s, but they refer to each other (%s): "+
		"use it after Init", name.Short(callee), caller, cycle)
}

// Call implements codegen.Target.
func (e *edge) Call(ctx context.Context, r *codegen.Request) (
	status codegen.Status, body []byte, err error) {
	defer e.from.waitFor(e.to.Info.Name)()
	began := time.Now()
	current, span := e.w.tracer.StartCall(ctx, e.spans[r.Index], began)
	status, body, ended, err := e.remote.Call(ctx, r, current, began)
	span.Finish(spanError(status, err))
	e.stats[r.Index].Record(ended.Sub(began), len(r.Args), len(body), status, err)
	return status, body, err
}

// Stream implements codegen.Target. A stream is one call, from the request to its last element.
func (e *edge) Stream(ctx context.Context, r *codegen.Request) (codegen.Receiver, error) {
	defer e.from.waitFor(e.to.Info.Name)()
	s := &edgeStream{counters: e.stats[r.Index], began: time.Now(), sent: len(r.Args)}
	current, span := e.w.tracer.StartCall(ctx, e.spans[r.Index], s.began)
	s.span = span
	inner, err := e.remote.Stream(ctx, r, current)
	if err != nil {
		s.end(err)
		return nil, err
	}

	s.Receiver = inner
	return s, nil
}

// edgeStream is a stream that is traced and counted.
type edgeStream struct {
	codegen.Receiver
	counters       *tally.Method
	span           *trace.Span
	began          time.Time
	sent, received int // bytes
	ended          bool
}

var _ codegen.Receiver = (*edgeStream)(nil)

func (s *edgeStream) Recv() ([]byte, error) {
	elem, err := s.Receiver.Recv()
	s.received += len(elem)
	if err == io.EOF {
		s.end(nil)
	} else if err != nil {
		s.end(err)
	}
	return elem, err
}

// Close ends the stream. That its reader has had enough is no error.
func (s *edgeStream) Close() error {
	s.end(nil)
	return s.Receiver.Close()
}

func (s *edgeStream) end(err error) {
	if s.ended {
		return
	}
	s.ended = true
	s.span.Finish(err)
	s.counters.Record(time.Since(s.began), s.sent, s.received, codegen.StatusOK, err)
}

// Panicked implements codegen.Target.
func (e *edge) Panicked(m *codegen.MethodInfo, thrown any, stack []byte) {
	e.w.panicked(e.to, m, thrown, stack)
}

func (w *Weavelet) panicked(c *codegen.Component, m *codegen.MethodInfo, thrown any, stack []byte) {
	w.logger.Error("component panicked", "component", c.Info.Name,
		"method", m.Name, "panic", fmt.Sprint(thrown), "stack", string(stack))
}

func spanName(c *codegen.Component, m *codegen.MethodInfo) string {
	return name.Short(c.Info.Name) + "." + m.Name
}

func spanError(status codegen.Status, err error) error {
	switch {
	case err != nil:
		return err
	case status == codegen.StatusPanic:
		return codegen.ErrPanic
	case status != codegen.StatusOK:
		return fmt.Errorf("the call ended with %v", status)
	}
	return nil
}
