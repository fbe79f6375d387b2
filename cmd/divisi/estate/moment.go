package estate

import (
	"context"
	"errors"
	"fmt"
	"os"
	"sync"
	"time"

	"github.com/divisi-go/divisi/internal/control"
	"github.com/divisi-go/divisi/internal/deployer"
	"github.com/divisi-go/divisi/internal/event"
	"github.com/divisi-go/divisi/internal/keeper"
)

// Decider is who decides about an application: a deployer behind its door, or this process for a moment.
type Decider interface {
	Metrics(context.Context) ([]control.ReplicaMetrics, error)
	Profile(ctx context.Context, group, kind string, length time.Duration) (control.Profiles, error)
	Stop(context.Context) error
}

var (
	_ Decider = (*control.Client)(nil)
	_ Decider = (*unattended)(nil)
	_ Decider = own{}
)

// Metrics returns the metrics of all replicas that answer.
func (u *unattended) Metrics(ctx context.Context) (all []control.ReplicaMetrics, err error) {
	err = u.decide(ctx, "divisi metrics", func(d Decider) error {
		all, err = d.Metrics(ctx)
		return err
	})
	return all, err
}

// Profile takes profiles of one replica of every group, or of one group. If some fail, there is no error
// unless all do.
func (u *unattended) Profile(ctx context.Context, group, kind string, length time.Duration) (p control.Profiles, err error) {
	err = u.decide(ctx, "divisi profile", func(d Decider) error {
		p, err = d.Profile(ctx, group, kind, length)
		return err
	})
	return p, err
}

// Stop drains and stops the application, and returns when it has ended.
func (u *unattended) Stop(ctx context.Context) error {
	err := u.decide(ctx, "divisi stop", func(d Decider) error { return d.Stop(ctx) })
	if errors.Is(err, ErrNothing) {
		return nil // somebody else has stopped it
	}
	return err
}

// decide has f done by whoever decides about the application: this process, if nobody else does.
func (u *unattended) decide(ctx context.Context, command string, f func(Decider) error) error {
	c := keeper.Claim{
		Domain: u.status.Domain,
		Who:    fmt.Sprintf("%s %s (process %d)", command, u.status.App, os.Getpid()),
	}
	for {
		if answers(u.domain.Door) {
			return f(control.NewClient(u.domain.Door, u.status.App))
		}

		e, spec, err := Attend(ctx, u.home, u.domain, c)
		if err == nil {
			err = e.decide(ctx, spec, f)
		}
		taken := errors.Is(err, keeper.ErrHeld) && answers(u.domain.Door)
		if !taken && !errors.Is(err, keeper.ErrFenced) {
			return err
		}
		if ctx.Err() != nil {
			return err
		}
	}
}

// decide takes over what runs, has f done, and leaves what runs then.
func (e *Estate) decide(ctx context.Context, spec deployer.Spec, f func(Decider) error) (err error) {
	e.Open()
	over := false
	defer func() { err = errors.Join(err, e.Release(over)) }()
	var events event.Log
	d, err := deployer.New(spec, e.Launcher, deployer.Options{
		RuntimeDir: e.Calls, Events: &events, Succession: e.Succession, BootDir: e.BootDir(), Vault: e.Vault,
	})
	if err != nil {
		return err
	}

	whole := context.WithoutCancel(ctx)
	logged, endLog := context.WithCancel(whole)
	var log sync.WaitGroup
	defer log.Wait()
	defer endLog()
	log.Go(func() { record(logged, e.Logs, &events) })
	served := make(chan error, 1)
	go func() { served <- d.Serve(whole) }()

	asked := tookOver(ctx, d, &events)
	if asked == nil {
		asked = f(own{d})
	}
	select {
	case <-d.Over():
		over = true
	default:
		d.Leave()
	}
	if err := <-served; err != nil {
		over = false
		return err
	}
	return asked
}

// record writes what happens to the log of the application until ctx ends.
func record(ctx context.Context, dir string, events *event.Log) {
	log := event.NewWriter(dir)
	defer log.Close()
	_ = events.Follow(ctx, func(r event.Record) error {
		_ = log.Write(r) // it is missing in the log, and nothing else fails
		return nil
	})
}

// tookOver waits until a deployer knows what runs, and has what runs reached it.
func tookOver(ctx context.Context, d *deployer.Deployer, events *event.Log) error {
	waits, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	go func() {
		select {
		case <-d.Over():
			cancel(deployer.ErrOver)
		case <-waits.Done():
		}
	}()

	err := events.Follow(waits, func(r event.Record) error {
		if _, ok := r.Event.(event.TookOver); ok {
			return errTookOver
		}
		return nil
	})
	if errors.Is(err, errTookOver) {
		return nil
	}
	return context.Cause(waits)
}

var errTookOver = errors.New("a deployer has taken over")

// own is the deployer of this process, asked as one behind its door is.
type own struct{ d *deployer.Deployer }

// Metrics implements [Decider].
func (o own) Metrics(ctx context.Context) ([]control.ReplicaMetrics, error) { return o.d.Metrics(ctx) }

// Profile implements [Decider].
func (o own) Profile(ctx context.Context, group, kind string, length time.Duration) (control.Profiles, error) {
	return control.Profile(ctx, o.d, group, kind, length)
}

// Stop implements [Decider].
func (o own) Stop(ctx context.Context) error {
	o.d.Stop()
	select {
	case <-o.d.Over():
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}
