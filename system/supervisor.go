package system

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"path"
	"strings"
	"sync"
	"time"

	"github.com/divisi-go/divisi/internal/control"
	"github.com/divisi-go/divisi/internal/lifecycle"
	"github.com/divisi-go/divisi/internal/tree"
)

// member is something in a nursery: a server, a task or a scope.
type member struct {
	key     string // for people, such as "the server positiond"
	site    string // of the call that has asked for it
	path    string // in the tree
	spec    tree.Spec
	nursery *Nursery // that it is in; nil for the outermost one

	// run starts it, again and again, and returns once it can be used. The function that it returns waits
	// for its end; a group has none.
	run func(ctx context.Context) (wait func() (finished bool, err error), err error)

	begin context.Context // of whoever has asked for it, for the first start
	first chan error      // what became of that
	once  sync.Once       // for its one value

	mu      sync.Mutex // guards what follows
	inside  *Nursery   // of a group that runs
	halt    func(kill bool)
	failure error  // how it has ended last
	asking  func() // withdraws the question what is to become of it; nil while nobody is asked
}

// in returns the path of the nursery that it is in.
func (m *member) in() string {
	if m.nursery == nil {
		return "/"
	}
	return m.nursery.Path()
}

func (m *member) answer(err error) { m.once.Do(func() { m.first <- err }) }

func (m *member) within(n *Nursery) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.inside = n
}

// setHalt says how what runs now is ended.
func (m *member) setHalt(halt func(kill bool)) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.halt = halt
}

func (m *member) stop(kill bool) {
	m.mu.Lock()
	halt := m.halt
	m.mu.Unlock()
	if halt != nil {
		halt(kill)
	}
}

func (m *member) failed(err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.failure = err
}

func (m *member) why() error {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.failure
}

// ask takes note of how the question what is to become of it is withdrawn, unless it is being asked.
func (m *member) ask(withdraw func()) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.asking != nil {
		return false
	}
	m.asking = withdraw
	return true
}

// withdraw has nobody be asked any more.
func (m *member) withdraw() {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.asking != nil {
		m.asking()
		m.asking = nil
	}
}

// supervisor does what package tree decides. One goroutine owns the tree; everything that may wait is done
// on others.
type supervisor struct {
	log    *slog.Logger
	asked  chan asked
	life   context.Context            // nothing is decided after its end
	over   chan struct{}              // closed when the outermost group has ended
	live   sync.WaitGroup             // for the members that run
	failed func(m *member, err error) // is told of what stays down

	// Owned by the goroutine of serve.
	tree    tree.Tree
	members map[string]*member // by path
}

// asked is an event, with the member that it is about if it is new.
type asked struct {
	event  tree.Event
	member *member
	see    func() // is called in place of an event
}

func newSupervisor(life context.Context, log *slog.Logger) *supervisor {
	return &supervisor{
		log: log, asked: make(chan asked), life: life, over: make(chan struct{}), members: map[string]*member{},
	}
}

// tell tells of an event. After the end of the supervisor nobody hears it.
func (s *supervisor) tell(kind tree.Kind, path string) {
	s.ask(asked{event: tree.Event{Kind: kind, Path: path}})
}

func (s *supervisor) ask(a asked) {
	select {
	case s.asked <- a:
	case <-s.life.Done():
		if a.member != nil {
			a.member.answer(context.Cause(s.life))
		}
	}
}

// start has a member start, and returns what became of that.
func (s *supervisor) start(ctx context.Context, m *member) error {
	m.begin, m.first = ctx, make(chan error, 1)
	s.ask(asked{event: tree.Event{Kind: tree.Start, Path: m.path, Spec: m.spec}, member: m})
	select {
	case err := <-m.first:
		return err
	case <-s.life.Done():
		return context.Cause(s.life)
	}
}

// look returns what there is in a program of a domain, the outermost nursery first.
func (s *supervisor) look(domain string) []control.Member {
	seen := make(chan []control.Member, 1)
	s.ask(asked{see: func() { seen <- s.view(domain) }})
	select {
	case list := <-seen:
		return list
	case <-s.life.Done():
		return nil
	}
}

func (s *supervisor) view(domain string) []control.Member {
	var list []control.Member
	for _, at := range s.tree.Members() {
		shown := control.Member{
			Path: path.Join(domain, at.Path), State: string(at.State), Since: at.Since, Restarts: at.Restarts,
		}
		if m := s.members[at.Path]; m != nil {
			_, shown.Kind, _ = strings.Cut(m.key, " ")
			shown.Kind, _, _ = strings.Cut(shown.Kind, " ")
			shown.Site = m.site
			if err := m.why(); err != nil {
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

// serve decides until life ends.
func (s *supervisor) serve() {
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
func (s *supervisor) enter(a asked) {
	before := s.members[a.member.path]
	s.members[a.member.path] = a.member
	actions := s.tree.Step(a.event, time.Now())
	if len(actions) == 1 && actions[0].Do == tree.Refuse {
		s.members[a.member.path] = before
		a.member.answer(fmt.Errorf("cannot start %s (%s): its nursery ends", a.member.key, a.member.site))
		return
	}
	s.act(actions)
}

// act does what was decided.
func (s *supervisor) act(actions []tree.Action) {
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
			s.log.Warn("still not ready", "what", m.key, "in", m.in(), "at", m.site)
		case tree.Wait:
			s.log.Warn("failed, and starts again", "what", m.key, "in", m.in(), "at", a.Until, "why", m.why())
		case tree.Fail:
			s.failed(m, m.why())
		case tree.Ended:
			s.ended(m)
		}
	}
}

// ended takes note that nothing in a group runs any more.
func (s *supervisor) ended(m *member) {
	m.mu.Lock()
	inside := m.inside
	m.inside = nil
	m.mu.Unlock()
	if inside != nil {
		inside.end(errOver)
	}
	for at, other := range s.members {
		if other != nil && other != m && isBelow(at, m.path) {
			m.failedBy(other)
			delete(s.members, at)
		}
	}
	m.answer(m.why())
	if m.path == "/" {
		close(s.over)
	}
}

// failedBy has the failure of a group be that of what has failed in it, unless it has its own.
func (m *member) failedBy(other *member) {
	err := other.why()
	if err == nil || errors.Is(err, errStopped) {
		return
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.failure == nil || errors.Is(m.failure, errStopped) {
		m.failure = err
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

// errStopped is how something ends that was asked to.
var errStopped = errors.New("it was stopped")

// run begins one life of a member.
func (s *supervisor) run(m *member) {
	ctx, cancel := context.WithCancelCause(m.begin)
	m.begin = context.Background() // nobody waits for a later start
	m.setHalt(func(bool) { cancel(errStopped) })
	s.live.Go(func() {
		defer cancel(nil)
		defer context.AfterFunc(s.life, func() { cancel(context.Cause(s.life)) })()
		s.accompany(ctx, m)
	})
}

// accompany starts a member, and waits for its end.
func (s *supervisor) accompany(ctx context.Context, m *member) {
	m.failed(nil)
	wait, err := m.run(ctx)
	if err != nil {
		m.failed(err)
		if !m.spec.Group { // a group has failed when everything in it has ended
			defer m.answer(err)
		}
		s.tell(tree.Exit, m.path)
		return
	}
	s.tell(tree.Ready, m.path)
	m.answer(nil)
	m.withdraw()
	if m.spec.Group {
		return
	}

	if errors.Is(context.Cause(ctx), errStopped) {
		m.stop(false) // it was asked to end when it was about to be ready
	}
	finished, err := wait()
	m.failed(err)
	if finished {
		s.tell(tree.Finish, m.path)
	} else {
		s.tell(tree.Exit, m.path)
	}
}
