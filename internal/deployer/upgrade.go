package deployer

import (
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"slices"

	"github.com/divisi-go/divisi/internal/event"
	"github.com/divisi-go/divisi/internal/lifecycle"
)

// ErrUpgrading is the error of an upgrade while another one goes on.
var ErrUpgrading = errors.New("an upgrade is going on")

// Upgrade replaces the running version by the next one: it starts a full set of replicas beside
// the old one, on the same listening sockets, waits until they take calls, and then drains the old
// ones. If the next version does not become ready in time, its replicas are stopped, and the old
// version has noticed nothing. Versions never call each other. Components that run once start in
// the next version when they have ended in the old one.
func (d *Deployer) Upgrade(ctx context.Context, next Spec) error {
	next.Version = cmp.Or(next.Version, rand.Text())
	var s *set
	var err error
	if failed := d.do(ctx, func() {
		if len(d.sets) > 1 || d.stopping {
			err = ErrUpgrading
			return
		}
		if d.sets[0].spec.Version == next.Version {
			err = fmt.Errorf("version %s runs already", next.Version)
			return
		}
		next.Name = d.sets[0].spec.Name
		if s, err = d.newSet(next); err != nil {
			return
		}
		s.before = d.sets[0]
		d.sets = append(d.sets, s)
		s.begin()
	}); failed != nil {
		return failed
	}
	if err != nil {
		return err
	}
	readyCtx, cancel := context.WithTimeoutCause(ctx, d.options.ReadyTime,
		fmt.Errorf("not ready within %v", d.options.ReadyTime))
	defer cancel()
	err = d.waitFor(readyCtx, func() (bool, error) {
		for _, r := range s.replicas {
			if r.life.State == lifecycle.Failed {
				return false, fmt.Errorf("%s has failed: %s", r.name, r.lastExit.Text)
			}
		}
		// Where everything runs once, nothing starts before the old version has ended.
		return s.ready() || len(s.replicas) == 0, nil
	})
	loser := s.before
	if err != nil {
		loser = s
	}
	if stopped := d.retire(loser.spec.Version); stopped != nil {
		return stopped
	}
	if err != nil {
		return fmt.Errorf("cannot upgrade: %w", err)
	}
	return d.do(ctx, func() {
		s.release()
		d.emit(event.Upgraded{Version: next.Version})
	})
}

// retire drains the replicas of a version and forgets them.
func (d *Deployer) retire(version string) error {
	ctx, cancel := context.WithTimeout(context.Background(), d.drainTime())
	defer cancel()
	find := func() *set {
		i := slices.IndexFunc(d.sets, func(s *set) bool { return s.spec.Version == version })
		return d.sets[i]
	}
	err := d.waitFor(ctx, func() (bool, error) {
		s := find()
		s.stop()
		return !s.running(), nil
	})
	if errors.Is(err, context.DeadlineExceeded) {
		d.do(context.Background(), func() { find().kill() })
		err = d.waitFor(context.Background(), func() (bool, error) { return !find().running(), nil })
	}
	if err != nil {
		return err
	}
	return d.do(context.Background(), func() {
		d.sets = slices.DeleteFunc(d.sets, func(s *set) bool { return s.spec.Version == version })
	})
}
