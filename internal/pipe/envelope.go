package pipe

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/divisi-go/divisi/envelope/protomsg"
	"github.com/divisi-go/divisi/envelope/protos"
)

// EnvelopeHandler answers a weavelet's requests, concurrently, and takes what it sends without
// waiting for an answer, in order.
type EnvelopeHandler interface {
	ActivateComponent(context.Context, *protos.ActivateComponentRequest) (
		*protos.ActivateComponentReply, error)
	GetListenerAddress(context.Context, *protos.GetListenerAddressRequest) (
		*protos.GetListenerAddressReply, error)
	ExportListener(context.Context, *protos.ExportListenerRequest) (
		*protos.ExportListenerReply, error)
	GetSelfCertificate(context.Context, *protos.GetSelfCertificateRequest) (
		*protos.GetSelfCertificateReply, error)
	VerifyClientCertificate(context.Context, *protos.VerifyClientCertificateRequest) (
		*protos.VerifyClientCertificateReply, error)
	VerifyServerCertificate(context.Context, *protos.VerifyServerCertificateRequest) (
		*protos.VerifyServerCertificateReply, error)
	HandleLogEntry(context.Context, *protos.LogEntry) error
	HandleTraceSpans(context.Context, *protos.TraceSpans) error
}

// ReportHandler is an EnvelopeHandler that takes reports, too. Weavelets send them to envelopes that
// list the feature.
type ReportHandler interface {
	HandleReport(context.Context, *protos.ReportRequest) (*protos.ReportReply, error)
}

// Envelope is the envelope's end of the conversation.
type Envelope struct {
	conn[*protos.WeaveletMsg, *protos.EnvelopeMsg]
	extended bool // the weavelet understands more than v0.20
}

// NewEnvelope does the handshake and begins to receive. Requests of the weavelet wait for Serve.
func NewEnvelope(r io.ReadCloser, w io.WriteCloser, info *protos.EnvelopeInfo) (
	*Envelope, *protos.WeaveletInfo, error) {
	c := &Envelope{conn: conn[*protos.WeaveletMsg, *protos.EnvelopeMsg]{
		r: r, w: w,
		newIn:  func() *protos.WeaveletMsg { return &protos.WeaveletMsg{} },
		newOut: func() *protos.EnvelopeMsg { return &protos.EnvelopeMsg{} },
		split:  func(m *protos.WeaveletMsg) (int64, string) { return m.Id, m.Error },
		setID:  func(m *protos.EnvelopeMsg, id int64, failure string) { m.Id, m.Error = id, failure },
		dropped: func(n int) *protos.WeaveletMsg {
			return &protos.WeaveletMsg{LogEntry: &protos.LogEntry{
				App: info.App, Version: info.DeploymentId, Node: info.Id, Level: "warn",
				TimeMicros: time.Now().UnixMicro(),
				Msg:        fmt.Sprintf("%d messages dropped: they came faster than they were handled", n),
			}}
		},
	}}
	c.init()
	if err := c.send(&protos.EnvelopeMsg{EnvelopeInfo: info}); err != nil {
		return nil, nil, err
	}
	m := c.newIn()
	if err := protomsg.Read(r, m); err != nil {
		return nil, nil, fmt.Errorf("cannot read the weavelet's handshake: %w", err)
	}
	reply := m.WeaveletInfo
	switch {
	case reply == nil:
		return nil, nil, errors.New("the weavelet's first message is not a WeaveletInfo")
	case reply.DialAddr == "":
		return nil, nil, errors.New("the WeaveletInfo lacks the address")
	}
	c.extended = len(reply.Features) > 0
	go c.read()
	return c, reply, nil
}

// Serve answers requests until the conversation is over, and returns why.
func (c *Envelope) Serve(ctx context.Context, h EnvelopeHandler) error {
	return c.serve(ctx, func(ctx context.Context, m *protos.WeaveletMsg) (*protos.EnvelopeMsg, error) {
		out := &protos.EnvelopeMsg{}
		var err error
		switch {
		case m.LogEntry != nil:
			err = h.HandleLogEntry(ctx, m.LogEntry)
		case m.TraceSpans != nil:
			err = h.HandleTraceSpans(ctx, m.TraceSpans)
		case m.ActivateComponentRequest != nil:
			out.ActivateComponentReply, err = filled(h.ActivateComponent(ctx, m.ActivateComponentRequest))
		case m.GetListenerAddressRequest != nil:
			out.GetListenerAddressReply, err = filled(h.GetListenerAddress(ctx, m.GetListenerAddressRequest))
		case m.ExportListenerRequest != nil:
			out.ExportListenerReply, err = filled(h.ExportListener(ctx, m.ExportListenerRequest))
		case m.GetSelfCertificateRequest != nil:
			out.GetSelfCertificateReply, err = filled(h.GetSelfCertificate(ctx, m.GetSelfCertificateRequest))
		case m.VerifyClientCertificateRequest != nil:
			out.VerifyClientCertificateReply, err = filled(h.VerifyClientCertificate(ctx, m.VerifyClientCertificateRequest))
		case m.VerifyServerCertificateRequest != nil:
			out.VerifyServerCertificateReply, err = filled(h.VerifyServerCertificate(ctx, m.VerifyServerCertificateRequest))
		case m.ReportRequest != nil:
			reporter, ok := h.(ReportHandler)
			if !ok {
				return out, errUnknown(m.Id)
			}
			out.ReportReply, err = filled(reporter.HandleReport(ctx, m.ReportRequest))
		default:
			err = errUnknown(m.Id)
		}
		return out, err
	})
}

// GetHealth asks whether the weavelet lives.
func (c *Envelope) GetHealth(ctx context.Context, r *protos.GetHealthRequest) (
	*protos.GetHealthReply, error) {
	in, err := c.call(ctx, &protos.EnvelopeMsg{GetHealthRequest: r})
	if err != nil {
		return nil, err
	}
	return orEmpty(in.GetHealthReply), nil
}

// GetMetrics asks for metrics.
func (c *Envelope) GetMetrics(ctx context.Context, r *protos.GetMetricsRequest) (
	*protos.GetMetricsReply, error) {
	in, err := c.call(ctx, &protos.EnvelopeMsg{GetMetricsRequest: r})
	if err != nil {
		return nil, err
	}
	return orEmpty(in.GetMetricsReply), nil
}

// GetLoad asks for the load of routed components.
func (c *Envelope) GetLoad(ctx context.Context, r *protos.GetLoadRequest) (
	*protos.GetLoadReply, error) {
	in, err := c.call(ctx, &protos.EnvelopeMsg{GetLoadRequest: r})
	if err != nil {
		return nil, err
	}
	return orEmpty(in.GetLoadReply), nil
}

// GetProfile asks for a profile.
func (c *Envelope) GetProfile(ctx context.Context, r *protos.GetProfileRequest) (
	*protos.GetProfileReply, error) {
	in, err := c.call(ctx, &protos.EnvelopeMsg{GetProfileRequest: r})
	if err != nil {
		return nil, err
	}
	return orEmpty(in.GetProfileReply), nil
}

// UpdateRoutingInfo says where a component is.
func (c *Envelope) UpdateRoutingInfo(ctx context.Context, r *protos.UpdateRoutingInfoRequest) (
	*protos.UpdateRoutingInfoReply, error) {
	in, err := c.call(ctx, &protos.EnvelopeMsg{UpdateRoutingInfoRequest: r})
	if err != nil {
		return nil, err
	}
	return orEmpty(in.UpdateRoutingInfoReply), nil
}

// UpdateComponents says which components are to run in the weavelet.
func (c *Envelope) UpdateComponents(ctx context.Context, r *protos.UpdateComponentsRequest) (
	*protos.UpdateComponentsReply, error) {
	in, err := c.call(ctx, &protos.EnvelopeMsg{UpdateComponentsRequest: r})
	if err != nil {
		return nil, err
	}
	return orEmpty(in.UpdateComponentsReply), nil
}

// Drain asks to end calls and listeners in order. A weavelet of v0.20 would end at a request that it
// does not know, and is not asked.
func (c *Envelope) Drain(ctx context.Context, r *protos.DrainRequest) (
	*protos.DrainReply, error) {
	if !c.extended {
		return nil, fmt.Errorf("the weavelet lists no features, so it cannot drain: %w",
			errors.ErrUnsupported)
	}
	in, err := c.call(ctx, &protos.EnvelopeMsg{DrainRequest: r})
	if err != nil {
		return nil, err
	}
	return orEmpty(in.DrainReply), nil
}
