// Package ward has the servers that a run of a program looks after, as members of its tree: each is started, adopted or
// replaced, waited for, and ended when it is to.
package ward

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"syscall"

	"github.com/divisi-go/divisi/internal/claimed"
	"github.com/divisi-go/divisi/internal/event"
	"github.com/divisi-go/divisi/internal/keeper"
	"github.com/divisi-go/divisi/internal/lifecycle"
	"github.com/divisi-go/divisi/internal/operator"
	"github.com/divisi-go/divisi/internal/program"
	"github.com/divisi-go/divisi/internal/server"
	"github.com/divisi-go/divisi/internal/supervision"
	"github.com/divisi-go/divisi/internal/tree"
)

// Run is a run of a program.
type Run struct {
	Life       context.Context // ends with it; what runs may go on
	Settled    func() bool     // all that it wants was asked for
	Supervisor *supervision.Supervisor
	Log        *slog.Logger
}

// Server is a server, with the processes that it has one after the other.
type Server struct {
	Wanted *server.Wanted // at first
	Member *supervision.Member
	Hangs  *server.Hangs // those of its host
	Asked  *claimed.Set  // that of its host
	In     Run

	// Again returns the server as it is wanted by now: its program may be another file.
	Again func() (*server.Wanted, error)

	renewing sync.Mutex // held while another process takes the place of the one that runs

	mu      sync.Mutex // guards Wanted, and what follows
	now     keeper.Proc
	outcome server.Outcome
	fresh   bool // this run of the program has started it, in nobody's place
}

// ID returns the full name of the server.
func (s *Server) ID() string { return s.wanted().Spec.ID().String() }

func (s *Server) wanted() *server.Wanted {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.Wanted
}

// Outcome returns what was done first to have it run.
func (s *Server) Outcome() server.Outcome {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.outcome
}

// Pid returns the number of the process that was started last. It may have ended.
func (s *Server) Pid() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.now.Pid
}

// Warn says of an upgrade what is to be known; err may be nil.
func (s *Server) Warn(what string, err error) {
	why := []any{"server", s.ID()}
	if err != nil {
		why = append(why, "why", err)
	}
	s.In.Log.Warn(what, why...)
}

// Run has the server run, and returns what waits for its end.
func (s *Server) Run(ctx context.Context) (func() (bool, error), error) {
	wanted := s.wanted()
	id := wanted.Spec.ID()
	now, outcome, err := wanted.Ensure(ctx)
	if stopped := errors.Is(context.Cause(ctx), supervision.ErrStopped); err != nil && stopped && s.In.Settled() {
		err = errors.Join(err, server.Undo(wanted.Keeper, id)) // also the one whose place it was to take
	}
	if err != nil {
		return nil, fmt.Errorf("cannot start %v (%s): %w", id, s.Member.Site, program.Explain(wanted.Spec.Path, err))
	}
	s.is(now, outcome)
	s.Asked.Add(id)
	s.came(now, outcome)

	life, leave := context.WithCancel(s.In.Life)
	var halting sync.Mutex // held while the keeper is asked to end it: its host may be what ends next
	s.Member.WhenHalted(func(kill bool) {
		halting.Lock()
		defer halting.Unlock()
		s.halt(leave, kill)
	})
	return func() (bool, error) {
		defer leave()
		finished, err := s.wait(life, now, leave)
		for next := s.next(); next.ID != now.ID && life.Err() == nil; next = s.next() {
			now = next
			finished, err = s.wait(life, now, leave)
		}
		halting.Lock()
		defer halting.Unlock()
		return finished, err
	}, nil
}

// Renew has another process of the server take the place of the one that runs, which ends when the next one is ready. The
// server is as it is wanted by now. Where no two can run side by side nothing is done, and it is so from its next start on.
func (s *Server) Renew(ctx context.Context) (done bool, err error) {
	wanted, err := s.Again()
	if err != nil || wanted.Alone {
		s.want(wanted, err)
		return false, err
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(s.In.Life, cancel)()
	s.renewing.Lock()
	defer s.renewing.Unlock()
	now, err := wanted.Renew(ctx)
	if err != nil {
		return false, program.Explain(wanted.Spec.Path, err)
	}
	s.want(wanted, nil)
	s.is(now, server.Upgraded)
	s.came(now, server.Upgraded)
	return true, nil
}

func (s *Server) want(w *server.Wanted, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err == nil {
		s.Wanted = w
	}
}

// next returns the process that the server has, once it is known whether another one takes its place.
func (s *Server) next() keeper.Proc {
	s.renewing.Lock() // one that goes on is to know
	defer s.renewing.Unlock()
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.now
}

func (s *Server) is(now keeper.Proc, o server.Outcome) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.now = now
	if s.outcome == "" {
		s.outcome, s.fresh = o, o == server.Started
	}
}

// came says how a process of the server has come to be.
func (s *Server) came(now keeper.Proc, outcome server.Outcome) {
	s.In.Log.Info(string(outcome), "server", s.ID(), "pid", now.Pid)
	of := s.of(now)
	s.In.Supervisor.Events.Add(map[server.Outcome]event.Event{
		server.Started: event.Started{Server: of}, server.Adopted: event.Adopted{Server: of}, server.Upgraded: event.Replaced{Server: of},
	}[outcome])
}

// of returns the server as events have it.
func (s *Server) of(now keeper.Proc) event.Server {
	of := s.In.Supervisor.Of(s.Member)
	of.Pid, of.Version = now.Pid, operator.ShortVersion(now)
	return of
}

// halt ends the server, or leaves it to a program that settles: until this one has, it stops nothing that
// it has not started itself.
func (s *Server) halt(leave func(), kill bool) {
	s.mu.Lock()
	k, id, fresh := s.Wanted.Keeper, s.Wanted.Spec.ID(), s.fresh
	s.mu.Unlock()
	if !fresh && !s.In.Settled() {
		leave()
		return
	}

	ctx, cancel := context.WithTimeout(context.Background(), s.Member.Spec.Policy.StopTime)
	defer cancel()
	var err error
	if kill {
		err = k.Signal(ctx, id, syscall.SIGKILL)
	} else {
		_, err = k.Stop(ctx, id)
	}
	if err != nil && !errors.Is(err, keeper.ErrUnknown) {
		s.In.Log.Error("cannot stop", "server", s.ID(), "why", err)
		leave()
	}
}

// wait waits for the end of a process of the server. The tree hears that it hangs before it hears that it has ended.
func (s *Server) wait(life context.Context, now keeper.Proc, leave func()) (finished bool, err error) {
	hangs, forget := s.Hangs.Of(now.ID)
	defer forget()
	var exit keeper.Exit
	ended := make(chan error, 1)
	go func() {
		var err error
		exit, err = s.wanted().Keeper.Wait(life, now.ID)
		ended <- err
	}()
	for waits := true; waits; {
		select {
		case why := <-hangs:
			s.hangs(now, leave, why)
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
	s.In.Supervisor.Events.Add(event.Exited{
		Server: s.of(now), Code: exit.Code, Signal: exit.Signal, Text: exit.String(), Asked: (s.Member.Halted() || s.next().ID != now.ID) && exit.Hung == "",
	})
	if exit.Event() == lifecycle.Finished {
		return true, fmt.Errorf("%v %v", s.ID(), exit)
	}
	return false, fmt.Errorf("%v %v%s", s.ID(), exit, s.wanted().Start(now).LastWords())
}

// hangs takes note that the keeper has given a process up, which it kills. Only that it is not to start again is
// left to say.
func (s *Server) hangs(now keeper.Proc, leave func(), why string) {
	s.Member.WhenHalted(func(kill bool) {
		if !kill {
			s.halt(leave, false)
		}
	})
	s.In.Supervisor.Events.Add(event.Hung{Server: s.of(now), Reason: why})
	s.In.Supervisor.Tell(tree.Hung, s.Member.Path)
}
