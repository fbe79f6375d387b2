package replica

import (
	"cmp"
	"context"
	"errors"

	"github.com/divisi-go/divisi/envelope"
	"github.com/divisi-go/divisi/envelope/protos"
	"github.com/divisi-go/divisi/internal/control"
	"github.com/divisi-go/divisi/internal/event"
	"github.com/divisi-go/divisi/internal/lifecycle"
)

// handler answers one weavelet.
type handler struct {
	Certificates
	a *Attempt
}

var (
	_ envelope.EnvelopeHandler = (*handler)(nil)
	_ envelope.ReportHandler   = (*handler)(nil)
)

var errEnded = errors.New("the process has ended")

// deciding executes f in the deciding goroutine if the process still is the replica's, once it is known
// what the process is for others.
func (h *handler) deciding(ctx context.Context, f func(r *Replica) error) error {
	select {
	case <-h.a.r.options.Resumed:
	case <-ctx.Done():
		return context.Cause(ctx)
	}

	err := errEnded
	failed := h.a.r.options.Owner.Do(ctx, func() {
		if h.a.r.attempt == h.a && h.a.r.env != nil {
			err = f(h.a.r)
		}
	})

	return cmp.Or(failed, err)
}

func (h *handler) ActivateComponent(ctx context.Context, req *protos.ActivateComponentRequest) (
	*protos.ActivateComponentReply, error) {
	return &protos.ActivateComponentReply{}, h.deciding(ctx, func(r *Replica) error {
		return r.options.Owner.Activate(r, req.Component)
	})
}

// GetSelfCertificate issues the next certificate. It is that of a later process as well, if that finds no
// deployer.
func (h *handler) GetSelfCertificate(ctx context.Context, req *protos.GetSelfCertificateRequest) (
	*protos.GetSelfCertificateReply, error) {
	reply, err := h.Certificates.GetSelfCertificate(ctx, req)
	if err == nil && h.a.r.options.Keep != nil {
		h.a.keep(reply)
	}
	return reply, err
}

func (h *handler) GetListenerAddress(_ context.Context, req *protos.GetListenerAddressRequest) (
	*protos.GetListenerAddressReply, error) {
	// Weavelets inherit their listeners. One that asks is of another make, and is not reached.
	return &protos.GetListenerAddressReply{Address: "localhost:0"}, nil
}

func (h *handler) ExportListener(ctx context.Context, req *protos.ExportListenerRequest) (
	*protos.ExportListenerReply, error) {
	err := h.deciding(ctx, func(r *Replica) error {
		r.options.Owner.Emit(event.Listening{Server: r.Server(), Listener: req.Listener, URL: control.PageURL(req.Address)})
		return nil
	})
	return &protos.ExportListenerReply{}, err
}

func (h *handler) HandleLogEntry(_ context.Context, entry *protos.LogEntry) error {
	if f := h.a.r.options.HandleLog; f != nil {
		f(entry)
	}
	return nil
}

func (h *handler) HandleTraceSpans(_ context.Context, spans *protos.TraceSpans) error {
	if f := h.a.r.options.HandleSpans; f != nil {
		f(spans)
	}
	return nil
}

// HandleReport takes what a weavelet says without being asked.
func (h *handler) HandleReport(ctx context.Context, req *protos.ReportRequest) (*protos.ReportReply, error) {
	reply := &protos.ReportReply{}
	return reply, h.deciding(ctx, func(r *Replica) error {
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
			r.warn("%s wants to end: %s", r.Name, req.Leaving)
		}

		return nil
	})
}
