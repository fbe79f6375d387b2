package deployer

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/divisi-go/divisi/envelope"
	"github.com/divisi-go/divisi/envelope/protos"
	"github.com/divisi-go/divisi/internal/event"
	"github.com/divisi-go/divisi/internal/place"
	"github.com/divisi-go/divisi/internal/replica"
	"github.com/divisi-go/divisi/internal/rollout"
)

const (
	// dialTime is how long a takeover waits for the processes that run to dial: they leave a deployer that
	// stands still after five to seven seconds of silence. What one that dials later has been told is not known when
	// calls are routed.
	dialTime = 8 * time.Second

	// knownTime is how long a process that dials may wait until it is known who it is: it may be faster
	// than the launcher says that it has started.
	knownTime = 5 * time.Second
)

// accept converses with processes that dial, until ctx ends.
func (d *Deployer) accept(ctx context.Context) {
	for {
		conn, err := d.options.Succession.Accept(ctx)
		switch {
		case ctx.Err() != nil:
			return
		case err != nil:
			d.warn("no process can reach this deployer: %v", err)
			return
		}
		go d.meet(ctx, conn)
	}
}

// meet finds out who has dialled, and converses with it.
func (d *Deployer) meet(ctx context.Context, conn net.Conn) {
	var a *replica.Attempt
	env, err := envelope.Accept(ctx, conn, func(pid int) (*protos.EnvelopeInfo, error) {
		var err error
		if a, err = d.attemptOf(ctx, pid); err != nil {
			return nil, err
		}
		return a.Introduction(), nil
	})
	switch {
	case err == nil:
		a.Converse(env)
	case a != nil && errors.Is(err, envelope.ErrRefused):
		d.warn("%s refuses this deployer: %v", a.Introduction().Name, err)
	}
	// A process whose handshake has failed dials again, or is unheard.
}

// attemptOf returns the process with a number.
func (d *Deployer) attemptOf(ctx context.Context, pid int) (a *replica.Attempt, err error) {
	unknown := fmt.Errorf("this deployer knows no process %d of %s", pid, d.first.Name)
	if pid == 0 {
		return nil, unknown
	}
	ctx, cancel := context.WithTimeoutCause(ctx, knownTime, unknown)
	defer cancel()

	err = d.waitFor(ctx, func() (bool, error) {
		for _, s := range append(slices.Clone(d.sets), d.begun) {
			if s == nil {
				continue
			}
			for _, r := range s.replicas {
				if r.Pid() == pid {
					a = r.Process()
				}
			}
		}
		return a != nil, nil
	})
	return a, err
}

// takeOver goes on with what a deployer before has left running, and upgrades it to the version that is
// wanted. It runs aside.
func (d *Deployer) takeOver(running []Running) error {
	versions, order := d.records(running)
	if len(order) == 0 {
		return d.beginFirst()
	}
	states := make([]rollout.Version, len(order))
	if err := d.do(d.ctx, func() {
		for i, name := range order {
			s := d.newSet(versions[name])
			for _, p := range running {
				if p.Version == name {
					s.adopt(p)
				}
			}
			d.sets = append(d.sets, s)
			states[i].Digest = name
		}
	}); err != nil {
		return err
	}

	dialled, cancel := context.WithTimeout(d.ctx, dialTime)
	defer cancel()
	_ = d.waitFor(dialled, d.haveDialled)

	var upgrade bool
	if err := d.do(d.ctx, func() {
		for i, s := range d.sets {
			states[i].Leaving = s.leavesAlready()
		}
		upgrade = d.decide(rollout.Resume(states, d.first.Version))
	}); err != nil || !upgrade {
		return err
	}

	// What nobody wants goes first.
	err := d.waitFor(d.ctx, func() (bool, error) { return d.stopping || len(d.sets) <= 1 && d.upgrade == nil, nil })
	if err != nil {
		return err
	}
	return d.try()
}

// try upgrades to the version that is wanted, unless that has failed a short while ago.
func (d *Deployer) try() error {
	next := d.options.Succession
	failures, err := next.Failures()
	if err != nil {
		d.warn("it is not known which versions have failed lately: %v", err)
	}
	now := time.Now()
	if f, ok := failures.Recent(d.first.Version, now); ok && !d.options.Retry {
		return &failedLately{f, now.Sub(f.At)}
	}

	err = d.Upgrade(d.ctx, d.first)
	if errors.Is(err, ErrUpgrade) && !errors.Is(err, ErrOver) {
		failure := rollout.Failure{Digest: d.first.Version, At: time.Now(), Reason: strings.TrimPrefix(err.Error(), ErrUpgrade.Error()+": ")}
		if failed := next.SetFailures(failures.Add(failure)); failed != nil {
			d.warn("it will not be known that the version has failed: %v", failed)
		}
	}
	return err
}

// failedLately is the error of a version that is not tried.
type failedLately struct {
	rollout.Failure
	ago time.Duration
}

func (e *failedLately) Error() string {
	return fmt.Sprintf("version %s is not tried, for it failed %v ago: %s", e.Digest, e.ago.Round(time.Second), e.Reason)
}

// Hint returns the way out.
func (e *failedLately) Hint() string { return "change something, or try it again: --retry" }

// records returns the versions of which something runs, in their order. Processes of a version that nobody
// knows any more are ended first.
func (d *Deployer) records(running []Running) (versions map[string]version, order []string) {
	var gone sync.WaitGroup
	versions = map[string]version{}
	unknown := map[string]error{}
	for _, p := range running {
		if _, ok := versions[p.Version]; ok {
			continue
		}
		if unknown[p.Version] == nil {
			spec, err := d.options.Succession.Load(p.Version)
			if err != nil && p.Version == d.first.Version {
				spec, err = d.first, nil // the record said the same
			}
			if err == nil {
				versions[p.Version], err = d.prepare(spec)
			}
			if err == nil {
				order = append(order, p.Version)
				continue
			}
			delete(versions, p.Version)
			unknown[p.Version] = err
			d.warn("what runs of the version %s is ended, since it cannot be taken over: %v", p.Version, err)
		}
		gone.Go(p.Dismiss)
	}
	gone.Wait()

	return versions, order
}

// adopt takes over a process that runs. Of one that waits for its next start the replica starts as any
// other, and replaces it.
func (s *set) adopt(p Running) {
	switch {
	case p.Pid == 0:
		s.waiting = append(s.waiting, p.Dismiss)
		return
	case s.replicas[p.Replica] != nil || s.group(p.Replica.Group).Name == "":
		s.d.aside.Go(p.Dismiss)
		return
	}

	s.add(p.Replica).Adopt(p.Process, p.LogKey, p.Started, p.Restarts)
}

// haveDialled reports whether all processes that run have.
func (d *Deployer) haveDialled() (bool, error) {
	for _, s := range d.sets {
		for _, r := range s.replicas {
			if r.Pid() != 0 && r.Conversation() == nil {
				return false, nil
			}
		}
	}
	return true, nil
}

// leavesAlready reports whether the version was being replaced: the replicas of the main component go first.
func (s *set) leavesAlready() bool {
	for _, group := range s.plan.MainGroups() {
		there := false
		for _, r := range s.replicas {
			if r.ID.Group == group && !r.Drains() {
				there = true
			}
		}
		if !there {
			return true
		}
	}
	return false
}

// decide does what was decided about the versions that run. It reports whether an upgrade is to follow.
func (d *Deployer) decide(what rollout.Decision) (upgrade bool) {
	all := d.sets
	d.sets = nil
	var serving *set
	for _, s := range all {
		switch version := s.spec.Version; {
		case version == what.Serve:
			serving = s
		case slices.Contains(what.Drop, version):
			s.retired = true // also if it is wanted again: what drains takes no calls any more
			s.withdrawn = serving != nil
		case version == what.Upgrade:
			d.begun = s
		}
	}

	for _, s := range all {
		if s != d.begun {
			d.sets = append(d.sets, s)
		}
		if s.retired {
			serving.before = append(serving.before, s)
		}
	}
	for _, s := range d.sets {
		s.resume(false)
	}
	d.known = true
	d.emit(event.TookOver{Version: what.Serve, Servers: len(serving.replicas)})

	return what.Upgrade != ""
}

// resume puts what was found running into its place, and starts what is missing.
func (s *set) resume(beside bool) {
	var hosted []place.Hosted
	for _, r := range s.ordered() {
		h := place.Hosted{Replica: r.ID}
		if r.Conversation() != nil {
			info := r.Conversation().WeaveletInfo()
			h.Address = info.DialAddr
			for _, route := range info.Routes {
				h.Told = append(h.Told, routeOf(route))
			}
			r.Process().Know(info.Routes)
		}
		hosted = append(hosted, h)
	}

	var actions []place.Action
	s.placement, actions = place.Resume(s.plan, hosted, beside)
	s.perform(actions)
	for _, r := range s.ordered() {
		if r.Conversation() != nil {
			r.Resume(s.placement.Takes(r.ID))
		}
	}
	close(s.resumed)
}

// retire lets go of what nobody wants.
func (d *Deployer) retire() {
	for _, s := range slices.Clone(d.sets) {
		if !s.retired {
			continue
		}
		s.stop()
		if s.running() {
			continue
		}

		d.forget(s)
		if s.withdrawn {
			d.emit(event.RolledBack{Version: s.spec.Version, Reason: "its upgrade was cut short, and it is not wanted any more"})
		}
	}
}

// forget lets go of a version that has ended.
func (d *Deployer) forget(gone *set) {
	is := func(s *set) bool { return s == gone }
	d.sets = slices.DeleteFunc(d.sets, is)
	for _, s := range d.sets {
		s.before = slices.DeleteFunc(s.before, is)
		s.release()
	}

	d.forgetRecord(gone)
}

// forgetRecord has nobody find a version that has ended, nor start any of it again.
func (d *Deployer) forgetRecord(gone *set) {
	d.forgetting.Go(func() {
		for _, dismiss := range gone.waiting {
			dismiss() // of one that was replaced this does nothing
		}
		gone.authority.Forget(context.WithoutCancel(d.ctx))
		if d.options.Succession == nil {
			return
		}
		if err := d.options.Succession.Forget(gone.spec.Version); err != nil {
			d.warn("the record of the version %s is not removed: %v", gone.spec.Version, err)
		}
	})
}
