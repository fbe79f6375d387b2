package deployer

import (
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"time"

	"github.com/divisi-go/divisi/internal/event"
	"github.com/divisi-go/divisi/internal/lifecycle"
	"github.com/divisi-go/divisi/internal/rollout"
)

// ErrUpgrade is the error of an upgrade that was undone. It is wrapped with the reason.
var ErrUpgrade = errors.New("cannot upgrade")

// ErrUpgrading is the error of an upgrade while another one goes on.
var ErrUpgrading = errors.New("an upgrade is going on")

// upgrade is the one that goes on. It belongs to the goroutine of Serve.
type upgrade struct {
	steps     rollout.Upgrade
	old, next *set
	reason    error      // why the next version is not wanted
	ended     chan error // has room for the one result
}

// Upgrade replaces the running version by the next one: it starts a full set of replicas beside
// the old one, on the same listening sockets, waits until they take calls, and then drains the old
// ones. If the next version does not become ready in time, or ctx ends before it is, its replicas
// are stopped, and the old version has noticed nothing. Versions never call each other. Components
// that run once start in the next version when they have ended in the old one.
func (d *Deployer) Upgrade(ctx context.Context, next Spec) error {
	next.Name = d.first.Name
	next.Version = cmp.Or(next.Version, rand.Text())
	var refused error
	if err := d.do(ctx, func() { refused = d.mayUpgrade(next) }); err != nil || refused != nil {
		return cmp.Or(err, refused)
	}
	v, err := d.prepare(next)
	if err != nil {
		return err
	}

	var u *upgrade
	if err := d.do(ctx, func() {
		refused = d.mayUpgrade(next)
		if refused == nil {
			u = d.beginUpgrade(v)
		}
	}); err != nil || refused != nil {
		return cmp.Or(err, refused)
	}

	select {
	case err = <-u.ended:
		return err
	case <-d.over:
		return ErrOver
	case <-ctx.Done():
		d.do(context.Background(), func() { u.fail(d, context.Cause(ctx)) })
	}
	select {
	case err = <-u.ended:
		return err
	case <-d.over:
		return ErrOver
	}
}

func (d *Deployer) mayUpgrade(next Spec) error {
	switch {
	case d.stopping:
		return ErrOver
	case len(d.sets) != 1 || d.upgrade != nil:
		return ErrUpgrading
	case d.sets[0].spec.Version == next.Version:
		return fmt.Errorf("version %s runs already", next.Version)
	}

	return nil
}

func (d *Deployer) beginUpgrade(v version) *upgrade {
	old := d.sets[0]
	u := &upgrade{old: old, next: d.newSet(v), ended: make(chan error, 1)}
	if begun := d.begun; begun != nil && begun.spec.Version == v.spec.Version {
		u.next, d.begun = begun, nil
	}
	u.steps.Policy = rollout.Policy{ReadyTime: d.options.ReadyTime, DrainTime: d.drainTime()}
	u.next.before = []*set{old}

	d.upgrade = u
	d.emit(event.Upgrading{Version: v.spec.Version})
	u.step(d, rollout.Begin)

	return u
}

// upgradeStep tells the upgrade that goes on what has come about.
func (d *Deployer) upgradeStep() {
	u := d.upgrade
	if u == nil {
		return
	}

	switch {
	case d.stopping:
		u.reason = ErrOver
		u.step(d, rollout.Cancel)
	case u.steps.State == rollout.Starting:
		u.starting(d)
	case u.steps.State == rollout.Retiring:
		u.draining(d, u.old)
	case u.steps.State == rollout.Undoing:
		u.draining(d, u.next)
	}
	u.step(d, rollout.Tick)

	if u.steps.Over() {
		d.upgrade = nil
	}
}

func (u *upgrade) starting(d *Deployer) {
	for _, r := range u.next.ordered() {
		if r.State() == lifecycle.Failed {
			u.fail(d, fmt.Errorf("%s has failed: %s", r.Name, r.LastExit().Text))
			return
		}
	}

	// Where everything runs once, nothing starts before the old version has ended.
	if u.next.ready() || len(u.next.replicas) == 0 {
		u.step(d, rollout.Ready)
	}
}

// draining is called again whenever something has changed, for a version drains group by group.
func (u *upgrade) draining(d *Deployer, s *set) {
	s.stop()
	if !s.running() {
		u.step(d, rollout.Gone)
	}
}

func (u *upgrade) fail(d *Deployer, reason error) {
	if u.steps.State == rollout.Starting {
		u.reason = reason
	}
	u.step(d, rollout.Fail)
}

func (u *upgrade) step(d *Deployer, e rollout.Event) {
	for _, a := range u.steps.Step(e, d.clock.At(time.Now())) {
		u.perform(d, a)
	}
}

func (u *upgrade) perform(d *Deployer, a rollout.Action) {
	switch a {
	case rollout.StartNext:
		d.sets = append(d.sets, u.next)
		u.next.begin()
	case rollout.DrainOld:
		u.old.stop()
	case rollout.DrainNext:
		if u.reason == nil {
			u.reason = fmt.Errorf("not ready within %v%s", d.options.ReadyTime, u.next.reasons())
		}
		u.next.stop()
	case rollout.KillOld:
		u.old.kill()
	case rollout.KillNext:
		u.next.kill()
	case rollout.Forget:
		gone := u.old
		if u.steps.State == rollout.Undone {
			gone = u.next
		}
		d.forget(gone)
	case rollout.Report:
		u.report(d)
	default:
		panic(fmt.Sprintf("deployer: unknown action %q", a))
	}
}

func (u *upgrade) report(d *Deployer) {
	version := u.next.spec.Version
	if u.steps.State == rollout.Done {
		d.emit(event.Upgraded{Version: version})
		u.ended <- nil
		return
	}

	d.emit(event.RolledBack{Version: version, Reason: u.reason.Error()})
	u.ended <- fmt.Errorf("%w: %w", ErrUpgrade, u.reason)
}
