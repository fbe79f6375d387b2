package system

import (
	"context"
	"errors"
	"fmt"
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
	wanted  *server.Wanted
	member  *supervision.Member

	mu      sync.Mutex // guards what follows
	now     keeper.Proc
	outcome Outcome
	fresh   bool // this run of the program has started it, in nobody's place
}

// Outcome says what Ensure has done.
type Outcome = server.Outcome

// The outcomes.
const (
	Adopted  = server.Adopted  // it ran as wanted
	Upgraded = server.Upgraded // it ran in another way, or could not be used, and was replaced
	Started  = server.Started  // it did not run
)

// ID returns the full name of the server, such as positiond@/orderd/eu, as commands and logs have it.
func (p *Proc) ID() string { return p.wanted.Spec.ID().String() }

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
	wanted, err := h.wanted(n.Path(), s)
	if err != nil {
		return nil, fmt.Errorf("cannot start %s in %s (%s): %w", s.Name, n.Path(), site, err)
	}
	p := &Proc{host: h, nursery: n, wanted: wanted}
	wanted.Turn = n.program.upgrades
	wanted.Warn = func(what string, err error) {
		why := []any{"server", p.ID()}
		if err != nil {
			why = append(why, "why", err)
		}
		n.program.log.Warn(what, why...)
	}
	p.member = n.member(operator.KindServer, s.Name, site)
	p.member.Run = p.run
	p.member.Spec = tree.Spec{Policy: s.Policy.lifecycle(Permanent), Host: h.name}
	p.member.Spec.Policy.StopTime = wanted.Spec.Grace + stopMargin // the keeper kills after the grace
	wanted.Spec.Policy, wanted.Spec.Yields = s.Policy.keeper(), true
	if err := n.start(ctx, p.member); err != nil {
		return nil, err
	}
	return p, nil
}

// stopMargin is how much longer than its grace a server may take to stop.
const stopMargin = 15 * time.Second

// run has the server run, and returns what waits for its end.
func (p *Proc) run(ctx context.Context) (func() (bool, error), error) {
	id := p.wanted.Spec.ID()
	now, outcome, err := p.wanted.Ensure(ctx)
	if stopped := errors.Is(context.Cause(ctx), supervision.ErrStopped); err != nil && stopped && p.nursery.program.settled.Load() {
		err = errors.Join(err, server.Undo(p.host.below.Keeper, id)) // also the one whose place it was to take
	}
	if err != nil {
		return nil, fmt.Errorf("cannot start %v (%s): %w", id, p.member.Site, stored.Explain(p.wanted.Spec.Path, err))
	}
	p.is(now, outcome)
	p.host.asked.Add(p.wanted.Spec.ID())
	p.came(now, outcome)

	life, leave := context.WithCancel(p.nursery.program.life)
	var halting sync.Mutex // held while the keeper is asked to end it: its host may be what ends next
	p.member.WhenHalted(func(kill bool) {
		halting.Lock()
		defer halting.Unlock()
		p.halt(leave, kill)
	})
	return func() (bool, error) {
		defer leave()
		finished, err := p.wait(life, now, leave)
		halting.Lock()
		defer halting.Unlock()
		return finished, err
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
	id, fresh := p.wanted.Spec.ID(), p.fresh
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

// wait waits for the end of a process of the server. The tree hears that it hangs before it hears that it has ended.
func (p *Proc) wait(life context.Context, now keeper.Proc, leave func()) (finished bool, err error) {
	program := p.nursery.program
	hangs, forget := p.host.hangs.Of(now.ID)
	defer forget()
	var exit keeper.Exit
	ended := make(chan error, 1)
	go func() {
		var err error
		exit, err = p.host.below.Keeper.Wait(life, now.ID)
		ended <- err
	}()
	for waits := true; waits; {
		select {
		case why := <-hangs:
			p.hangs(now, leave, why)
		case err = <-ended:
			waits = false
		}
	}

	switch {
	case life.Err() != nil:
		return false, supervision.ErrStopped
	case err != nil:
		return false, err
	}
	program.supervisor.Events.Add(event.Exited{
		Server: p.of(now), Code: exit.Code, Signal: exit.Signal, Text: exit.String(), Asked: p.member.Halted() && exit.Hung == "",
	})
	if exit.Event() == lifecycle.Finished {
		return true, fmt.Errorf("%v %v", p.ID(), exit)
	}
	return false, fmt.Errorf("%v %v%s", p.ID(), exit, p.wanted.Start(now).LastWords())
}

// hangs takes note that the keeper has given a process up, which it kills. Only that it is not to start again is
// left to say.
func (p *Proc) hangs(now keeper.Proc, leave func(), why string) {
	p.member.WhenHalted(func(kill bool) {
		if !kill {
			p.halt(leave, false)
		}
	})
	supervisor := p.nursery.program.supervisor
	supervisor.Events.Add(event.Hung{Server: p.of(now), Reason: why})
	supervisor.Tell(tree.Hung, p.member.Path)
}
