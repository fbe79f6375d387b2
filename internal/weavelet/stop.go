package weavelet

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"
)

// Admit has the listeners accept connections, or leave them to other replicas until this one is
// ready.
func (w *Weavelet) Admit(ready bool) {
	w.mu.Lock()
	listeners := slices.Clone(w.listeners)
	w.mu.Unlock()
	for _, l := range listeners {
		l.Pause(!ready)
	}
}

// StopTime bounds an orderly end: draining listeners and calls, and shutting components down.
const StopTime = 30 * time.Second

// End drains and shuts down what runs, whether ctx has ended or not, but for no longer than limit.
// If calls come from elsewhere, others drains those.
func (w *Weavelet) End(ctx context.Context, limit time.Duration, others func(context.Context) error) {
	ctx, cancel := context.WithTimeoutCause(context.WithoutCancel(ctx), limit,
		fmt.Errorf("not ended within %v", limit))
	defer cancel()

	w.Drain(ctx)
	if others != nil {
		if err := others(ctx); err != nil {
			w.logger.Warn("not drained", "err", err)
		}
	}
	w.Shutdown(ctx)
}

// Draining reports whether Drain has been called.
func (w *Weavelet) Draining() bool { return w.draining.Load() }

// Drain has the listeners serve what they accepted, and meanwhile tells every component that the
// end is near, those started last first. It waits for all of that, but not beyond ctx. Later
// calls only wait for the end of the first.
func (w *Weavelet) Drain(ctx context.Context) {
	if w.draining.Swap(true) {
		select {
		case <-w.drained:
		case <-ctx.Done():
		}
		return
	}
	defer close(w.drained)

	w.mu.Lock()
	parts := slices.Clone(w.started)
	listeners := slices.Clone(w.listeners)
	w.mu.Unlock()
	var wait sync.WaitGroup
	for _, l := range listeners {
		wait.Go(func() { l.Drain(ctx) })
	}
	for _, p := range slices.Backward(parts) {
		if d, ok := p.impl.(interface{ Drain(context.Context) error }); ok {
			w.report(p, "Drain", within(ctx, 0, d.Drain))
		}
	}
	wait.Wait()
}

// Shutdown ends the components, those started last first. Each has what is left of ctx.
func (w *Weavelet) Shutdown(ctx context.Context) {
	w.mu.Lock()
	parts := w.started
	w.started = nil
	w.mu.Unlock()
	for _, p := range slices.Backward(parts) {
		if s, ok := p.impl.(interface{ Shutdown(context.Context) error }); ok {
			w.report(p, "Shutdown", within(ctx, 0, s.Shutdown))
		}
	}
}

func (w *Weavelet) report(p *part, what string, err error) {
	if err != nil {
		w.logger.Error("component failed to end", "component", p.component.Info.Name,
			"method", what, "err", err)
	}
}
