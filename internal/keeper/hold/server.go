//go:build unix

package hold

import (
	"cmp"
	"fmt"
	"math/rand/v2"
	"slices"
	"syscall"
	"time"

	"github.com/divisi-go/divisi/internal/keeper"
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
	spec keeper.Spec
	life lifecycle.Process

	process  *process         // nil while there is none
	signals  []syscall.Signal // for the process that is being started
	born     uint64           // number of the first start
	started  time.Time        // of the last one
	status   string           // what it says of itself
	failing  string           // what its probes have shown, while they fail
	pulse    pulse.Pulse      // its signs of life
	shelf    shelf.Shelf      // what its next process gets from this one
	next     uint64           // the number of the process that is being started
	early    []notify.Message // what that one says meanwhile
	lastExit *keeper.Exit
	timer    *time.Timer   // of its life; nil without one
	writing  int           // processes that have ended, or will, and whose logs are not written
	over     chan struct{} // closed when it leaves the table
}

// stopGrace is the default of Spec.Grace.
const stopGrace = 10 * time.Second

// start starts a server for a session. One whose first process cannot be started leaves nothing.
func (k *Keeper) start(session *Session, spec keeper.Spec) (keeper.Proc, error) {
	if err := spec.Check(); err != nil {
		return keeper.Proc{}, err
	}

	s := k.newServer(spec)
	if err := k.enter(session, s); err != nil {
		return keeper.Proc{}, err
	}
	files := spec.Files
	s.spec.Files = nil // a later start has none
	if err := s.spawn(files); err != nil {
		k.mu.Lock()
		defer k.mu.Unlock()
		s.leave()
		return keeper.Proc{}, err
	}

	// One that the keeper itself starts again is there after the end of the machine as well.
	k.written(spec.Policy != nil)

	k.mu.Lock()
	defer k.mu.Unlock()
	p := s.proc()
	p.Run = cmp.Or(p.Run, s.born) // it may have ended already
	return p, nil
}

// newServer returns a server that is stopped, and in no table.
func (k *Keeper) newServer(spec keeper.Spec) *server {
	s := &server{k: k, spec: spec, over: make(chan struct{})}
	s.life.Policy = lifecycle.Policy{Restart: lifecycle.Temporary}
	if spec.Policy != nil {
		s.life.Policy = *spec.Policy
	}
	s.life.Policy.StopTime = cmp.Or(spec.Grace, stopGrace)
	s.life.Rand = rand.Float64
	s.pulse = pulse.Pulse{Lock: &k.mu, Every: spec.Watch, Stopped: s.stuck}

	return s
}

// enter puts a server in the table, about to start.
func (k *Keeper) enter(session *Session, s *server) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	if err := session.may(s.spec.Domain); err != nil {
		return err
	}
	id := s.spec.ID()
	if running := k.servers[id]; len(running) > 0 && !s.spec.Beside {
		return fmt.Errorf("cannot start %v: %w as process %d", id, keeper.ErrRuns, running[0].proc().Pid)
	}

	k.servers[id] = append(k.servers[id], s)
	s.life.Step(lifecycle.Start, time.Now())

	return nil
}

// leave takes the server out of the table; the mutex is held.
func (s *server) leave() {
	id := s.spec.ID()
	s.k.servers[id] = slices.DeleteFunc(s.k.servers[id], func(other *server) bool { return other == s })
	if len(s.k.servers[id]) == 0 {
		delete(s.k.servers, id)
	}
	if s.timer != nil {
		s.timer.Stop()
	}
	if s.born != 0 {
		s.k.note(record.Entry{Event: record.Left, Born: s.born})
	}
	if s.spec.Ends {
		s.k.leftBy(&s.spec)
	}
	s.clearShelf()
	close(s.over)
}

// find returns the servers of a name: the one that had a certain start, or all; the mutex is held.
func (k *Keeper) find(id keeper.ID) []*server {
	all := k.servers[keeper.ID{Domain: id.Domain, Name: id.Name}]
	if id.Run == 0 {
		return slices.Clone(all)
	}

	for _, s := range all {
		if s.process != nil && s.process.id.Run == id.Run {
			return []*server{s}
		}
	}
	// An earlier start of a server that was restarted since.
	for _, s := range slices.Backward(all) {
		if s.born <= id.Run && (s.process == nil || id.Run < s.process.id.Run) {
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
		case lifecycle.Drain: // SIGTERM asks for that, too
			actions = append(actions, s.life.Step(lifecycle.Drained, time.Now())...)
		case lifecycle.Terminate:
			s.signal(syscall.SIGTERM)
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
	case lifecycle.Backoff:
		s.tell(keeper.Waits, fmt.Sprintf("it starts again in %v", time.Until(s.life.Wake).Round(time.Millisecond)))
	case lifecycle.Failed:
		s.tell(keeper.Failed, fmt.Sprintf("it did not become ready too often; it starts again in %v",
			time.Until(s.life.Wake).Round(time.Second)))
	case lifecycle.Stopped:
		s.tell(keeper.Stopped, "")
	}
}

// tell adds an event; the mutex is held.
func (s *server) tell(kind keeper.Kind, text string) {
	e := keeper.Event{Kind: kind, ID: s.spec.ID(), Text: text}
	if s.process != nil {
		e.ID, e.Pid = s.process.id, s.process.Pid
	}
	s.k.events.Add(e)
}

// arm sets the timer to the time at which the life wants to go on; the mutex is held.
func (s *server) arm() {
	if s.timer != nil {
		s.timer.Stop()
		s.timer = nil
	}
	if s.life.Wake.IsZero() || s.k.closed && !s.life.Runs() {
		return
	}

	s.timer = time.AfterFunc(time.Until(s.life.Wake), func() {
		s.k.mu.Lock()
		defer s.k.mu.Unlock()
		if !s.k.closed {
			s.step(lifecycle.Tick)
		}
	})
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
		p.endFamily()
		s.k.mu.Lock()
		defer s.k.mu.Unlock()
		_ = p.Signal(syscall.SIGKILL) // fails where all have ended
	})
}

// respawn starts the next process. One that cannot be started has ended.
func (s *server) respawn() {
	err := s.spawn(nil)
	if err == nil {
		return
	}

	s.k.mu.Lock()
	defer s.k.mu.Unlock()
	s.k.events.Add(keeper.Event{Kind: keeper.Exited, ID: s.spec.ID(), Text: err.Error()})
	s.signals = nil
	s.step(lifecycle.Exited)
}

// spawn starts a process.
func (s *server) spawn(files []keeper.File) error {
	s.k.whole.RLock()
	defer s.k.whole.RUnlock()
	p, err := s.k.spawn(s, files)
	if err != nil {
		return err
	}

	s.k.mu.Lock()
	defer s.k.mu.Unlock()
	s.process, s.started, s.status, s.failing = p, p.Started, "", ""
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

	return nil
}

// exited is told of the end of the process; the mutex is held.
func (s *server) exited(p *process) {
	s.tell(keeper.Exited, p.exit.String())
	s.lastExit, s.process = &p.exit, nil
	s.pulse.Stop()

	e := lifecycle.Exited
	if p.exit.Code == 0 && p.exit.How != keeper.Unknown {
		e = lifecycle.Finished
	}
	s.step(e)
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
	if s.process != nil {
		p.ID, p.Pid, p.LogLost = s.process.id, s.process.Pid, s.process.log.Lost()
		p.Group, p.NoGroup = s.process.Group(), s.process.NoGroup
	}
	return p
}
