package pipe

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"

	"github.com/divisi-go/divisi/envelope/protomsg"
	"github.com/divisi-go/divisi/envelope/protos"
)

// WeaveletHandler answers an envelope's requests. Its methods may be called concurrently.
type WeaveletHandler interface {
	GetHealth(context.Context, *protos.GetHealthRequest) (*protos.GetHealthReply, error)
	GetMetrics(context.Context, *protos.GetMetricsRequest) (*protos.GetMetricsReply, error)
	GetLoad(context.Context, *protos.GetLoadRequest) (*protos.GetLoadReply, error)
	GetProfile(context.Context, *protos.GetProfileRequest) (*protos.GetProfileReply, error)
	UpdateRoutingInfo(context.Context, *protos.UpdateRoutingInfoRequest) (
		*protos.UpdateRoutingInfoReply, error)
	UpdateComponents(context.Context, *protos.UpdateComponentsRequest) (
		*protos.UpdateComponentsReply, error)
	Drain(context.Context, *protos.DrainRequest) (*protos.DrainReply, error)
}

// Weavelet is the weavelet's end of the conversation.
type Weavelet struct {
	conn[*protos.EnvelopeMsg, *protos.WeaveletMsg]
	extended bool // the envelope understands more than v0.20
	reports  bool // the envelope takes reports
}

// NewWeavelet reads the envelope's half of the handshake. Hello sends the other half.
func NewWeavelet(r io.ReadCloser, w io.WriteCloser) (*Weavelet, *protos.EnvelopeInfo, error) {
	c := &Weavelet{conn: conn[*protos.EnvelopeMsg, *protos.WeaveletMsg]{
		r: r, w: w,
		newIn:   func() *protos.EnvelopeMsg { return &protos.EnvelopeMsg{} },
		newOut:  func() *protos.WeaveletMsg { return &protos.WeaveletMsg{} },
		split:   func(m *protos.EnvelopeMsg) (int64, string) { return m.Id, m.Error },
		setID:   func(m *protos.WeaveletMsg, id int64, failure string) { m.Id, m.Error = id, failure },
		dropped: func(int) *protos.EnvelopeMsg { return &protos.EnvelopeMsg{} }, // an envelope sends none
	}}
	c.init()
	m := c.newIn()
	if err := protomsg.Read(r, m); err != nil {
		return nil, nil, err
	}
	info := m.EnvelopeInfo
	switch {
	case info == nil:
		return nil, nil, errors.New("the envelope's first message is not an EnvelopeInfo")
	case info.App == "" || info.DeploymentId == "" || info.Id == "":
		return nil, nil, errors.New("the EnvelopeInfo lacks the application, the deployment or the id")
	}
	c.extended = len(info.Features) > 0
	c.reports = slices.Contains(info.Features, protos.FeatureReports)
	return c, info, nil
}

// Hello sends the weavelet's half of the handshake and begins to receive. An envelope that lists no
// features is told of none: it is of v0.20.
func (c *Weavelet) Hello(info *protos.WeaveletInfo) error {
	if !c.extended {
		plain := *info
		plain.Features = nil
		info = &plain
	}
	if err := c.send(&protos.WeaveletMsg{WeaveletInfo: info}); err != nil {
		return err
	}
	go c.read()
	return nil
}

// Serve answers requests until the conversation is over, and returns why.
func (c *Weavelet) Serve(ctx context.Context, h WeaveletHandler) error {
	return c.serve(ctx, func(ctx context.Context, m *protos.EnvelopeMsg) (*protos.WeaveletMsg, error) {
		out := &protos.WeaveletMsg{}
		var err error
		switch {
		case m.GetHealthRequest != nil:
			out.GetHealthReply, err = h.GetHealth(ctx, m.GetHealthRequest)
			if out.GetHealthReply != nil && !c.extended {
				out.GetHealthReply = &protos.GetHealthReply{Status: out.GetHealthReply.Status}
			}
			out.GetHealthReply, err = filled(out.GetHealthReply, err)
		case m.GetMetricsRequest != nil:
			out.GetMetricsReply, err = filled(h.GetMetrics(ctx, m.GetMetricsRequest))
		case m.GetLoadRequest != nil:
			out.GetLoadReply, err = filled(h.GetLoad(ctx, m.GetLoadRequest))
		case m.GetProfileRequest != nil:
			out.GetProfileReply, err = filled(h.GetProfile(ctx, m.GetProfileRequest))
		case m.UpdateRoutingInfoRequest != nil:
			out.UpdateRoutingInfoReply, err = filled(h.UpdateRoutingInfo(ctx, m.UpdateRoutingInfoRequest))
		case m.UpdateComponentsRequest != nil:
			out.UpdateComponentsReply, err = filled(h.UpdateComponents(ctx, m.UpdateComponentsRequest))
		case m.DrainRequest != nil:
			out.DrainReply, err = filled(h.Drain(ctx, m.DrainRequest))
		default:
			err = errUnknown(m.Id)
		}
		return out, err
	})
}

// ActivateComponent asks that a component runs somewhere.
func (c *Weavelet) ActivateComponent(ctx context.Context, r *protos.ActivateComponentRequest) (
	*protos.ActivateComponentReply, error) {
	in, err := c.call(ctx, &protos.WeaveletMsg{ActivateComponentRequest: r})
	if err != nil {
		return nil, err
	}
	return orEmpty(in.ActivateComponentReply), nil
}

// GetListenerAddress asks where to listen.
func (c *Weavelet) GetListenerAddress(ctx context.Context, r *protos.GetListenerAddressRequest) (
	*protos.GetListenerAddressReply, error) {
	in, err := c.call(ctx, &protos.WeaveletMsg{GetListenerAddressRequest: r})
	if err != nil {
		return nil, err
	}
	return orEmpty(in.GetListenerAddressReply), nil
}

// ExportListener says where a listener is.
func (c *Weavelet) ExportListener(ctx context.Context, r *protos.ExportListenerRequest) (
	*protos.ExportListenerReply, error) {
	in, err := c.call(ctx, &protos.WeaveletMsg{ExportListenerRequest: r})
	if err != nil {
		return nil, err
	}
	return orEmpty(in.ExportListenerReply), nil
}

// GetSelfCertificate asks for the weavelet's certificate.
func (c *Weavelet) GetSelfCertificate(ctx context.Context, r *protos.GetSelfCertificateRequest) (
	*protos.GetSelfCertificateReply, error) {
	in, err := c.call(ctx, &protos.WeaveletMsg{GetSelfCertificateRequest: r})
	if err != nil {
		return nil, err
	}
	return orEmpty(in.GetSelfCertificateReply), nil
}

// VerifyClientCertificate asks who a client is.
func (c *Weavelet) VerifyClientCertificate(ctx context.Context, r *protos.VerifyClientCertificateRequest) (
	*protos.VerifyClientCertificateReply, error) {
	in, err := c.call(ctx, &protos.WeaveletMsg{VerifyClientCertificateRequest: r})
	if err != nil {
		return nil, err
	}
	return orEmpty(in.VerifyClientCertificateReply), nil
}

// VerifyServerCertificate asks whether a server may host a component.
func (c *Weavelet) VerifyServerCertificate(ctx context.Context, r *protos.VerifyServerCertificateRequest) (
	*protos.VerifyServerCertificateReply, error) {
	in, err := c.call(ctx, &protos.WeaveletMsg{VerifyServerCertificateRequest: r})
	if err != nil {
		return nil, err
	}
	return orEmpty(in.VerifyServerCertificateReply), nil
}

// Report says something that the envelope has not asked for. The error is errors.ErrUnsupported if
// the envelope takes no reports.
func (c *Weavelet) Report(ctx context.Context, r *protos.ReportRequest) (*protos.ReportReply, error) {
	if !c.reports {
		return nil, fmt.Errorf("the envelope takes no reports: %w", errors.ErrUnsupported)
	}
	in, err := c.call(ctx, &protos.WeaveletMsg{ReportRequest: r})
	if err != nil {
		return nil, err
	}
	return orEmpty(in.ReportReply), nil
}

// SendLogEntry sends a log entry, which is not answered.
func (c *Weavelet) SendLogEntry(e *protos.LogEntry) error {
	return c.send(&protos.WeaveletMsg{LogEntry: e})
}

// SendTraceSpans sends spans, which are not answered.
func (c *Weavelet) SendTraceSpans(s *protos.TraceSpans) error {
	return c.send(&protos.WeaveletMsg{TraceSpans: s})
}
