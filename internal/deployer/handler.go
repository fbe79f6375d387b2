package deployer

import (
	"cmp"
	"context"
	"errors"
	"fmt"

	"github.com/divisi-go/divisi/envelope"
	"github.com/divisi-go/divisi/envelope/protos"
	"github.com/divisi-go/divisi/internal/event"
	"github.com/divisi-go/divisi/internal/lifecycle"
)

// handler answers one weavelet.
type handler struct{ a *attempt }

var (
	_ envelope.EnvelopeHandler = (*handler)(nil)
	_ envelope.ReportHandler   = (*handler)(nil)
)

var errEnded = errors.New("the process has ended")

// inSet executes f in Serve's goroutine if the process still is the replica's.
func (h *handler) inSet(ctx context.Context, f func(s *set, r *replica) error) error {
	err := errEnded
	failed := h.a.d.do(ctx, func() {
		if h.a.r.attempt == h.a && h.a.r.env != nil {
			err = f(h.a.r.set, h.a.r)
		}
	})

	return cmp.Or(failed, err)
}

func (h *handler) ActivateComponent(ctx context.Context, req *protos.ActivateComponentRequest) (
	*protos.ActivateComponentReply, error) {
	return &protos.ActivateComponentReply{}, h.inSet(ctx, func(s *set, r *replica) error {
		if !s.known(req.Component) {
			return fmt.Errorf("the application has no component %s", req.Component)
		}
		s.perform(s.placement.Activate(r.id, req.Component))
		return nil
	})
}

func (s *set) known(component string) bool {
	for _, c := range s.spec.Components {
		if c.Name == component {
			return true
		}
	}
	return false
}

func (h *handler) GetListenerAddress(_ context.Context, req *protos.GetListenerAddressRequest) (
	*protos.GetListenerAddressReply, error) {
	// Weavelets inherit their listeners. One that asks is of another make, and is not reached.
	return &protos.GetListenerAddressReply{Address: "localhost:0"}, nil
}

func (h *handler) ExportListener(ctx context.Context, req *protos.ExportListenerRequest) (
	*protos.ExportListenerReply, error) {
	err := h.inSet(ctx, func(s *set, r *replica) error {
		s.d.emit(event.Listening{Server: r.server(), Listener: req.Listener, URL: pageURL(req.Address)})
		return nil
	})
	return &protos.ExportListenerReply{}, err
}

func (h *handler) HandleLogEntry(_ context.Context, entry *protos.LogEntry) error {
	if f := h.a.d.options.HandleLog; f != nil {
		f(entry)
	}
	return nil
}

func (h *handler) HandleTraceSpans(_ context.Context, spans *protos.TraceSpans) error {
	if f := h.a.d.options.HandleSpans; f != nil {
		f(spans)
	}
	return nil
}

// HandleReport takes what a weavelet says without being asked.
func (h *handler) HandleReport(ctx context.Context, req *protos.ReportRequest) (*protos.ReportReply, error) {
	reply := &protos.ReportReply{}
	return reply, h.inSet(ctx, func(s *set, r *replica) error {
		if req.Health != nil {
			r.health(req.Health)
		}
		if req.Finished {
			r.done = true
			reply.End = true
		}
		switch {
		case req.Leaving == "":
		case r.life.State == lifecycle.Stopping:
			reply.End = true // it got the signal from here, without having been drained
		case r.leaving == nil:
			r.leaving = &leaving{}
			s.d.warn("%s wants to end: %s", r.name, req.Leaving)
		}

		return nil
	})
}
