package pipe

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"

	"github.com/divisi-go/divisi/internal/message"
)

// WeaveletHandler answers an envelope's requests. Its methods may be called concurrently.
type WeaveletHandler interface {
	GetHealth(context.Context, *message.GetHealthRequest) (*message.GetHealthReply, error)
	GetMetrics(context.Context, *message.GetMetricsRequest) (*message.GetMetricsReply, error)
	GetLoad(context.Context, *message.GetLoadRequest) (*message.GetLoadReply, error)
	GetProfile(context.Context, *message.GetProfileRequest) (*message.GetProfileReply, error)
	UpdateRoutingInfo(context.Context, *message.UpdateRoutingInfoRequest) (
		*message.UpdateRoutingInfoReply, error)
	UpdateComponents(context.Context, *message.UpdateComponentsRequest) (
		*message.UpdateComponentsReply, error)
	Drain(context.Context, *message.DrainRequest) (*message.DrainReply, error)
}

// Weavelet is the weavelet's end of the conversation.
type Weavelet struct {
	*conn[*message.EnvelopeMsg, *message.WeaveletMsg]
	extended bool // the envelope understands more than v0.20
	reports  bool // the envelope takes reports
}

// NewWeavelet reads the envelope's half of the handshake. Hello sends the other half.
func NewWeavelet(r io.ReadCloser, w io.WriteCloser) (*Weavelet, *message.EnvelopeInfo, error) {
	c, info, err := hear(r, w)
	if err != nil {
		return nil, nil, err
	}
	if info.App == "" || info.DeploymentId == "" || info.Id == "" {
		return nil, nil, c.Refuse("the EnvelopeInfo lacks the application, the deployment or the id")
	}
	return c, info, nil
}

// NextWeavelet is NewWeavelet of a weavelet that has conversed with other envelopes, the last of which
// has said what before has. The new one may leave out what it does not know. One that takes the weavelet
// for another, or that has been succeeded, is refused.
func NextWeavelet(r io.ReadCloser, w io.WriteCloser, before *message.EnvelopeInfo) (
	*Weavelet, *message.EnvelopeInfo, error) {
	c, info, err := hear(r, w)
	if err != nil {
		return nil, nil, err
	}
	if info.Epoch < before.Epoch {
		return nil, nil, c.Refuse(fmt.Sprintf("the deployer of epoch %d has been succeeded: "+
			"the weavelet has conversed with that of epoch %d", info.Epoch, before.Epoch))
	}
	for _, is := range []struct{ what, said, known string }{
		{"application", info.App, before.App},
		{"deployment", info.DeploymentId, before.DeploymentId},
		{"id", info.Id, before.Id},
	} {
		if is.said != "" && is.said != is.known {
			return nil, nil, c.Refuse(fmt.Sprintf("the weavelet's %s is %s, not %s", is.what, is.known, is.said))
		}
	}
	return c, info, nil
}

// hear reads the envelope's first message.
func hear(r io.ReadCloser, w io.WriteCloser) (*Weavelet, *message.EnvelopeInfo, error) {
	c := &Weavelet{conn: newConn(r, w, speech[*message.EnvelopeMsg, *message.WeaveletMsg]{
		newIn:   func() *message.EnvelopeMsg { return &message.EnvelopeMsg{} },
		newOut:  func() *message.WeaveletMsg { return &message.WeaveletMsg{} },
		split:   func(m *message.EnvelopeMsg) (int64, string) { return m.Id, m.Error },
		setID:   func(m *message.WeaveletMsg, id int64, failure string) { m.Id, m.Error = id, failure },
		dropped: func(int) *message.EnvelopeMsg { return &message.EnvelopeMsg{} }, // an envelope sends none
		cancels: func(m *message.EnvelopeMsg) int64 { return m.Cancel },
	})}

	m, err := c.receive()
	if err != nil {
		return nil, nil, err
	}
	info := m.EnvelopeInfo
	switch {
	case info == nil && m.Error != "":
		return nil, nil, fmt.Errorf("%w: %s", ErrRefused, m.Error)
	case info == nil:
		return nil, nil, errors.New("the envelope's first message is not an EnvelopeInfo")
	}

	c.extended = len(info.Features) > 0
	c.reports = slices.Contains(info.Features, message.FeatureReports)
	return c, info, nil
}

// Refuse tells the envelope, in the place of Hello, why there will be no conversation. It returns the
// same as an error, whether the envelope could be told or not.
func (c *Weavelet) Refuse(reason string) error {
	_ = c.send(&message.WeaveletMsg{Error: reason})
	return fmt.Errorf("the envelope is refused: %s", reason)
}

// Hello sends the weavelet's half of the handshake and begins to receive. An envelope that lists no
// features is told of none: it is of v0.20.
func (c *Weavelet) Hello(info *message.WeaveletInfo) error {
	if !c.extended {
		plain := *info
		plain.Features = nil
		info = &plain
	}
	if err := c.send(&message.WeaveletMsg{WeaveletInfo: info}); err != nil {
		return err
	}
	go c.read()
	return nil
}

// Serve answers requests until the conversation is over, and returns why.
func (c *Weavelet) Serve(ctx context.Context, h WeaveletHandler) error {
	return c.serve(ctx, func(ctx context.Context, m *message.EnvelopeMsg) (*message.WeaveletMsg, error) {
		out := &message.WeaveletMsg{}
		var err error
		switch {
		case m.GetHealthRequest != nil:
			out.GetHealthReply, err = h.GetHealth(ctx, m.GetHealthRequest)
			if out.GetHealthReply != nil && !c.extended {
				out.GetHealthReply = &message.GetHealthReply{Status: out.GetHealthReply.Status}
			}
			out.GetHealthReply, err = Filled(out.GetHealthReply, err)
		case m.GetMetricsRequest != nil:
			out.GetMetricsReply, err = Filled(h.GetMetrics(ctx, m.GetMetricsRequest))
		case m.GetLoadRequest != nil:
			out.GetLoadReply, err = Filled(h.GetLoad(ctx, m.GetLoadRequest))
		case m.GetProfileRequest != nil:
			out.GetProfileReply, err = Filled(h.GetProfile(ctx, m.GetProfileRequest))
		case m.UpdateRoutingInfoRequest != nil:
			out.UpdateRoutingInfoReply, err = Filled(h.UpdateRoutingInfo(ctx, m.UpdateRoutingInfoRequest))
		case m.UpdateComponentsRequest != nil:
			out.UpdateComponentsReply, err = Filled(h.UpdateComponents(ctx, m.UpdateComponentsRequest))
		case m.DrainRequest != nil:
			out.DrainReply, err = Filled(h.Drain(ctx, m.DrainRequest))
		default:
			err = Unknown(m.Id)
		}
		return out, err
	})
}

// ActivateComponent asks that a component runs somewhere.
func (c *Weavelet) ActivateComponent(ctx context.Context, r *message.ActivateComponentRequest) (
	*message.ActivateComponentReply, error) {
	return ask(ctx, c.conn, &message.WeaveletMsg{ActivateComponentRequest: r},
		func(m *message.EnvelopeMsg) *message.ActivateComponentReply { return m.ActivateComponentReply })
}

// GetListenerAddress asks where to listen.
func (c *Weavelet) GetListenerAddress(ctx context.Context, r *message.GetListenerAddressRequest) (
	*message.GetListenerAddressReply, error) {
	return ask(ctx, c.conn, &message.WeaveletMsg{GetListenerAddressRequest: r},
		func(m *message.EnvelopeMsg) *message.GetListenerAddressReply { return m.GetListenerAddressReply })
}

// ExportListener says where a listener is.
func (c *Weavelet) ExportListener(ctx context.Context, r *message.ExportListenerRequest) (
	*message.ExportListenerReply, error) {
	return ask(ctx, c.conn, &message.WeaveletMsg{ExportListenerRequest: r},
		func(m *message.EnvelopeMsg) *message.ExportListenerReply { return m.ExportListenerReply })
}

// GetSelfCertificate asks for the weavelet's certificate.
func (c *Weavelet) GetSelfCertificate(ctx context.Context, r *message.GetSelfCertificateRequest) (
	*message.GetSelfCertificateReply, error) {
	return ask(ctx, c.conn, &message.WeaveletMsg{GetSelfCertificateRequest: r},
		func(m *message.EnvelopeMsg) *message.GetSelfCertificateReply { return m.GetSelfCertificateReply })
}

// VerifyClientCertificate asks who a client is.
func (c *Weavelet) VerifyClientCertificate(ctx context.Context, r *message.VerifyClientCertificateRequest) (
	*message.VerifyClientCertificateReply, error) {
	return ask(ctx, c.conn, &message.WeaveletMsg{VerifyClientCertificateRequest: r},
		func(m *message.EnvelopeMsg) *message.VerifyClientCertificateReply {
			return m.VerifyClientCertificateReply
		})
}

// VerifyServerCertificate asks whether a server may host a component.
func (c *Weavelet) VerifyServerCertificate(ctx context.Context, r *message.VerifyServerCertificateRequest) (
	*message.VerifyServerCertificateReply, error) {
	return ask(ctx, c.conn, &message.WeaveletMsg{VerifyServerCertificateRequest: r},
		func(m *message.EnvelopeMsg) *message.VerifyServerCertificateReply {
			return m.VerifyServerCertificateReply
		})
}

// Report says something that the envelope has not asked for. The error is errors.ErrUnsupported if
// the envelope takes no reports.
func (c *Weavelet) Report(ctx context.Context, r *message.ReportRequest) (*message.ReportReply, error) {
	if !c.reports {
		return nil, fmt.Errorf("the envelope takes no reports: %w", errors.ErrUnsupported)
	}
	return ask(ctx, c.conn, &message.WeaveletMsg{ReportRequest: r},
		func(m *message.EnvelopeMsg) *message.ReportReply { return m.ReportReply })
}

// SendLogEntry sends a log entry, which is not answered.
func (c *Weavelet) SendLogEntry(e *message.LogEntry) error {
	return c.send(&message.WeaveletMsg{LogEntry: e})
}

// SendTraceSpans sends spans, which are not answered.
func (c *Weavelet) SendTraceSpans(s *message.TraceSpans) error {
	return c.send(&message.WeaveletMsg{TraceSpans: s})
}
