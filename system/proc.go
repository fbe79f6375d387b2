package system

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/divisi-go/divisi/internal/event"
	"github.com/divisi-go/divisi/internal/keeper"
	"github.com/divisi-go/divisi/internal/lifecycle"
	"github.com/divisi-go/divisi/internal/operator"
	stored "github.com/divisi-go/divisi/internal/program"
	"github.com/divisi-go/divisi/internal/server"
	"github.com/divisi-go/divisi/internal/supervision"
	"github.com/divisi-go/divisi/internal/tree"
)

// Proc is a server: a program that a host runs, with the processes that it has one after the other.
type Proc struct {
	host    *Host
	nursery *Nursery
	plan    *plan
	member  *supervision.Member

	mu      sync.Mutex // guards what follows
	now     keeper.Proc
	outcome Outcome
	fresh   bool // this run of the program has started it, in nobody's place
}

// Outcome says what Ensure has done.
type Outcome string

// The outcomes.
const (
	Adopted  Outcome = "adopted"  // it ran as wanted
	Upgraded Outcome = "upgraded" // it ran in another way, or could not be used, and was replaced
	Started  Outcome = "started"  // it did not run
)

// ID returns the full name of the server, such as positiond@/orderd/eu, as commands and logs have it.
func (p *Proc) ID() string { return p.plan.spec.ID().String() }

// Outcome returns what Ensure has done.
func (p *Proc) Outcome() Outcome {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.outcome
}

// Pid returns the number of the process that was started last. It may have ended.
func (p *Proc) Pid() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.now.Pid
}

func (p *Proc) is(now keeper.Proc, o Outcome) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.now = now
	if p.outcome == "" {
		p.outcome, p.fresh = o, o == Started
	}
}

// Ensure has a server run in a nursery, and returns when it can be used. One that runs as wanted, whoever
// has started it, is left as it is. One that runs in another way is replaced: the next one starts on the
// same sockets, and the one before stops when the next one is ready; if it is not in time, it is stopped,
// the one before has never left, and the error has the last lines of its log. One that runs as wanted, and
// does not become ready in time, is replaced in the same way. From then on the nursery supervises it.
//
// The context bounds the start. The server ends with the nursery.
func (h *Host) Ensure(ctx context.Context, n *Nursery, s Spec) (*Proc, error) {
	site := caller()
	plan, err := h.plan(n.Path(), s)
	if err != nil {
		return nil, fmt.Errorf("cannot start %s in %s (%s): %w", s.Name, n.Path(), site, err)
	}
	p := &Proc{host: h, nursery: n, plan: plan}
	p.member = n.member(operator.KindServer, s.Name, site)
	p.member.Run = p.run
	p.member.Spec = tree.Spec{Policy: s.Policy.lifecycle(Permanent), Host: h.name}
	p.member.Spec.Policy.StopTime = plan.spec.Grace + stopMargin // the keeper kills after the grace
	plan.spec.Policy, plan.spec.Yields = s.Policy.keeper(), true
	if err := n.start(ctx, p.member); err != nil {
		return nil, err
	}
	return p, nil
}

// stopMargin is how much longer than its grace a server may take to stop.
const stopMargin = 15 * time.Second

// run has the server run, and returns what waits for its end.
func (p *Proc) run(ctx context.Context) (func() (bool, error), error) {
	id := p.plan.spec.ID()
	now, outcome, err := p.ensure(ctx)
	if stopped := errors.Is(context.Cause(ctx), supervision.ErrStopped); err != nil && stopped && p.nursery.program.settled.Load() {
		err = errors.Join(err, server.Undo(p.host.below.Keeper, id)) // also the one whose place it was to take
	}
	if err != nil {
		return nil, fmt.Errorf("cannot start %v (%s): %w", id, p.member.Site, err)
	}
	p.is(now, outcome)
	p.host.asked.Add(p.plan.spec.ID())
	p.came(now, outcome)

	life, leave := context.WithCancel(p.nursery.program.life)
	p.member.WhenHalted(func(kill bool) { p.halt(leave, kill) })
	return func() (bool, error) {
		defer leave()
		return p.wait(life, now)
	}, nil
}

// came says how a process of the server has come to be.
func (p *Proc) came(now keeper.Proc, outcome Outcome) {
	program := p.nursery.program
	program.log.Info(string(outcome), "server", p.ID(), "pid", now.Pid)
	program.supervisor.Events.Add(map[Outcome]event.Event{
		Started: event.Started{Server: p.of(now)}, Adopted: event.Adopted{Server: p.of(now)}, Upgraded: event.Replaced{Server: p.of(now)},
	}[outcome])
}

// of returns the server as events have it.
func (p *Proc) of(now keeper.Proc) event.Server {
	of := p.nursery.program.supervisor.Of(p.member)
	of.Pid, of.Version = now.Pid, operator.ShortVersion(now)
	return of
}

// halt ends the server, or leaves it to a program that settles: until this one has, it stops nothing that
// it has not started itself.
func (p *Proc) halt(leave func(), kill bool) {
	p.mu.Lock()
	id, fresh := p.plan.spec.ID(), p.fresh
	p.mu.Unlock()
	if !fresh && !p.nursery.program.settled.Load() {
		leave()
		return
	}

	ctx, cancel := context.WithTimeout(context.Background(), p.member.Spec.Policy.StopTime)
	defer cancel()
	session := p.host.below.Keeper
	var err error
	if kill {
		err = session.Signal(ctx, id, syscall.SIGKILL)
	} else {
		_, err = session.Stop(ctx, id)
	}
	if err != nil && !errors.Is(err, keeper.ErrUnknown) {
		p.nursery.program.log.Error("cannot stop", "server", p.ID(), "why", err)
		leave()
	}
}

// wait waits for the end of a process of the server.
func (p *Proc) wait(life context.Context, now keeper.Proc) (finished bool, err error) {
	exit, err := p.host.below.Keeper.Wait(life, now.ID)
	switch {
	case life.Err() != nil:
		return false, supervision.ErrStopped
	case err != nil:
		return false, err
	}
	p.nursery.program.supervisor.Events.Add(event.Exited{
		Server: p.of(now), Code: exit.Code, Signal: exit.Signal, Text: exit.String(), Asked: p.member.Halted(),
	})
	if exit.Event() == lifecycle.Finished {
		return true, fmt.Errorf("%v %v", p.ID(), exit)
	}
	return false, fmt.Errorf("%v %v%s", p.ID(), exit, p.start(now).LastWords())
}

// start returns a start of the server, to wait for or to hear of.
func (p *Proc) start(now keeper.Proc) *server.Start {
	return &server.Start{
		Keeper: p.host.below.Keeper, Proc: now, Spec: &p.plan.spec, Ready: p.plan.ready, Check: p.plan.check,
		Listeners: p.plan.at, Log: p.host.below.Log(now.ID),
	}
}

// ensure has a process run that is as wanted, and returns it when it is ready.
func (p *Proc) ensure(ctx context.Context) (keeper.Proc, Outcome, error) {
	session := p.host.below.Keeper
	list, err := p.present(ctx)
	if err != nil {
		return keeper.Proc{}, "", err
	}
	same := -1
	for i, other := range list {
		if p.isOf(other) {
			same = i // the newest one
		}
	}
	if same < 0 && len(list) > 0 {
		now, err := p.upgrade(ctx, list)
		return now, Upgraded, err
	}

	if same >= 0 && list[same].Pid != 0 {
		err := p.ready(ctx, list[same], false)
		switch {
		case err == nil:
			return list[same], Adopted, p.undo(list, list[same])
		case ctx.Err() != nil:
			return list[same], "", err
		}
		p.nursery.program.log.Warn("it runs as wanted, and cannot be used: another one takes its place", "server", p.ID(), "why", err)
		now, err := p.upgrade(ctx, list)
		return now, Upgraded, err
	}

	spec := p.plan.spec
	if same >= 0 {
		spec.Digest = list[same].Digest // which waits for this start
	}
	now, err := session.Start(ctx, spec)
	if err != nil {
		return now, "", stored.Explain(spec.Path, err)
	}
	if err = p.ready(ctx, now, false); err != nil {
		return now, "", errors.Join(err, server.Undo(session, now.ID))
	}
	return now, Started, p.undo(list, now)
}

// isOf reports whether a server runs as wanted. One that takes the place of such a one has the same digest and a
// number, for the keeper never has two servers of one digest beside each other.
func (p *Proc) isOf(other keeper.Proc) bool {
	digest, _, _ := strings.Cut(other.Digest, "~")
	return digest == p.plan.spec.Digest
}

// undo stops all of a list but one: they are of an upgrade that did not come to its end.
func (p *Proc) undo(list []keeper.Proc, but keeper.Proc) (err error) {
	for _, other := range list {
		if other.Digest != but.Digest {
			err = errors.Join(err, server.Undo(p.host.below.Keeper, other.ID))
		}
	}
	return err
}

// upgrade has the next process take the place of those that run in another way. One server at a time is
// upgraded.
func (p *Proc) upgrade(ctx context.Context, list []keeper.Proc) (keeper.Proc, error) {
	session, before := p.host.below.Keeper, list[len(list)-1]
	select {
	case p.nursery.program.upgrades <- struct{}{}:
		defer func() { <-p.nursery.program.upgrades }()
	case <-ctx.Done():
		return before, context.Cause(ctx)
	}

	spec := p.plan.spec
	if slices.ContainsFunc(list, p.isOf) {
		spec.Digest += "~" + strconv.FormatUint(before.Run, 10)
	}
	next := server.Succession{Order: server.StartFirst, Before: before}
	former := keeper.Spec{}
	if p.plan.alone {
		next.Order = server.StopFirst
		var err error
		if former, err = session.Spec(ctx, before.ID); err != nil {
			return before, err
		}
	}
	err := next.Begin(ctx, session, spec)
	if err == nil {
		err = next.End(ctx, session, p.ready(ctx, next.Next, next.Order == server.StartFirst))
	}
	if err != nil && next.Order == server.StopFirst {
		err = errors.Join(stored.Explain(p.plan.spec.Path, err), p.restore(former))
	}
	if err != nil {
		return next.Next, stored.Explain(p.plan.spec.Path, err)
	}
	return next.Next, p.undo(list[:len(list)-1], next.Next)
}

// restore starts what was stopped for an upgrade that has failed.
func (p *Proc) restore(former keeper.Spec) error {
	session := p.host.below.Keeper
	err := server.Undo(session, p.plan.spec.ID())
	ctx, cancel := context.WithTimeout(context.Background(), stopMargin)
	defer cancel()
	before, failed := session.Start(ctx, former)
	if err = errors.Join(err, failed); err != nil {
		return fmt.Errorf("the one before cannot be started again: %w", err)
	}
	return fmt.Errorf("the one before runs again, as process %d", before.Pid)
}

const (
	// comingTime bounds the wait for a process that the keeper was starting when the program came.
	comingTime = 5 * time.Second
	comingPoll = 10 * time.Millisecond
)

// present returns the servers of the name that stay, the oldest first, once it is known what became of
// processes that were being started or stopped.
func (p *Proc) present(ctx context.Context) ([]keeper.Proc, error) {
	id := p.plan.spec.ID()
	for end := time.Now().Add(comingTime); ; {
		list, err := p.host.below.Keeper.List(ctx, id.Domain)
		if err != nil {
			return nil, err
		}
		list = slices.DeleteFunc(list, func(other keeper.Proc) bool { return other.Domain != id.Domain || other.Name != id.Name })
		comes := slices.ContainsFunc(list, func(o keeper.Proc) bool { return o.Pid == 0 && o.State == lifecycle.Starting })
		if !comes || time.Now().After(end) {
			return p.staying(ctx, list)
		}

		select {
		case <-time.After(comingPoll):
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		}
	}
}

// staying waits for those to end that a run of the program has stopped before it ended itself, and returns the
// others.
func (p *Proc) staying(ctx context.Context, list []keeper.Proc) (stay []keeper.Proc, err error) {
	for _, other := range list {
		if other.State != lifecycle.Draining && other.State != lifecycle.Stopping {
			stay = append(stay, other)
			continue
		}
		_, err := p.host.below.Keeper.Stop(ctx, other.ID)
		if err != nil && !errors.Is(err, keeper.ErrUnknown) {
			return nil, err
		}
	}
	return stay, nil
}

// ready waits until a process is ready, as long as it may take. Beside another one, that one may answer.
func (p *Proc) ready(ctx context.Context, now keeper.Proc, beside bool) error {
	limited, cancel := context.WithTimeout(ctx, p.plan.time)
	defer cancel()
	start := p.start(now)
	start.Beside = beside
	err := start.Await(limited)
	switch {
	case err == nil:
		return nil
	case ctx.Err() != nil:
		return err
	case limited.Err() != nil:
		return fmt.Errorf("it is not ready after %v: %w%s", p.plan.time, err, start.LastWords())
	}
	return fmt.Errorf("%w%s", err, start.LastWords())
}
