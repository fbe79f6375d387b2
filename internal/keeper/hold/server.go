//go:build unix

package hold

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"syscall"
	"time"

	"github.com/divisi-go/divisi/internal/keeper"
	"github.com/divisi-go/divisi/internal/keeper/alarm"
	"github.com/divisi-go/divisi/internal/keeper/pulse"
	"github.com/divisi-go/divisi/internal/keeper/record"
	"github.com/divisi-go/divisi/internal/keeper/shelf"
	"github.com/divisi-go/divisi/internal/lifecycle"
	"github.com/divisi-go/divisi/internal/notify"
)

// server is what somebody wants to run under a name, with the processes that it has one after the
// other. Package lifecycle decides about it. The keeper's mutex guards it.
//
// Invariants:
//   - It is in the keeper's table from its first start until its life is stopped and the logs of its
//     processes are written.
//   - While a process is being started, process is nil and its life is one of those that run. Signals
//     for it wait until it is there.
type server struct {
	k    *Keeper
	spec keeper.Spec // without the files of its first process
	life lifecycle.Process

	process  *process         // nil while there is none
	signals  []syscall.Signal // for the process that is being started
	born     uint64           // number of the first start
	run      uint64           // number of the last one that has, or had, a process; 0 before
	started  time.Time        // of the last one
	status   string           // what it says of itself
	failing  string           // what its probes have shown, while they fail
	hung     string           // why its process is given up
	pulse    pulse.Pulse      // its signs of life
	shelf    shelf.Shelf      // what its next process gets from this one
	next     uint64           // the number of the process that is being started
	early    []notify.Message // what that one says meanwhile
	lastExit *keeper.Exit
	alarm    alarm.Alarm   // for when its life wants to go on
	writing  int           // processes that have ended, or will, and whose logs are not written
	over     chan struct{} // closed when it leaves the table
}

// stopGrace is the default of Spec.Grace.
const stopGrace = 10 * time.Second

// start starts a server for a session. One whose first process cannot be started, or that the next keeper would
// not know of, leaves nothing.
func (k *Keeper) start(ctx context.Context, session *Session, spec keeper.Spec) (keeper.Proc, error) {
	if err := spec.Check(); err != nil {
		return keeper.Proc{}, err
	}
	if err := k.ledger.Able(spec.Policy != nil); err != nil {
		return keeper.Proc{}, fmt.Errorf("cannot start %v: %w", spec.ID(), err)
	}

	s, begun, err := k.begin(session, spec)
	if err != nil {
		return keeper.Proc{}, err
	}

	if err := k.promised(begun); err != nil {
		k.mu.Lock()
		s.step(lifecycle.Kill)
		k.mu.Unlock()
		select {
		case <-s.over:
		case <-ctx.Done():
		}
		return keeper.Proc{}, fmt.Errorf("cannot start %v: %w", s.ID(), err)
	}

	k.mu.Lock()
	defer k.mu.Unlock()
	p := s.proc()
	if s.process != begun { // it has ended already
		p.ID, p.Pid = begun.id, 0
	}
	return p, nil
}

// promised returns when the journal has a process, and the server is known after the end of the machine if it
// need be, or says why not.
func (k *Keeper) promised(p *process) error {
	err := k.ledger.Promise(false)
	if p.synced != nil {
		err = errors.Join(err, <-p.synced)
	}
	return err
}

// begin returns a server with its first process, or the one that has waited for its client to start it,
// with the next one.
func (k *Keeper) begin(session *Session, spec keeper.Spec) (*server, *process, error) {
	k.whole.RLock()
	defer k.whole.RUnlock()
	files := spec.Files
	spec.Files = nil // a later start has none
	s, err := k.enter(session, spec)
	if err != nil {
		return nil, nil, err
	}

	p, err := s.spawn(files)
	if err != nil {
		s.refused(err)
	}
	return s, p, err
}

// ID returns the name of the server.
func (s *server) ID() keeper.ID { return s.spec.ID() }

// newServer returns a server that is stopped, and in no table.
func (k *Keeper) newServer(spec keeper.Spec) *server {
	s := &server{k: k, over: make(chan struct{})}
	s.life.Rand = rand.Float64
	s.alarm = alarm.Alarm{Lock: &k.mu, Ring: func() {
		if !k.closed {
			s.step(lifecycle.Tick)
		}
	}}
	s.pulse = pulse.Pulse{Lock: &k.mu, Stopped: s.stuck}
	s.mean(spec)

	return s
}

// mean has the next process of the server be as a specification says.
func (s *server) mean(spec keeper.Spec) {
	s.spec = spec
	s.life.Policy = lifecycle.Policy{Restart: lifecycle.Temporary}
	if spec.Policy != nil {
		s.life.Policy = *spec.Policy
	}
	s.life.Policy.StopTime = cmp.Or(spec.Grace, stopGrace)
	s.pulse.Every = spec.Watch
}

// enter returns a server of the table that is about to start.
func (k *Keeper) enter(session *Session, spec keeper.Spec) (*server, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if err := session.mayStart(&spec); err != nil {
		return nil, err
	}
	id := spec.ID()
	running := k.servers.Named(id)
	same := slices.IndexFunc(running, func(s *server) bool { return s.spec.Yields && s.spec.Digest == spec.Digest })
	if same >= 0 && running[same].waits() {
		running[same].restart(spec)
		return running[same], nil
	}
	if same >= 0 || len(running) > 0 && !spec.Beside {
		return nil, fmt.Errorf("cannot start %v: %w as process %d", id, keeper.ErrRuns, running[max(same, 0)].proc().Pid)
	}

	s := k.newServer(spec)
	k.servers.Add(s)
	s.life.Step(lifecycle.Start, time.Now())

	return s, nil
}

// waits reports whether the server waits for its client to start it again; the mutex is held.
func (s *server) waits() bool {
	ended := s.life.State == lifecycle.Backoff || s.life.State == lifecycle.Failed
	return ended && s.spec.Yields && s.k.claims.Decided(s.spec.Domain)
}

// restart has a server that waits be about to start, as its client wants it now; the mutex is held.
func (s *server) restart(spec keeper.Spec) {
	s.mean(spec)
	s.k.ledger.Note(record.Want(s.born, s.run, &s.spec))
	s.life.Wake = time.Now() // the client has waited for as long as it likes
	s.life.Step(lifecycle.Tick, s.life.Wake)
	s.arm()
}

// rearm has servers in a domain start again in time, or wait for their client, as it is decided now; the
// mutex is held.
func (k *Keeper) rearm(domain string) {
	for _, s := range k.servers.Within(domain) {
		if s.spec.Yields {
			s.arm()
		}
	}
}

// leave takes the server out of the table; the mutex is held.
func (s *server) leave() {
	s.k.servers.Remove(s)
	s.alarm.Stop()
	if s.born != 0 {
		s.k.ledger.Note(record.Entry{Event: record.Left, Born: s.born})
	}
	if s.spec.Ends {
		s.k.leftBy(&s.spec)
	}
	s.shelf.Clear(s.k.store, s.born)
	close(s.over)
}

// find returns the servers of a name: the one that had a certain start, or all; the mutex is held.
func (k *Keeper) find(id keeper.ID) []*server {
	all := k.servers.Named(id)
	if id.Run == 0 {
		return all
	}

	for _, s := range all {
		if s.run == id.Run {
			return []*server{s}
		}
	}
	// An earlier start of a server that was restarted since.
	for _, s := range slices.Backward(all) {
		if s.born <= id.Run && id.Run < s.run {
			return []*server{s}
		}
	}

	return nil
}

// step tells the life of the server what happened, and does what follows; the mutex is held.
func (s *server) step(e lifecycle.Event) {
	before := s.life.State
	actions := s.life.Step(e, time.Now())
	for len(actions) > 0 {
		a := actions[0]
		actions = actions[1:]
		switch a {
		case lifecycle.Spawn:
			s.k.wait.Go(s.respawn)
		case lifecycle.Drain: // the signal that asks it to end asks for that, too
			actions = append(actions, s.life.Step(lifecycle.Drained, time.Now())...)
		case lifecycle.Terminate:
			s.signal(cmp.Or(s.spec.Stop, syscall.SIGTERM))
		case lifecycle.Destroy:
			s.destroy()
		case lifecycle.Complain:
			s.tell(keeper.NotReady, fmt.Sprintf("it is not ready after %v", s.life.Policy.WithDefaults().StartTime))
		}
	}

	if s.life.State != before {
		s.changed()
	}
	s.arm()
	s.settle()
}

// settle has the server leave when it is over; the mutex is held.
func (s *server) settle() {
	if s.life.State == lifecycle.Stopped && s.process == nil && s.writing == 0 {
		s.leave()
	}
}

// changed tells of the new state; the mutex is held.
func (s *server) changed() {
	switch s.life.State {
	case lifecycle.Ready:
		s.tell(keeper.Ready, "")
	case lifecycle.NotReady, lifecycle.Silent:
		s.tell(keeper.NotReady, "")
	case lifecycle.Draining, lifecycle.Stopping:
		s.tell(keeper.Leaves, "")
	case lifecycle.Backoff:
		s.tell(keeper.Waits, s.comes(time.Millisecond))
	case lifecycle.Failed:
		s.tell(keeper.Failed, "it did not become ready too often; "+s.comes(time.Second))
	case lifecycle.Stopped:
		s.tell(keeper.Stopped, "")
	}
}

// comes says when the next process comes; the mutex is held.
func (s *server) comes(precision time.Duration) string {
	if s.waits() {
		return "its client starts it again"
	}
	return fmt.Sprintf("it starts again in %v", time.Until(s.life.Wake).Round(precision))
}

// tell adds an event; the mutex is held.
func (s *server) tell(kind keeper.Kind, text string) {
	e := keeper.Event{Kind: kind, ID: s.spec.ID(), Text: text}
	if s.process != nil {
		e.ID, e.Pid = s.process.id, s.process.Pid
	}
	s.k.events.Add(e)
}

// arm sets the alarm to the time at which the life wants to go on; the mutex is held.
func (s *server) arm() {
	if s.life.Wake.IsZero() || s.waits() || s.k.closed && !s.life.Runs() {
		s.alarm.Stop()
		return
	}
	s.alarm.Set(time.Until(s.life.Wake))
}

// signal sends a signal to the process, or has it wait for the one that is being started; the mutex
// is held.
func (s *server) signal(number syscall.Signal) {
	if s.process == nil {
		s.signals = append(s.signals, number)
		return
	}
	_ = s.process.Signal(number) // one that has just ended is the only reason to fail
}

// destroy kills the process; the mutex is held. First is what it has started, as far as one can tell:
// what is told by a parent that lives is not told when it has gone.
func (s *server) destroy() {
	p := s.process
	if p == nil {
		s.signal(syscall.SIGKILL)
		return
	}

	s.k.wait.Go(func() {
		p.EndFamily()
		s.k.mu.Lock()
		defer s.k.mu.Unlock()
		_ = p.Signal(syscall.SIGKILL) // fails where all have ended
	})
}

// respawn starts the next process.
func (s *server) respawn() {
	s.k.whole.RLock()
	defer s.k.whole.RUnlock()
	if _, err := s.spawn(nil); err != nil {
		s.refused(err)
	}
}

// refused takes note that a process could not be started, which then has ended. A server that has had none
// before leaves.
func (s *server) refused(err error) {
	s.k.mu.Lock()
	defer s.k.mu.Unlock()
	s.signals, s.next = nil, 0
	if s.lastExit == nil {
		s.leave()
		return
	}
	s.k.events.Add(keeper.Event{Kind: keeper.Exited, ID: s.spec.ID(), Text: err.Error()})
	s.step(lifecycle.Exited)
}

// spawn starts a process. Whoever calls it reads whole.
func (s *server) spawn(files []keeper.File) (*process, error) {
	p, err := s.k.spawn(s, files)
	if err != nil {
		return nil, err
	}

	s.k.mu.Lock()
	defer s.k.mu.Unlock()
	s.process, s.run, s.started = p, p.id.Run, p.Started
	s.status, s.failing, s.hung = "", "", ""
	s.writing++
	s.tell(keeper.Started, "")
	for _, number := range s.signals {
		s.signal(number)
	}
	s.signals = nil
	s.pulse.Every = s.spec.Watch
	if !s.spec.Notify {
		s.step(lifecycle.Answered)
	}
	s.hearEarly()
	s.k.accompany(p)

	return p, nil
}

// exited is told of the end of the process; the mutex is held.
func (s *server) exited(p *process) {
	s.tell(keeper.Exited, p.exit.String())
	s.lastExit, s.process = &p.exit, nil
	s.pulse.Stop()

	s.step(p.exit.Event())
}

// last returns how the last process ended.
func (s *server) last() keeper.Exit {
	s.k.mu.Lock()
	defer s.k.mu.Unlock()
	if s.lastExit == nil {
		return keeper.Exit{Code: -1, How: keeper.Unknown, Time: time.Now()}
	}
	return *s.lastExit
}

// proc describes the server; the mutex is held.
func (s *server) proc() keeper.Proc {
	p := keeper.Proc{
		ID: s.spec.ID(), Born: s.born, State: s.life.State, Since: s.life.Since, Started: s.started,
		Status: s.status, Failing: s.failing, Restarts: s.life.Restarts, Digest: s.spec.Digest, Labels: s.spec.Labels,
		LastExit: s.lastExit,
	}
	p.Run = s.run
	if s.process != nil {
		p.Pid, p.LogLost = s.process.Pid, s.process.LogLost()
		p.Group, p.NoGroup = s.process.Group(), s.process.NoGroup
	}
	return p
}
