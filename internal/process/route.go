package process

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"time"

	"github.com/divisi-go/divisi/codegen"
	"github.com/divisi-go/divisi/envelope/protos"
	"github.com/divisi-go/divisi/internal/call"
	"github.com/divisi-go/divisi/internal/call/balance"
	"github.com/divisi-go/divisi/internal/trace"
	"github.com/divisi-go/divisi/internal/weavelet"
	"github.com/divisi-go/divisi/metadata"
)

// route is where the calls of one component go, as the deployer says.
type route struct {
	component *codegen.Component
	pool      *balance.Pool

	// Both belong to the network's mutex.
	telling bool // somebody tells the deployer that it is needed
	heard   bool // a deployer has understood that

	mu    sync.Mutex    // guards what follows
	known chan struct{} // closed when it is known where the component is; local is final then
	local bool
	last  *protos.RoutingInfo // nil until it is known; it is not changed
}

var _ weavelet.Remote = (*route)(nil)

func newRoute(c *codegen.Component, pool *balance.Pool) *route {
	return &route{component: c, pool: pool, telling: true, known: make(chan struct{})}
}

// update takes what the deployer says. Whether a component is local never changes: callers may
// hold the implementation.
func (r *route) update(info *protos.RoutingInfo) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.last != nil && r.local != info.Local {
		return fmt.Errorf("routing of %s cannot change between local and remote in a running weavelet",
			r.component.Info.Name)
	}
	if !info.Local {
		r.pool.SetReplicas(info.Replicas)
		if info.Assignment != nil {
			var slices []balance.Slice
			for _, s := range info.Assignment.Slices {
				slices = append(slices, balance.Slice{Start: s.Start, Replicas: s.Replicas})
			}
			r.pool.SetAssignment(slices)
		}
	}
	if r.last == nil {
		r.local = info.Local
		close(r.known)
	}
	r.last = info
	return nil
}

// told returns what deployers have said last.
func (r *route) told() *protos.RoutingInfo {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.last == nil {
		return &protos.RoutingInfo{Component: r.component.Info.Name}
	}
	return r.last
}

// Resolve implements [weavelet.Remote].
func (r *route) Resolve(ctx context.Context) (bool, error) {
	select {
	case <-r.known:
		return r.local, nil
	default:
	}
	select {
	case <-r.known:
		return r.local, nil
	case <-ctx.Done():
		return false, fmt.Errorf("it is not yet known where %s runs: %w", r.component.Info.Name, ctx.Err())
	}
}

// Call implements [weavelet.Remote].
func (r *route) Call(ctx context.Context, request *codegen.Request, span trace.SpanContext, now time.Time) (
	codegen.Status, []byte, time.Time, error) {
	wired := wireRequest(ctx, request, span)
	reply, ended, err := r.pool.CallAt(ctx, &wired, now)
	if err != nil {
		return 0, nil, ended, r.failed(request, err)
	}
	if reply.Status == codegen.StatusUnimplemented {
		return 0, nil, ended, r.failed(request, errors.New(string(reply.Body)))
	}
	return reply.Status, reply.Body, ended, nil
}

// Stream implements [weavelet.Remote].
func (r *route) Stream(ctx context.Context, request *codegen.Request, span trace.SpanContext) (codegen.Receiver, error) {
	wired := wireRequest(ctx, request, span)
	s, err := r.pool.Stream(ctx, &wired)
	if err != nil {
		return nil, r.failed(request, err)
	}
	return receiver{r, request, s}, nil
}

func (r *route) failed(request *codegen.Request, err error) error {
	return fmt.Errorf("%w: %s.%s: %w",
		codegen.ErrRemoteCall, r.component.Info.Name, request.Method.Name, err)
}

// receiver is a stream whose failures on the way are those that generated code knows.
type receiver struct {
	route   *route
	request *codegen.Request
	*balance.Stream
}

var _ codegen.Receiver = receiver{}

func (r receiver) Recv() ([]byte, error) {
	data, err := r.Stream.Recv()
	if err == nil || err == io.EOF {
		return data, err
	}
	if ended, ok := errors.AsType[*codegen.StatusError](err); ok && ended.Status != codegen.StatusUnimplemented {
		return nil, err
	}
	return nil, r.route.failed(r.request, err)
}

func wireRequest(ctx context.Context, r *codegen.Request, span trace.SpanContext) call.Request {
	request := call.Request{
		Method:     r.Method.Key,
		Args:       r.Args,
		Idempotent: !r.Method.NotRetriable,
		Routed:     r.Routed,
		Shard:      r.Shard,
		Trace:      span,
	}
	if meta, ok := metadata.FromContext(ctx); ok {
		request.Meta = meta
	}
	return request
}
