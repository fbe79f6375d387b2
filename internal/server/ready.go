package server

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/divisi-go/divisi/internal/keeper"
	"github.com/divisi-go/divisi/internal/lifecycle"
	"github.com/divisi-go/divisi/internal/probe"
)

const (
	// SettleTime is how long a server must have run to be taken for ready that has no other way to say
	// so. Most programs that cannot work notice it sooner.
	SettleTime = 300 * time.Millisecond

	askEvery = 50 * time.Millisecond
	askTime  = 2 * time.Second // for one answer
)

// Start is a start of a server that somebody waits for.
type Start struct {
	Keeper    Keeper
	Proc      keeper.Proc
	Spec      *keeper.Spec
	Ready     probe.Probe
	Check     func(context.Context) error // whether it is ready, asked in place of the probe; nil to use that
	Listeners []probe.Address
	Log       string   // file
	Observer  Observer // on the host of the start; nil for this process
	Beside    bool     // another one runs on its sockets, which may answer in its place
}

// Await waits until the start is ready. One that has ended first is an [EndedError].
func (s *Start) Await(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	ended := make(chan error, 1)
	go func() {
		exit, err := s.Keeper.Wait(ctx, s.Proc.ID)
		if err == nil {
			again := s.Spec.Policy != nil && s.Spec.Policy.Restart == lifecycle.Permanent
			err = &EndedError{s.Proc.ID, exit, exit.Code == 0 && !again && s.Ready.Kind == "" && s.Check == nil}
		}
		ended <- err
	}()
	ready := make(chan error, 1)
	go func() {
		err := s.Ask(ctx)
		if err == nil && s.Beside && !s.own() {
			err = s.settle(ctx) // the process before it may have answered
		}
		ready <- err
	}()

	var err error
	select {
	case err = <-ended:
		late := ctx.Err() != nil
		cancel()
		if answer := <-ready; late && !errors.As(err, new(*EndedError)) {
			err = answer // which knows what is missing
		}
	case err = <-ready:
		cancel()
		if over := <-ended; errors.As(over, new(*EndedError)) {
			err = over // both at the same time
		}
	}
	return err
}

// own reports whether only this start can have answered that it is ready, and no other one on its sockets.
func (s *Start) own() bool {
	switch s.Ready.Kind {
	case probe.Notify, probe.Log, probe.File: // which is newer than the start
		return s.Check == nil
	}
	return false
}

// Ask asks until the server is ready.
func (s *Start) Ask(ctx context.Context) error {
	switch {
	case s.Check != nil, s.Ready.Kind == probe.Notify:
	case s.Ready.Kind == "":
		return s.settle(ctx)
	case s.Observer != nil:
		return s.Observer.Ask(ctx, s.question())
	case s.Ready.Kind == probe.Log:
		return s.match(ctx)
	}

	for {
		err := s.askOnce(ctx)
		if err == nil {
			return nil
		}

		select {
		case <-time.After(askEvery):
		case <-ctx.Done():
			return fmt.Errorf("%w: %w", context.Cause(ctx), err)
		}
	}
}

// askOnce asks whether the server is ready.
func (s *Start) askOnce(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, askTime)
	defer cancel()
	switch {
	case s.Check != nil:
		return s.Check(ctx)
	case s.Ready.Kind == probe.Notify:
		return s.said(ctx)
	}
	return s.Ready.Check(ctx, probe.Target{
		Dir: s.Spec.Dir, Env: s.Spec.Env, Since: s.Proc.Started, Listeners: s.Listeners,
	})
}

// settle waits until the start has run for a while.
func (s *Start) settle(ctx context.Context) error {
	select {
	case <-time.After(time.Until(s.Proc.Started.Add(SettleTime))):
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// said reports whether the server has said that it is ready.
func (s *Start) said(ctx context.Context) error {
	list, err := s.Keeper.List(ctx, s.Proc.Domain)
	if err != nil {
		return err
	}
	for _, now := range list {
		if now.ID == s.Proc.ID && now.State == lifecycle.Ready {
			return nil
		}
	}
	return errors.New("notify: it has not said READY=1 at NOTIFY_SOCKET")
}

// match follows the log of the server until a line matches.
func (s *Start) match(ctx context.Context) error {
	f := follower{path: s.Log}
	defer f.close()
	for {
		for line := range f.more() {
			if e, ok := s.line(line); ok && s.Ready.Matches([]byte(e.Msg)) {
				return nil
			}
		}

		select {
		case <-time.After(askEvery):
		case <-ctx.Done():
			return fmt.Errorf("%w: %v: no line of its log matches", context.Cause(ctx), s.Ready)
		}
	}
}
