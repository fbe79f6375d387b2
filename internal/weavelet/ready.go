package weavelet

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/divisi-go/divisi/envelope/protos"
)

const (
	// readyTime is how long a method Ready may take until its context ends. Its answer counts
	// whenever it comes.
	readyTime = 10 * time.Second

	// readyPatience is how long a look at the components waits for methods Ready that have just been
	// called: nearly all return at once, and their answers are not those of the last time then.
	readyPatience = 20 * time.Millisecond

	// readySilence is how long a method Ready may run until its component counts as not ready,
	// whatever it has said before: it may wait for a lock that is never released.
	readySilence = 3 * time.Second
)

// word is whether a component takes calls, as its method Ready has said last. The method is called
// aside: however long it takes, nobody waits for it.
type word struct {
	asking inFlight // the call that is under way, to notice one that never ends

	mu    sync.Mutex // guards what follows
	since time.Time  // of the call that is under way; zero if there is none
	known bool       // err is an answer
	err   error
}

// ask calls a method Ready, unless a call is under way. It returns a channel that is closed with the
// answer.
func (o *word) ask(ready func(context.Context) error, changed func()) (answered <-chan struct{}) {
	done := make(chan struct{})
	o.mu.Lock()
	defer o.mu.Unlock()
	if !o.since.IsZero() {
		close(done)
		return done
	}

	o.since = time.Now()
	go func() {
		ctx, cancel := context.WithTimeout(context.Background(), readyTime)
		defer cancel()
		o.asking.begin(ctx)
		err := protect(func() error { return ready(ctx) })
		o.asking.end(ctx)
		o.answer(err)
		close(done)
		changed()
	}()
	return done
}

func (o *word) answer(err error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.since, o.known, o.err = time.Time{}, true, err
}

// last returns the last answer, and for how long the call that is under way has run.
func (o *word) last(now time.Time) (known bool, err error, running time.Duration) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if !o.since.IsZero() {
		running = now.Sub(o.since)
	}
	return o.known, o.err, running
}

// health is what a weavelet knows of its components.
type health struct {
	ready   []string // the components that take calls
	reasons []string // why not all that were asked for do; a sentence each
	denied  bool     // a component has said that it does not
	stuck   []string // components that are deadlocked
}

// examine asks the components how they are. It waits for those that answer at once.
func (w *Weavelet) examine() health {
	w.mu.Lock()
	parts := make([]*part, 0, len(w.parts))
	for _, p := range w.parts {
		parts = append(parts, p)
	}
	w.mu.Unlock()
	slices.SortFunc(parts, func(a, b *part) int {
		return strings.Compare(a.component.Info.Name, b.component.Info.Name)
	})

	patience := time.NewTimer(readyPatience)
	defer patience.Stop()
	for _, answered := range w.askAll(parts) {
		select {
		case <-answered:
			continue
		case <-patience.C:
		}
		break
	}

	var h health
	now := time.Now()
	for _, p := range parts {
		reason, denied := w.reason(p, now)
		h.denied = h.denied || denied
		if reason == "" {
			h.ready = append(h.ready, p.component.Info.Name)
		} else {
			h.reasons = append(h.reasons, reason)
		}
		if p.calls.stuck(now) || p.word.asking.stuck(now) {
			h.stuck = append(h.stuck, p.component.Info.Name)
		}
	}
	if !w.asked.Load() {
		h.reasons = append(h.reasons, "no component has been asked for yet")
	}
	return h
}

// askAll asks the parts that have a word in it, all at once.
func (w *Weavelet) askAll(parts []*part) (answers []<-chan struct{}) {
	for _, p := range parts {
		r, ok := p.impl.(interface{ Ready(context.Context) error })
		if ok && p.started() {
			answers = append(answers, p.word.ask(r.Ready, w.notify))
		}
	}
	return answers
}

// reason says why a part does not take calls, and whether the component says so itself; "" if it
// does take them.
func (w *Weavelet) reason(p *part, now time.Time) (text string, denied bool) {
	if !p.started() {
		return p.delay(now, graph{w.app.Registry}), false
	}
	if p.init.err != nil {
		return p.init.err.Error(), false
	}
	if _, ok := p.impl.(interface{ Ready(context.Context) error }); !ok {
		return "", false
	}

	known, err, running := p.word.last(now)
	switch {
	case err != nil:
		return fmt.Sprintf("%s is not ready: %v", p.name(), err), true
	case !known, running > readySilence:
		return fmt.Sprintf("Ready of %s has run for %v", p.name(), running.Round(time.Millisecond)), false
	}
	return "", false
}

// notify says that the answer to a question for health may have changed.
func (w *Weavelet) notify() {
	select {
	case w.news <- struct{}{}:
	default:
	}
}

// pulse answers questions for health from what was seen last, so that neither work nor the
// components can delay an answer. Its own look at them follows the question.
type pulse struct {
	w      *Weavelet
	pauses bool // listeners while a component says that it is not ready
	last   atomic.Pointer[protos.GetHealthReply]
	asked  chan struct{} // has an element when somebody has asked since the last look

	looking  sync.Mutex // held while the components are looked at; guards reported
	reported bool       // the deadlock is in the log
}

func newPulse(w *Weavelet) *pulse {
	p := &pulse{w: w, asked: make(chan struct{}, 1)}
	p.last.Store(&protos.GetHealthReply{Status: protos.HealthStatus_HEALTHY})
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

// serve looks at the components whenever somebody has asked or something has changed. It calls
// changed with an answer whose word on readiness is another than before.
func (p *pulse) serve(ctx context.Context, changed func(*protos.GetHealthReply)) {
	for {
		select {
		case <-p.asked:
		case <-p.w.news:
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

	h := p.w.examine()
	if p.pauses {
		p.w.admit(!h.denied)
	}
	reply := &protos.GetHealthReply{
		Status: protos.HealthStatus_HEALTHY, Ready: len(h.reasons) == 0,
		HealthyComponents: h.ready, Reasons: h.reasons,
	}
	if len(h.stuck) > 0 {
		reply.Status = protos.HealthStatus_UNHEALTHY
		if !p.reported {
			p.reported = true
			p.w.logger.Error("calls do not end long after their callers have given up: a deadlock?",
				"components", h.stuck)
		}
	}
	p.last.Store(reply)
	return reply
}
