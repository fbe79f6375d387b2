package session

import (
	"context"
	"errors"

	"github.com/divisi-go/divisi/internal/message"
	"github.com/divisi-go/divisi/internal/pipe"
)

// ask asks the deployer. If there is none, or it goes before it has answered, the next one is asked.
// Requests mean the same when they come twice.
func ask[Request, Reply any](ctx context.Context, s *Session, r Request,
	f func(*pipe.Weavelet, context.Context, Request) (Reply, error)) (reply Reply, err error) {
	var c *pipe.Weavelet
	for {
		if c, err = s.after(ctx, c); err != nil {
			return reply, err
		}
		reply, err = f(c, ctx, r)
		if s.dial == nil || !errors.Is(err, pipe.ErrClosed) {
			return reply, err
		}
	}
}

// tell tells the deployer something that is not answered, as ask asks.
func tell[Content any](s *Session, content Content, f func(*pipe.Weavelet, Content) error) error {
	_, err := ask(context.Background(), s, content, func(c *pipe.Weavelet, _ context.Context, content Content) (any, error) {
		return nil, f(c, content)
	})
	return err
}

// ActivateComponent asks that a component runs somewhere.
func (s *Session) ActivateComponent(ctx context.Context, r *message.ActivateComponentRequest) (
	*message.ActivateComponentReply, error) {
	return ask(ctx, s, r, (*pipe.Weavelet).ActivateComponent)
}

// GetListenerAddress asks where to listen.
func (s *Session) GetListenerAddress(ctx context.Context, r *message.GetListenerAddressRequest) (
	*message.GetListenerAddressReply, error) {
	return ask(ctx, s, r, (*pipe.Weavelet).GetListenerAddress)
}

// ExportListener says where a listener is.
func (s *Session) ExportListener(ctx context.Context, r *message.ExportListenerRequest) (
	*message.ExportListenerReply, error) {
	return ask(ctx, s, r, (*pipe.Weavelet).ExportListener)
}

// GetSelfCertificate asks for the weavelet's certificate.
func (s *Session) GetSelfCertificate(ctx context.Context, r *message.GetSelfCertificateRequest) (
	*message.GetSelfCertificateReply, error) {
	return ask(ctx, s, r, (*pipe.Weavelet).GetSelfCertificate)
}

// VerifyClientCertificate asks who a client is.
func (s *Session) VerifyClientCertificate(ctx context.Context, r *message.VerifyClientCertificateRequest) (
	*message.VerifyClientCertificateReply, error) {
	return ask(ctx, s, r, (*pipe.Weavelet).VerifyClientCertificate)
}

// VerifyServerCertificate asks whether a server may host a component.
func (s *Session) VerifyServerCertificate(ctx context.Context, r *message.VerifyServerCertificateRequest) (
	*message.VerifyServerCertificateReply, error) {
	return ask(ctx, s, r, (*pipe.Weavelet).VerifyServerCertificate)
}

// Report says something that the deployer has not asked for.
func (s *Session) Report(ctx context.Context, r *message.ReportRequest) (*message.ReportReply, error) {
	return ask(ctx, s, r, (*pipe.Weavelet).Report)
}

// SendLogEntry sends a log entry. It waits until there is a deployer.
func (s *Session) SendLogEntry(e *message.LogEntry) error {
	return tell(s, e, (*pipe.Weavelet).SendLogEntry)
}

// SendTraceSpans sends spans. It waits until there is a deployer.
func (s *Session) SendTraceSpans(spans *message.TraceSpans) error {
	return tell(s, spans, (*pipe.Weavelet).SendTraceSpans)
}
