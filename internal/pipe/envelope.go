package pipe

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"slices"
	"time"

	"github.com/divisi-go/divisi/internal/logline"
	"github.com/divisi-go/divisi/internal/message"
)

// Envelope is the envelope's end of the conversation.
type Envelope struct {
	*conn[*message.WeaveletMsg, *message.EnvelopeMsg]
	extended bool // the weavelet understands more than v0.20
	verifies bool // the weavelet judges certificates itself if it is told by what
}

// NewEnvelope does the handshake and begins to receive. Requests of the weavelet wait for Serve.
func NewEnvelope(r io.ReadCloser, w io.WriteCloser, info *message.EnvelopeInfo) (
	*Envelope, *message.WeaveletInfo, error) {
	c := &Envelope{conn: newConn(r, w, speech[*message.WeaveletMsg, *message.EnvelopeMsg]{
		newIn:   func() *message.WeaveletMsg { return &message.WeaveletMsg{} },
		newOut:  func() *message.EnvelopeMsg { return &message.EnvelopeMsg{} },
		split:   func(m *message.WeaveletMsg) (int64, string) { return m.Id, m.Error },
		setID:   func(m *message.EnvelopeMsg, id int64, failure string) { m.Id, m.Error = id, failure },
		dropped: func(n int) *message.WeaveletMsg { return dropped(info, n) },
		cancels: func(*message.WeaveletMsg) int64 { return 0 },
	})}
	if err := c.send(&message.EnvelopeMsg{EnvelopeInfo: info}); err != nil {
		return nil, nil, err
	}

	m, err := c.receive()
	if err != nil {
		return nil, nil, fmt.Errorf("cannot read the weavelet's handshake: %w", err)
	}
	reply := m.WeaveletInfo
	switch {
	case reply == nil && m.Error != "":
		return nil, nil, fmt.Errorf("%w: %s", ErrRefused, m.Error)
	case reply == nil:
		return nil, nil, errors.New("the weavelet's first message is not a WeaveletInfo")
	case reply.DialAddr == "":
		return nil, nil, errors.New("the WeaveletInfo lacks the address")
	}

	c.extended = len(reply.Features) > 0
	c.verifies = slices.Contains(reply.Features, message.FeatureLocalVerify)
	if c.extended {
		c.cancel = func(id int64) *message.EnvelopeMsg { return &message.EnvelopeMsg{Cancel: id} }
	}
	go c.read()
	return c, reply, nil
}

// dropped is an entry that stands in for messages that were dropped.
func dropped(info *message.EnvelopeInfo, n int) *message.WeaveletMsg {
	return &message.WeaveletMsg{LogEntry: &message.LogEntry{
		App: info.App, Version: info.DeploymentId, Node: info.Id, Level: slog.LevelWarn.String(),
		TimeMicros: time.Now().UnixMicro(),
		Msg:        logline.Dropped(int64(n), "messages"),
	}}
}

// Serve answers requests, concurrently, and takes what the weavelet sends without waiting for an
// answer, in order. It returns when the conversation is over, and why. Trust is told only to a weavelet
// that knows what to do with it.
func (c *Envelope) Serve(ctx context.Context,
	handle func(context.Context, *message.WeaveletMsg) (*message.EnvelopeMsg, error)) error {
	return c.serve(ctx, func(ctx context.Context, m *message.WeaveletMsg) (*message.EnvelopeMsg, error) {
		out, err := handle(ctx, m)
		if out != nil && out.GetSelfCertificateReply != nil && !c.verifies {
			reply := out.GetSelfCertificateReply
			out.GetSelfCertificateReply = &message.GetSelfCertificateReply{Cert: reply.Cert, Key: reply.Key}
		}
		return out, err
	})
}

// GetHealth asks whether the weavelet lives.
func (c *Envelope) GetHealth(ctx context.Context, r *message.GetHealthRequest) (*message.GetHealthReply, error) {
	return ask(ctx, c.conn, &message.EnvelopeMsg{GetHealthRequest: r},
		func(m *message.WeaveletMsg) *message.GetHealthReply { return m.GetHealthReply })
}

// GetMetrics asks for metrics.
func (c *Envelope) GetMetrics(ctx context.Context, r *message.GetMetricsRequest) (*message.GetMetricsReply, error) {
	return ask(ctx, c.conn, &message.EnvelopeMsg{GetMetricsRequest: r},
		func(m *message.WeaveletMsg) *message.GetMetricsReply { return m.GetMetricsReply })
}

// GetLoad asks for the load of routed components.
func (c *Envelope) GetLoad(ctx context.Context, r *message.GetLoadRequest) (*message.GetLoadReply, error) {
	return ask(ctx, c.conn, &message.EnvelopeMsg{GetLoadRequest: r},
		func(m *message.WeaveletMsg) *message.GetLoadReply { return m.GetLoadReply })
}

// GetProfile asks for a profile.
func (c *Envelope) GetProfile(ctx context.Context, r *message.GetProfileRequest) (*message.GetProfileReply, error) {
	return ask(ctx, c.conn, &message.EnvelopeMsg{GetProfileRequest: r},
		func(m *message.WeaveletMsg) *message.GetProfileReply { return m.GetProfileReply })
}

// UpdateRoutingInfo says where a component is.
func (c *Envelope) UpdateRoutingInfo(ctx context.Context, r *message.UpdateRoutingInfoRequest) (
	*message.UpdateRoutingInfoReply, error) {
	return ask(ctx, c.conn, &message.EnvelopeMsg{UpdateRoutingInfoRequest: r},
		func(m *message.WeaveletMsg) *message.UpdateRoutingInfoReply { return m.UpdateRoutingInfoReply })
}

// UpdateComponents says which components are to run in the weavelet.
func (c *Envelope) UpdateComponents(ctx context.Context, r *message.UpdateComponentsRequest) (
	*message.UpdateComponentsReply, error) {
	return ask(ctx, c.conn, &message.EnvelopeMsg{UpdateComponentsRequest: r},
		func(m *message.WeaveletMsg) *message.UpdateComponentsReply { return m.UpdateComponentsReply })
}

// Drain asks to end calls and listeners in order. A weavelet of v0.20 would end at a request that it
// does not know, and is not asked.
func (c *Envelope) Drain(ctx context.Context, r *message.DrainRequest) (*message.DrainReply, error) {
	if !c.extended {
		return nil, fmt.Errorf("the weavelet lists no features, so it cannot drain: %w",
			errors.ErrUnsupported)
	}
	return ask(ctx, c.conn, &message.EnvelopeMsg{DrainRequest: r},
		func(m *message.WeaveletMsg) *message.DrainReply { return m.DrainReply })
}
