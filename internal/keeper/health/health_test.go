//go:build unix

package health

import (
	"context"
	"errors"
	"slices"
	"strings"
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

func TestServe(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		var answer error
		var hangs, works bool
		var worked time.Duration
		var failing, givenUp string
		ask := func(ctx context.Context) error {
			if hangs {
				<-ctx.Done()
				return errors.New("it is cut off")
			}
			return answer
		}
		w := Watch{
			Spec: &keeper.Spec{Probe: &keeper.Probe{Interval: time.Second, Timeout: time.Second, StartPeriod: time.Millisecond}},
			Work: func() time.Duration {
				if works {
					worked++
				}
				return worked
			},
			Tell: func(text, why string) { failing, givenUp = text, why },
		}
		done := make(chan struct{})
		go func() {
			defer close(done)
			w.serve(ctx, ask)
		}()
		after := func(d time.Duration) {
			time.Sleep(d)
			synctest.Wait()
		}

		after(10 * time.Second)
		if failing != "" || givenUp != "" {
			t.Errorf("%q, %q", failing, givenUp)
		}
		answer = errors.New("it says no")
		if after(2 * time.Second); failing != "2 of 3 probes failed: it says no" || givenUp != "" {
			t.Errorf("%q, %q", failing, givenUp)
		}
		answer, hangs, works = nil, true, true
		if after(20 * time.Second); !strings.HasPrefix(failing, "2 of 3") || givenUp != "" {
			t.Errorf("%q, %q", failing, givenUp)
		}
		hangs = false
		if after(2 * time.Second); failing != "" {
			t.Errorf("%q", failing)
		}
		hangs, works = true, false
		<-done
		if givenUp != "3 probes in a row have failed: no answer in time (1s): it is cut off" {
			t.Errorf("%q", givenUp)
		}

		hangs, answer = false, nil
		go func() {
			w.serve(ctx, ask)
			hangs = true
		}()
		after(10 * time.Second)
		cancel()
		if synctest.Wait(); !hangs {
			t.Error("it asks on")
		}
	})
}
