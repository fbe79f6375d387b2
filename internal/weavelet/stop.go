package weavelet

import (
	"context"
	"slices"
	"sync"
)

// admit has the listeners accept connections, or leave them to other replicas until this one is
// ready.
func (w *Weavelet) admit(ready bool) {
	w.mu.Lock()
	listeners := slices.Clone(w.listeners)
	w.mu.Unlock()
	for _, l := range listeners {
		l.Pause(!ready)
	}
}

// drain has the listeners serve what they accepted, and meanwhile tells every component that the
// end is near, those started last first. It waits for all of that, but not beyond ctx. Only the
// first call does.
func (w *Weavelet) drain(ctx context.Context) {
	if w.draining.Swap(true) {
		return
	}
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

// shutdown ends the components, those started last first. Each has what is left of ctx.
func (w *Weavelet) shutdown(ctx context.Context) {
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
