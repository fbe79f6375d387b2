package weavelet

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"
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
// answer. One that is not the last one again is news.
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
		place := o.asking.begin(ctx)
		err := protect(func() error { return ready(ctx) })
		o.asking.end(place)
		news := o.answer(err)
		close(done)
		if news {
			changed()
		}
	}()
	return done
}

func (o *word) answer(err error) (news bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	news = !o.known || fmt.Sprint(err) != fmt.Sprint(o.err) || time.Since(o.since) > readySilence
	o.since, o.known, o.err = time.Time{}, true, err
	return news
}

// last returns the last answer, if there is one, and for how long the call that is under way has run.
func (o *word) last(now time.Time) (known bool, running time.Duration, err error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if !o.since.IsZero() {
		running = now.Sub(o.since)
	}
	return o.known, running, o.err
}

// Health is what a weavelet knows of its components.
type Health struct {
	Ready   []string // the components that take calls
	Reasons []string // why not all that were asked for do; a sentence each
	Denied  bool     // a component has said that it does not
	Stuck   []string // components that are deadlocked
}

// News has an element when what Examine returns may have changed.
func (w *Weavelet) News() <-chan struct{} { return w.news }

// Examine asks the components how they are. It waits for those that answer at once.
func (w *Weavelet) Examine() Health {
	w.mu.Lock()
	asked := w.asked // at the same moment: else parts that come in between would be missed
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

	var h Health
	now := time.Now()
	for _, p := range parts {
		reason, denied := w.reason(p, now)
		h.Denied = h.Denied || denied
		if reason == "" {
			h.Ready = append(h.Ready, p.component.Info.Name)
		} else {
			h.Reasons = append(h.Reasons, reason)
		}
		if p.calls.stuck(now) || p.word.asking.stuck(now) {
			h.Stuck = append(h.Stuck, p.component.Info.Name)
		}
	}
	if !asked {
		h.Reasons = append(h.Reasons, "no component has been asked for yet")
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

	known, running, err := p.word.last(now)
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
