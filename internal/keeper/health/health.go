//go:build unix

// Package health asks a process again and again whether it is well, and says when it is to be given up.
package health

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/divisi-go/divisi/internal/keeper"
	"github.com/divisi-go/divisi/internal/keeper/fork"
	"github.com/divisi-go/divisi/internal/keeper/pulse"
	"github.com/divisi-go/divisi/internal/probe"
)

// Watch asks one process.
type Watch struct {
	Spec      *keeper.Spec // which has a probe
	Listeners []probe.Address
	Since     time.Time                     // when the process started
	Work      func() time.Duration          // how long the processors have worked for it; asked after silence only
	Tell      func(failing, givenUp string) // what answers in a row amount to, "" after a good one; why it is given up, once
}

// Start asks on a goroutine of its own until the process is given up. What it returns ends that.
func (w *Watch) Start() (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	var asks sync.WaitGroup
	asks.Go(func() {
		ask, err := w.question()
		if err != nil {
			w.Tell("probes failed: "+err.Error(), "")
			return
		}
		w.serve(ctx, ask)
	})
	return func() {
		cancel()
		asks.Wait()
	}
}

// question returns what asks once.
func (w *Watch) question() (func(context.Context) error, error) {
	q, err := w.Spec.Probe.Question()
	if err != nil {
		return nil, err
	}
	attr, err := fork.Become(w.Spec.User)
	if err != nil {
		return nil, err
	}

	t := probe.Target{Listeners: w.Listeners, Dir: cmp.Or(w.Spec.Dir, "/"), Env: w.Spec.Env, Attr: attr, Since: w.Since}
	return func(ctx context.Context) error { return q.Check(ctx, t) }, nil
}

// serve asks until the process is given up or ctx ends.
func (w *Watch) serve(ctx context.Context, ask func(context.Context) error) {
	probe := w.Spec.Probe.WithDefaults()
	j := judge{retries: probe.Retries, grace: int(probe.StartPeriod / probe.Interval)}
	var worked time.Duration
	for {
		select {
		case <-time.After(probe.Interval):
		case <-ctx.Done():
			return
		}
		err := within(ctx, probe.Timeout, ask)
		if ctx.Err() != nil {
			return
		}

		a := well
		switch {
		case errors.Is(err, errSilent):
			before := worked
			worked = w.Work()
			a = silent
			if worked > before {
				a = working
			}
		case err != nil:
			a = unwell
		}
		if j.take(a) {
			w.Tell("", fmt.Sprintf("%d probes in a row have failed: %v", j.failures, err))
			return
		}
		w.Tell(j.describe(err), "")
	}
}

// errSilent is the error of a question that was not answered in time.
var errSilent = errors.New("no answer in time")

// within asks once. The time is that in which this process itself runs.
func within(ctx context.Context, timeout time.Duration, ask func(context.Context) error) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var mu sync.Mutex
	limit := pulse.Pulse{Lock: &mu, Every: timeout, Stopped: func(string) { cancel(errSilent) }}
	mu.Lock()
	limit.Beat()
	mu.Unlock()

	err := ask(ctx)
	mu.Lock()
	defer mu.Unlock()
	limit.Stop()
	if cause := context.Cause(ctx); err != nil && errors.Is(cause, errSilent) {
		return fmt.Errorf("%w (%v): %w", errSilent, timeout, err)
	}

	return err
}

// answer is what came of one question.
type answer int

const (
	well    answer = iota
	unwell         // it says no, or is not there
	silent         // it says nothing
	working        // the same, but the processors work for it: perhaps it has no time to answer
)

// overworked is how many times as often a process may work without an answer as it may be silent:
// machines are overloaded, and another process would be no better off.
const overworked = 10

// judge decides by answers when a process is given up.
type judge struct {
	retries  int // failures in a row after which it is
	grace    int // failures that do not count before its first good answer
	failures int // in a row
	worked   int // questions in a row while it works
}

// take takes an answer, and reports whether the process is given up.
func (j *judge) take(a answer) bool {
	switch {
	case a == well:
		j.failures, j.worked, j.grace = 0, 0, 0
		return false
	case a == working && j.worked < overworked*j.retries:
		j.worked++
		return false
	case j.grace > 0:
		j.grace--
		return false
	}

	j.failures++
	return j.failures >= j.retries
}

// describe says what answers in a row amount to, while the process is not given up.
func (j *judge) describe(err error) string {
	switch {
	case err == nil:
		return ""
	case j.failures > 0:
		return fmt.Sprintf("%d of %d probes failed: %v", j.failures, j.retries, err)
	case j.worked > 0:
		return fmt.Sprintf("busy: %v", err)
	}
	return fmt.Sprintf("starting: %v", err)
}
