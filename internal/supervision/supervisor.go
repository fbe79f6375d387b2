// Package supervision does what package tree decides: it starts members, waits for their ends, and has them
// stop. What a member is means nothing here; it is two functions, one that starts it and one that waits for
// its end. The start of a member by whoever asks for it and its later starts by the tree are the same
// function.
//
// One goroutine owns the tree. Everything that may wait is done on others.
package supervision

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"path"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/divisi-go/divisi/internal/control"
	"github.com/divisi-go/divisi/internal/event"
	"github.com/divisi-go/divisi/internal/lifecycle"
	"github.com/divisi-go/divisi/internal/tree"
)

// ErrStopped is how something ends that was asked to.
var ErrStopped = errors.New("it was stopped")

// Supervisor has members run.
type Supervisor struct {
	Domain string // in which the outermost group is
	Log    *slog.Logger
	Events event.Log // what happens to members, and whatever else the program adds

	// Failed is told of what stays down because it has failed too often, and of the outermost group. It is
	// called on the deciding goroutine.
	Failed func(m *Member, err error)

	asked chan asked
	life  context.Context // nothing is decided after its end
	over  chan struct{}   // closed when the outermost group has ended
	live  sync.WaitGroup  // for the members that run

	// Owned by the goroutine of Serve.
	tree    tree.Tree
	members map[string]*Member // by path
}

// asked is an event, with the member that it is about if it is new.
type asked struct {
	event  tree.Event
	member *Member
	see    func() // is called in place of an event
}

// New returns a supervisor that decides until life ends, once it serves.
func New(life context.Context, domain string, log *slog.Logger) *Supervisor {
	return &Supervisor{
		Domain: domain, Log: log,
		asked: make(chan asked), life: life, over: make(chan struct{}), members: map[string]*Member{},
	}
}

// Tell tells of an event. After the end of the supervisor nobody hears it.
func (s *Supervisor) Tell(kind tree.Kind, path string) {
	s.ask(asked{event: tree.Event{Kind: kind, Path: path}})
}

func (s *Supervisor) ask(a asked) {
	select {
	case s.asked <- a:
	case <-s.life.Done():
		if a.member != nil {
			a.member.answer(context.Cause(s.life))
		}
	}
}

// Start has a member start, and returns what became of that. The context bounds this start alone.
func (s *Supervisor) Start(ctx context.Context, m *Member) error {
	m.begin, m.first = ctx, make(chan error, 1)
	s.ask(asked{event: tree.Event{Kind: tree.Start, Path: m.Path, Spec: m.Spec}, member: m})
	select {
	case err := <-m.first:
		return err
	case <-ctx.Done():
		s.ask(asked{see: func() { s.forgo(ctx, m) }})
	case <-s.life.Done():
		return context.Cause(s.life)
	}

	select {
	case err := <-m.first:
		return err
	case <-s.life.Done():
		return context.Cause(s.life)
	}
}

// forgo has a member not start whose turn has not come, as where its keeper is away, when nobody waits for it any
// more. One that starts knows by its context.
func (s *Supervisor) forgo(ctx context.Context, m *Member) {
	if m.begin != nil {
		m.begin = nil
		m.answer(context.Cause(ctx))
		s.act(s.tree.Step(tree.Event{Kind: tree.Stop, Path: m.Path}, time.Now()))
	}
}

// Over is closed when the outermost group has ended.
func (s *Supervisor) Over() <-chan struct{} { return s.over }

// Go runs a function that Wait waits for.
func (s *Supervisor) Go(f func()) { s.live.Go(f) }

// Wait waits until nothing is done for a member any more.
func (s *Supervisor) Wait() { s.live.Wait() }

// Renew has what can be used be renewed without an end, and reports whether it has: else it may end and start again.
func (s *Supervisor) Renew(ctx context.Context, at string) (done bool, err error) {
	renewed := make(chan error, 1)
	s.ask(asked{see: func() {
		m := s.members[at]
		isReady := func(m tree.Member) bool { return m.Path == at && m.State == lifecycle.Ready }
		if m == nil || m.Renew == nil || !slices.ContainsFunc(s.tree.Members(), isReady) {
			renewed <- nil
			return
		}
		s.live.Go(func() {
			var err error
			done, err = m.Renew(ctx)
			renewed <- err
		})
	}})
	select {
	case err := <-renewed:
		return done, err
	case <-s.life.Done():
		return false, context.Cause(s.life)
	}
}

// Members returns what there is, the outermost group first.
func (s *Supervisor) Members() []control.Member {
	seen := make(chan []control.Member, 1)
	s.ask(asked{see: func() { seen <- s.view() }})
	select {
	case list := <-seen:
		return list
	case <-s.life.Done():
		return nil
	}
}

func (s *Supervisor) view() []control.Member {
	var list []control.Member
	for _, at := range s.tree.Members() {
		shown := control.Member{
			Path: path.Join(s.Domain, at.Path), State: string(at.State), Since: at.Since, Restarts: at.Restarts,
			Host: at.Spec.Host, HostIs: string(at.Host),
		}
		if m := s.members[at.Path]; m != nil {
			shown.Kind, shown.Site = m.Kind, m.Site
			if err := m.Why(); err != nil {
				shown.Failure = err.Error()
			}
		}
		if down := at.State == lifecycle.Backoff || at.State == lifecycle.Failed; down {
			shown.Next = &at.Wake
		}
		list = append(list, shown)
	}
	return list
}

// Serve decides until life ends.
func (s *Supervisor) Serve() {
	wake := time.NewTimer(time.Hour)
	defer wake.Stop()
	for {
		var a asked
		select {
		case a = <-s.asked:
		case <-wake.C:
			a.event.Kind = tree.Tick
		case <-s.life.Done():
			return
		}
		switch {
		case a.see != nil:
			a.see()
		case a.member != nil:
			s.enter(a)
		default:
			s.act(s.tree.Step(a.event, time.Now()))
		}

		wake.Stop()
		if at := s.tree.Wake(); !at.IsZero() {
			wake.Reset(time.Until(at))
		}
	}
}

// enter takes a new member in.
func (s *Supervisor) enter(a asked) {
	before := s.members[a.member.Path]
	s.members[a.member.Path] = a.member
	actions := s.tree.Step(a.event, time.Now())
	if len(actions) == 1 && actions[0].Do == tree.Refuse {
		s.members[a.member.Path] = before
		a.member.answer(fmt.Errorf("cannot start %s (%s): its nursery ends", a.member.What(), a.member.Site))
		return
	}
	s.act(actions)
}

// act does what was decided.
func (s *Supervisor) act(actions []tree.Action) {
	for _, a := range actions {
		m := s.members[a.Path]
		if m == nil {
			continue // nobody has asked for it here
		}
		switch a.Do {
		case tree.Run:
			s.run(m)
		case tree.Halt:
			s.live.Go(func() { m.stop(false) })
		case tree.Kill:
			s.live.Go(func() { m.stop(true) })
		case tree.Complain:
			s.Log.Warn("still not ready", "what", m.What(), "in", s.around(m), "at", m.Site)
		case tree.Wait:
			s.Events.Add(s.again(m, a.Until, false))
			s.Log.Warn("failed, and starts again", "what", m.What(), "in", s.around(m), "at", a.Until, "why", m.Why())
		case tree.Fail:
			s.Events.Add(s.again(m, a.Until, true))
			s.Failed(m, m.Why())
		case tree.Ended:
			s.ended(m)
		}
	}
}

// again is the event that a member has failed, and when it starts again.
func (s *Supervisor) again(m *Member, at time.Time, failed bool) event.Restarting {
	e := event.Restarting{Server: s.Of(m), At: at, In: max(0, time.Until(at)), Failed: failed}
	if err := m.Why(); err != nil {
		e.Reason, _, _ = strings.Cut(err.Error(), "\n")
	}
	return e
}

// Of returns a member as events have it: a server by its full name, all else by its path.
func (s *Supervisor) Of(m *Member) event.Server {
	of := event.Server{Name: path.Join(s.Domain, m.Path), Group: s.around(m)}
	if m.Kind == "server" {
		of.Name = m.Name + "@" + s.around(m)
	}
	return of
}

// around returns the path of the group that a member is in, for people.
func (s *Supervisor) around(m *Member) string { return path.Join(s.Domain, path.Dir(m.Path)) }

// ended takes note that nothing in a group runs any more.
func (s *Supervisor) ended(m *Member) {
	m.ended()
	for at, other := range s.members {
		if other != nil && other != m && isBelow(at, m.Path) {
			m.failedBy(other)
			delete(s.members, at)
		}
	}
	m.answer(m.Why())
	if m.Path == "/" {
		s.Events.Add(event.AppStopped{})
		close(s.over)
	}
}

func isBelow(at, group string) bool {
	for at != "/" {
		at = path.Dir(at)
		if at == group {
			return true
		}
	}
	return false
}

// run begins one life of a member.
func (s *Supervisor) run(m *Member) {
	begin := m.begin
	if begin == nil {
		begin = context.Background() // nobody waits for a later start
	}
	m.begin = nil
	ctx, cancel := context.WithCancelCause(begin)
	m.begins()
	m.WhenHalted(func(bool) { cancel(ErrStopped) })
	s.live.Go(func() {
		defer cancel(nil)
		defer context.AfterFunc(s.life, func() { cancel(context.Cause(s.life)) })()
		s.accompany(ctx, m)
	})
}

// accompany starts a member, and waits for its end.
func (s *Supervisor) accompany(ctx context.Context, m *Member) {
	wait, err := m.Run(ctx)
	if err != nil {
		m.failed(err)
		if !m.Spec.Group { // a group has failed when everything in it has ended
			defer m.answer(err)
		}
		s.Tell(tree.Exit, m.Path)
		return
	}
	s.Events.Add(event.Ready{Server: s.Of(m)})
	s.Tell(tree.Ready, m.Path)
	m.answer(nil)
	m.Withdraw()
	if m.Spec.Group {
		return
	}

	if errors.Is(context.Cause(ctx), ErrStopped) {
		m.stop(false) // it was asked to end when it was about to be ready
	}
	finished, err := wait()
	m.failed(err)
	if finished {
		s.Tell(tree.Finish, m.Path)
	} else {
		s.Tell(tree.Exit, m.Path)
	}
}
