package server

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/divisi-go/divisi/cmd/divisi/telemetry"
	"github.com/divisi-go/divisi/internal/keeper"
	"github.com/divisi-go/divisi/internal/lifecycle"
	"github.com/divisi-go/divisi/internal/name"
	"github.com/divisi-go/divisi/internal/probe"
)

const (
	// settleTime is how long a server must have run to be taken for ready that has no other way to say
	// so. Most programs that cannot work notice it sooner.
	settleTime = 300 * time.Millisecond

	askEvery = 50 * time.Millisecond
	askTime  = 2 * time.Second // for one answer
)

// endedError is the error of a server that has ended before it was ready.
type endedError struct {
	id       keeper.ID
	exit     keeper.Exit
	finished bool // it has done what it had to do, and does not start again
}

func (e *endedError) Error() string { return fmt.Sprintf("%v %v before it was ready", e.id, e.exit) }

// await waits until a start of a server is ready. One that has ended first is an [endedError].
func (d *Desk) await(ctx context.Context, p keeper.Proc, spec *keeper.Spec, by probe.Probe, target probe.Target) error {
	ctx, cancel := context.WithCancel(ctx)
	ended := make(chan error, 1)
	go func() {
		exit, err := d.Wait(ctx, p.ID)
		if err == nil {
			again := spec.Policy != nil && spec.Policy.Restart == lifecycle.Permanent
			err = &endedError{p.ID, exit, exit.Code == 0 && !again && by.Kind == ""}
		}
		ended <- err
	}()
	ready := make(chan error, 1)
	go func() {
		err := d.ask(ctx, p, by, target)
		if own := by.Kind == probe.Notify || by.Kind == probe.Log; err == nil && spec.Beside && !own {
			err = settle(ctx, p) // the process before it may have answered
		}
		ready <- err
	}()

	var err error
	select {
	case err = <-ended:
		late := ctx.Err() != nil
		cancel()
		if answer := <-ready; late && !errors.As(err, new(*endedError)) {
			err = answer // which knows what is missing
		}
	case err = <-ready:
		cancel()
		if over := <-ended; errors.As(over, new(*endedError)) {
			err = over // both at the same time
		}
	}
	return err
}

// ask asks until the server is ready.
func (d *Desk) ask(ctx context.Context, p keeper.Proc, by probe.Probe, target probe.Target) error {
	switch by.Kind {
	case "":
		return settle(ctx, p)
	case probe.Log:
		return d.match(ctx, p, by)
	}

	for {
		err := d.askOnce(ctx, p, by, target)
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
func (d *Desk) askOnce(ctx context.Context, p keeper.Proc, by probe.Probe, target probe.Target) error {
	ctx, cancel := context.WithTimeout(ctx, askTime)
	defer cancel()
	if by.Kind == probe.Notify {
		return d.said(ctx, p)
	}
	return by.Check(ctx, target)
}

// settle waits until a start of a server has run for a while.
func settle(ctx context.Context, p keeper.Proc) error {
	select {
	case <-time.After(time.Until(p.Started.Add(settleTime))):
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// said reports whether a server has said that it is ready.
func (d *Desk) said(ctx context.Context, p keeper.Proc) error {
	list, err := d.List(ctx, p.Domain)
	if err != nil {
		return err
	}
	for _, now := range list {
		if now.ID == p.ID && now.State == lifecycle.Ready {
			return nil
		}
	}
	return errors.New("notify: it has not said READY=1 at NOTIFY_SOCKET")
}

// errMatch ends the reading of a log.
var errMatch = errors.New("the line is there")

// match follows the log of the server until a line matches.
func (d *Desk) match(ctx context.Context, p keeper.Proc, by probe.Probe) error {
	full := name.Server{Name: p.Name, Domain: p.Domain}.String()
	q := &telemetry.Query{Filter: telemetry.Filter{Replica: full, Since: p.Started}, Tail: -1, Follow: true}
	if err := q.Compile(); err != nil {
		return err
	}
	err := telemetry.Show(ctx, d.home.Domain(p.Domain).Logs, q, func(e telemetry.Entry) error {
		if e.Replica == full && by.Matches([]byte(e.Msg)) {
			return errMatch
		}
		return nil
	})
	if err == nil || errors.Is(err, errMatch) {
		return nil
	}

	return fmt.Errorf("%w: %v: no line of its log matches", err, by)
}
