package process

import (
	"context"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/divisi-go/divisi/envelope/protos"
	"github.com/divisi-go/divisi/internal/weavelet"
)

// pulse answers questions for health from what was seen last, so that neither work nor the
// components can delay an answer. Its own look at them follows the question.
type pulse struct {
	w        *weavelet.Weavelet
	logger   *slog.Logger
	pauses   bool                           // listeners while a component says that it is not ready
	attended func() (bool, <-chan struct{}) // there is a deployer, who asks; until the channel is closed
	unheard  func() []string                // components that are needed, which no deployer knows yet
	heard    <-chan struct{}                // has an element when there may be fewer of them
	last     atomic.Pointer[protos.GetHealthReply]
	asked    chan struct{} // has an element when somebody has asked since the last look

	looking  sync.Mutex // held while the components are looked at; guards reported, and writing last
	reported bool       // the deadlock is in the log
}

func newPulse(w *weavelet.Weavelet, logger *slog.Logger) *pulse {
	p := &pulse{w: w, logger: logger, asked: make(chan struct{}, 1)}
	p.last.Store(&protos.GetHealthReply{Status: protos.HealthStatus_HEALTHY, Look: 1})
	return p
}

// reply returns the answer, and has the components looked at.
func (p *pulse) reply() *protos.GetHealthReply {
	select {
	case p.asked <- struct{}{}:
	default:
	}
	return p.last.Load()
}

// unattended is how often the components are looked at while there is no deployer.
const unattended = 500 * time.Millisecond

// serve looks at the components whenever somebody has asked or something has changed, and now and then
// while there is nobody to ask. While there is somebody, it sleeps from one question to the next. It calls changed
// with an answer whose word on readiness is another than before.
func (p *pulse) serve(ctx context.Context, changed func(*protos.GetHealthReply)) {
	for {
		attended, otherwise := p.attended()
		var soon <-chan time.Time
		if !attended {
			soon = time.After(unattended)
		}
		select {
		case <-p.asked:
		case <-p.w.News():
		case <-p.heard:
		case <-soon:
		case <-otherwise:
			continue
		case <-ctx.Done():
			return
		}
		before := p.last.Load()
		if after := p.look(); after.Ready != before.Ready {
			changed(after)
		}
	}
}

// look looks at the components now.
func (p *pulse) look() *protos.GetHealthReply {
	p.looking.Lock()
	defer p.looking.Unlock()

	h := p.w.Examine()
	if p.pauses {
		p.w.Admit(!h.Denied)
	}
	// A deployer that has not heard what is needed would take this process for all that there is to wait for.
	for _, component := range p.unheard() {
		if there, _ := p.attended(); there {
			h.Reasons = append(h.Reasons, "the deployer has yet to hear that "+component+" is needed")
		}
	}
	reply := &protos.GetHealthReply{
		Status: protos.HealthStatus_HEALTHY, Ready: len(h.Reasons) == 0,
		HealthyComponents: h.Ready, Reasons: h.Reasons, Look: p.last.Load().Look + 1,
	}
	if len(h.Stuck) > 0 {
		reply.Status = protos.HealthStatus_UNHEALTHY
		if !p.reported {
			p.reported = true
			p.logger.Error("calls do not end long after their callers have given up: a deadlock?",
				"components", h.Stuck)
		}
	}
	p.last.Store(reply)
	return reply
}
