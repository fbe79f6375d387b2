//go:build unix

package hold

import (
	"github.com/divisi-go/divisi/internal/keeper/health"
)

// watch begins to ask a process whether it is well; the mutex is held. What it returns ends that, and is
// called without the mutex.
func (k *Keeper) watch(p *process) (stop func()) {
	s := p.server
	if s.spec.Probe == nil {
		return func() {}
	}

	w := health.Watch{Spec: &s.spec, Listeners: k.stock.Addresses(&s.spec), Since: p.Started, Work: p.Work}
	w.Tell = func(failing, givenUp string) {
		if givenUp != "" {
			p.Warn("it is killed: " + givenUp)
		}
		k.mu.Lock()
		defer k.mu.Unlock()
		if s.process != p {
			return
		}
		s.failing = failing
		if givenUp != "" {
			s.stuck(givenUp)
		}
	}
	return w.Start()
}
