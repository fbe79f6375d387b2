package envelope

import (
	"context"
	"errors"
	"time"

	"github.com/divisi-go/divisi/envelope/metrics"
	"github.com/divisi-go/divisi/envelope/protos"
	"github.com/divisi-go/divisi/internal/pipe"
)

// UpdateRoutingInfo tells the weavelet where a component is.
func (e *Envelope) UpdateRoutingInfo(routing *protos.RoutingInfo) error {
	_, err := e.conversation.UpdateRoutingInfo(e.ctx,
		&protos.UpdateRoutingInfoRequest{RoutingInfo: routing})
	return err
}

// UpdateComponents tells the weavelet which components to run. The set may only grow.
func (e *Envelope) UpdateComponents(components []string) error {
	_, err := e.conversation.UpdateComponents(e.ctx,
		&protos.UpdateComponentsRequest{Components: components})
	return err
}

// GetHealth returns whether the weavelet lives: UNHEALTHY if it has not answered in time,
// TERMINATED if it has ended, and UNKNOWN if it has dialled and may have ended.
func (e *Envelope) GetHealth() protos.HealthStatus {
	ctx, cancel := context.WithTimeout(e.ctx, healthTime)
	defer cancel()
	reply, err := e.Health(ctx)
	switch {
	case err == nil:
		return reply.Status
	case errors.Is(err, pipe.ErrClosed) && e.dialled:
		return protos.HealthStatus_UNKNOWN
	case errors.Is(err, pipe.ErrClosed):
		return protos.HealthStatus_TERMINATED
	}
	return protos.HealthStatus_UNHEALTHY
}

// Health is GetHealth with a deadline, and with the extensions of the answer.
func (e *Envelope) Health(ctx context.Context) (*protos.GetHealthReply, error) {
	return e.conversation.GetHealth(ctx, &protos.GetHealthRequest{})
}

// GetMetrics returns the weavelet's metrics. Concurrent calls wait for each other.
func (e *Envelope) GetMetrics() ([]*metrics.MetricSnapshot, error) { return e.Metrics(e.ctx) }

// Metrics is GetMetrics with a deadline. An answer that comes later is not lost, because the next one
// of a weavelet of v0.20 would not repeat what it says.
func (e *Envelope) Metrics(ctx context.Context) ([]*metrics.MetricSnapshot, error) {
	select {
	case e.measuring <- struct{}{}:
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}

	type result struct {
		all []*metrics.MetricSnapshot
		err error
	}
	done := make(chan result, 1)
	go func() {
		defer func() { <-e.measuring }()
		reply, err := e.conversation.GetMetrics(e.ctx, &protos.GetMetricsRequest{})
		if err != nil {
			done <- result{err: err}
			return
		}
		done <- result{all: e.measured.Import(reply.Update)}
	}()

	select {
	case r := <-done:
		return r.all, r.err
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
}

// GetLoad returns the load of the weavelet's routed components.
func (e *Envelope) GetLoad() (*protos.LoadReport, error) {
	reply, err := e.conversation.GetLoad(e.ctx, &protos.GetLoadRequest{})
	if err != nil {
		return nil, err
	}
	return reply.Load, nil
}

// GetProfile takes a profile of the weavelet's process.
func (e *Envelope) GetProfile(req *protos.GetProfileRequest) ([]byte, error) {
	return e.Profile(e.ctx, req)
}

// Profile is GetProfile with a deadline. When ctx ends, a weavelet that lists features ends the
// profile.
func (e *Envelope) Profile(ctx context.Context, req *protos.GetProfileRequest) ([]byte, error) {
	reply, err := e.conversation.GetProfile(ctx, req)
	if err != nil {
		return nil, err
	}
	return reply.Data, nil
}

// Drain asks the weavelet to end its listeners and calls in order, and returns when they have
// ended. It is an extension: the error is errors.ErrUnsupported if the weavelet lists no features, as
// it does only if EnvelopeInfo.Features has some.
func (e *Envelope) Drain(ctx context.Context, timeout time.Duration) error {
	_, err := e.conversation.Drain(ctx, &protos.DrainRequest{TimeoutMicros: timeout.Microseconds()})
	return err
}
