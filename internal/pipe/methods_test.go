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

type recordingEnvelope struct{ heard }

func (h *recordingEnvelope) handle(_ context.Context, m *protos.WeaveletMsg) (*protos.EnvelopeMsg, error) {
	out := &protos.EnvelopeMsg{}
	switch {
	case m.ActivateComponentRequest != nil:
		return out, h.hear("activate %s", m.ActivateComponentRequest.Component)
	case m.GetListenerAddressRequest != nil:
		return out, h.hear("address %s", m.GetListenerAddressRequest.Name)
	case m.ExportListenerRequest != nil:
		return out, h.hear("export %s", m.ExportListenerRequest.Listener)
	case m.GetSelfCertificateRequest != nil:
		return out, h.hear("certificate")
	case m.VerifyClientCertificateRequest != nil:
		return out, h.hear("client %s", m.VerifyClientCertificateRequest.CertChain[0])
	case m.VerifyServerCertificateRequest != nil:
		return out, h.hear("server %s", m.VerifyServerCertificateRequest.TargetComponent)
	}
	return out, Unknown(m.Id)
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
