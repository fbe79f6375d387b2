package envelope

import (
	"context"
	"sync"

	"github.com/divisi-go/divisi/envelope/protos"
	"github.com/divisi-go/divisi/internal/pipe"
)

// EnvelopeHandler answers what a weavelet asks, and takes what it tells. Requests are answered
// concurrently; log entries and spans come one after the other, in order.
type EnvelopeHandler interface {
	// ActivateComponent ensures that a component runs, and remembers that the weavelet wants
	// to be told where, by Envelope.UpdateRoutingInfo.
	ActivateComponent(context.Context, *protos.ActivateComponentRequest) (*protos.ActivateComponentReply, error)

	// GetListenerAddress returns where the weavelet should listen.
	GetListenerAddress(context.Context, *protos.GetListenerAddressRequest) (*protos.GetListenerAddressReply, error)

	// ExportListener is told where the weavelet listens.
	ExportListener(context.Context, *protos.ExportListenerRequest) (*protos.ExportListenerReply, error)

	// HandleLogEntry takes a log entry.
	HandleLogEntry(context.Context, *protos.LogEntry) error

	// HandleTraceSpans takes spans.
	HandleTraceSpans(context.Context, *protos.TraceSpans) error

	// GetSelfCertificate returns the weavelet's certificate. This method and the next two are
	// called only if EnvelopeInfo.Mtls is set, and those two only until Trust is in the reply.
	GetSelfCertificate(context.Context, *protos.GetSelfCertificateRequest) (*protos.GetSelfCertificateReply, error)

	// VerifyClientCertificate returns what the owner of a certificate may call.
	VerifyClientCertificate(context.Context, *protos.VerifyClientCertificateRequest) (*protos.VerifyClientCertificateReply, error)

	// VerifyServerCertificate returns an error unless the owner of a certificate may host a
	// component.
	VerifyServerCertificate(context.Context, *protos.VerifyServerCertificateRequest) (*protos.VerifyServerCertificateReply, error)
}

// ReportHandler is an EnvelopeHandler that takes reports, too. It is an extension: weavelets send them
// if EnvelopeInfo.Features has protos.FeatureReports.
type ReportHandler interface {
	// HandleReport takes what a weavelet says without being asked.
	HandleReport(context.Context, *protos.ReportRequest) (*protos.ReportReply, error)
}

// dispatcher hands on what arrives, one log entry or message of spans at a time: log entries come
// from the conversation and from what the process prints.
type dispatcher struct {
	handler EnvelopeHandler
	inOrder sync.Mutex // held while what has an order is handled
}

// handle handles a message.
func (d *dispatcher) handle(ctx context.Context, m *protos.WeaveletMsg) (*protos.EnvelopeMsg, error) {
	h, out := d.handler, &protos.EnvelopeMsg{}
	var err error
	switch {
	case m.LogEntry != nil:
		err = d.logEntry(ctx, m.LogEntry)
	case m.TraceSpans != nil:
		err = d.traceSpans(ctx, m.TraceSpans)
	case m.ActivateComponentRequest != nil:
		out.ActivateComponentReply, err = pipe.Filled(h.ActivateComponent(ctx, m.ActivateComponentRequest))
	case m.GetListenerAddressRequest != nil:
		out.GetListenerAddressReply, err = pipe.Filled(h.GetListenerAddress(ctx, m.GetListenerAddressRequest))
	case m.ExportListenerRequest != nil:
		out.ExportListenerReply, err = pipe.Filled(h.ExportListener(ctx, m.ExportListenerRequest))
	case m.GetSelfCertificateRequest != nil:
		out.GetSelfCertificateReply, err = pipe.Filled(h.GetSelfCertificate(ctx, m.GetSelfCertificateRequest))
	case m.VerifyClientCertificateRequest != nil:
		out.VerifyClientCertificateReply, err = pipe.Filled(h.VerifyClientCertificate(ctx, m.VerifyClientCertificateRequest))
	case m.VerifyServerCertificateRequest != nil:
		out.VerifyServerCertificateReply, err = pipe.Filled(h.VerifyServerCertificate(ctx, m.VerifyServerCertificateRequest))
	case m.ReportRequest != nil:
		reporter, ok := h.(ReportHandler)
		if !ok {
			return out, pipe.Unknown(m.Id)
		}
		out.ReportReply, err = pipe.Filled(reporter.HandleReport(ctx, m.ReportRequest))
	default:
		err = pipe.Unknown(m.Id)
	}
	return out, err
}

func (d *dispatcher) logEntry(ctx context.Context, entry *protos.LogEntry) error {
	d.inOrder.Lock()
	defer d.inOrder.Unlock()
	return d.handler.HandleLogEntry(ctx, entry)
}

func (d *dispatcher) traceSpans(ctx context.Context, spans *protos.TraceSpans) error {
	d.inOrder.Lock()
	defer d.inOrder.Unlock()
	return d.handler.HandleTraceSpans(ctx, spans)
}
