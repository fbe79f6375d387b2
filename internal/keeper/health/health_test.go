//go:build unix

package health

import (
	"context"
	"errors"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/divisi-go/divisi/internal/keeper"
)

func TestJudge(t *testing.T) {
	many := func(a answer, n int) []answer { return slices.Repeat([]answer{a}, n) }
	for name, tc := range map[string]struct {
		grace   int
		answers []answer
		up      bool // it is given up by the last one, and by no other
	}{
		"well":                       {answers: many(well, 100)},
		"two failures":               {answers: []answer{unwell, silent, well, unwell, silent, well}},
		"three failures":             {answers: []answer{well, unwell, silent, unwell}, up: true},
		"grace":                      {grace: 5, answers: append(many(unwell, 7), well, unwell, unwell)},
		"grace is over":              {grace: 5, answers: many(unwell, 8), up: true},
		"grace ends with an answer":  {grace: 5, answers: []answer{unwell, well, unwell, unwell, unwell}, up: true},
		"works":                      {answers: many(working, 30)},
		"works and answers":          {answers: append(many(working, 30), well, working, silent, working, unwell, working)},
		"works for ever":             {answers: many(working, 33), up: true},
		"fails, and works meanwhile": {answers: []answer{silent, working, silent, working, silent}, up: true},
	} {
		j := judge{retries: 3, grace: tc.grace}
		for i, a := range tc.answers {
			last := i == len(tc.answers)-1
			if got := j.take(a); got != (last && tc.up) {
				t.Errorf("%s: answer %d gives it up: %v", name, i, got)
			}
		}
	}
}

// patient is a process that is asked.
type patient struct {
	mu               sync.Mutex
	answer           error
	hangs, works     bool
	worked           time.Duration
	failing, givenUp string
}

func (p *patient) ask(ctx context.Context) error {
	p.mu.Lock()
	hangs, answer := p.hangs, p.answer
	p.mu.Unlock()
	if hangs {
		<-ctx.Done()
		return errors.New("it is cut off")
	}
	return answer
}

func (p *patient) work() time.Duration {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.works {
		p.worked++
	}
	return p.worked
}

func (p *patient) tell(failing, givenUp string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.failing, p.givenUp = failing, givenUp
}

// become changes how the process answers, and returns what is said of it some time later.
func (p *patient) become(answer error, hangs, works bool, after time.Duration) (failing, givenUp string) {
	p.mu.Lock()
	p.answer, p.hangs, p.works = answer, hangs, works
	p.mu.Unlock()
	time.Sleep(after)
	synctest.Wait()

	p.mu.Lock()
	defer p.mu.Unlock()
	return p.failing, p.givenUp
}

func TestServe(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		var p patient
		w := Watch{
			Spec: &keeper.Spec{Probe: &keeper.Probe{Interval: time.Second, Timeout: time.Second, StartPeriod: time.Millisecond}},
			Work: p.work, Tell: p.tell,
		}
		var asks sync.WaitGroup
		asks.Go(func() { w.serve(ctx, p.ask) })

		no := errors.New("it says no")
		for i, step := range []struct {
			answer       error
			hangs, works bool
			after        time.Duration
			failing, up  string
		}{
			{nil, false, false, 10500 * time.Millisecond, "", ""},
			{no, false, false, 2 * time.Second, "2 of 3 probes failed: it says no", ""},
			{nil, true, true, 20 * time.Second, "2 of 3 probes failed: no answer in time (1s): it is cut off", ""},
			{nil, false, false, 3 * time.Second, "", ""},
			{nil, true, false, time.Minute, "", "3 probes in a row have failed: no answer in time (1s): it is cut off"},
		} {
			if failing, up := p.become(step.answer, step.hangs, step.works, step.after); failing != step.failing || up != step.up {
				t.Errorf("step %d: %q, %q", i, failing, up)
			}
		}
		asks.Wait()

		p.become(nil, false, false, 0)
		asks.Go(func() { w.serve(ctx, p.ask) })
		time.Sleep(10 * time.Second)
		cancel()
		asks.Wait()
	})
}
