package pipe

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"github.com/divisi-go/divisi/envelope/protos"
)

// heard are the requests that a handler has had.
type heard struct {
	mu  sync.Mutex
	all []string
}

func (h *heard) hear(format string, args ...any) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.all = append(h.all, fmt.Sprintf(format, args...))
	return errors.New("heard")
}

type recordingEnvelope struct {
	EnvelopeHandler
	heard
}

func (h *recordingEnvelope) ActivateComponent(_ context.Context, r *protos.ActivateComponentRequest) (*protos.ActivateComponentReply, error) {
	return nil, h.hear("activate %s", r.Component)
}

func (h *recordingEnvelope) GetListenerAddress(_ context.Context, r *protos.GetListenerAddressRequest) (*protos.GetListenerAddressReply, error) {
	return nil, h.hear("address %s", r.Name)
}

func (h *recordingEnvelope) ExportListener(_ context.Context, r *protos.ExportListenerRequest) (*protos.ExportListenerReply, error) {
	return nil, h.hear("export %s", r.Listener)
}

func (h *recordingEnvelope) GetSelfCertificate(context.Context, *protos.GetSelfCertificateRequest) (*protos.GetSelfCertificateReply, error) {
	return nil, h.hear("certificate")
}

func (h *recordingEnvelope) VerifyClientCertificate(_ context.Context, r *protos.VerifyClientCertificateRequest) (*protos.VerifyClientCertificateReply, error) {
	return nil, h.hear("client %s", r.CertChain[0])
}

func (h *recordingEnvelope) VerifyServerCertificate(_ context.Context, r *protos.VerifyServerCertificateRequest) (*protos.VerifyServerCertificateReply, error) {
	return nil, h.hear("server %s", r.TargetComponent)
}

type recordingWeavelet struct {
	WeaveletHandler
	heard
}

func (h *recordingWeavelet) GetMetrics(context.Context, *protos.GetMetricsRequest) (*protos.GetMetricsReply, error) {
	return nil, h.hear("metrics")
}

func (h *recordingWeavelet) GetLoad(context.Context, *protos.GetLoadRequest) (*protos.GetLoadReply, error) {
	return nil, h.hear("load")
}

func (h *recordingWeavelet) GetProfile(_ context.Context, r *protos.GetProfileRequest) (*protos.GetProfileReply, error) {
	return nil, h.hear("profile %d", r.CpuDurationNs)
}

func (h *recordingWeavelet) UpdateComponents(_ context.Context, r *protos.UpdateComponentsRequest) (*protos.UpdateComponentsReply, error) {
	return nil, h.hear("components %v", r.Components)
}

func (h *recordingWeavelet) Drain(_ context.Context, r *protos.DrainRequest) (*protos.DrainReply, error) {
	return nil, h.hear("drain %d", r.TimeoutMicros)
}
