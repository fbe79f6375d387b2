// Package hosts has the hosts that a run of a program uses. It says when one is away, ends the run when somebody else
// decides there, and has what nobody has asked for on a host go once the program has settled.
package hosts

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"time"

	"github.com/divisi-go/divisi/internal/agent"
	"github.com/divisi-go/divisi/internal/claimed"
	"github.com/divisi-go/divisi/internal/control"
	"github.com/divisi-go/divisi/internal/keeper"
	"github.com/divisi-go/divisi/internal/operator"
	"github.com/divisi-go/divisi/internal/server"
	"github.com/divisi-go/divisi/internal/tree"
)

// Host is one of the hosts.
type Host struct {
	*server.Host
	Name  string
	Asked *claimed.Set // what the run has asked for there
	Hangs server.Hangs // what the keeper there has given up

	agent *agent.Client   // of another machine; nil for this one
	life  context.Context // ends with the run, or when the host is left
	leave context.CancelFunc
}

// Run is a run of a program.
type Run struct {
	Name   string // of the program
	Domain string
	Builds string // see [agent.Program]
	Log    *slog.Logger
	Life   context.Context                   // ends with the run
	Go     func(func())                      // runs what ends with it
	Tell   func(kind tree.Kind, host string) // of what happens to a host
	Taken  func(error)                       // is told that somebody else decides
}

// Set are the hosts of a run. It is safe for concurrent use.
type Set struct {
	run Run

	noting sync.Mutex // held while the hosts are noted

	mu    sync.Mutex // guards what follows
	slots map[string]*slot
	all   []*Host
}

// slot is the place of another machine.
type slot struct {
	mu   sync.Mutex // guards host; held while the machine is opened
	host *Host
}

// New returns a set with this machine.
func New(r Run, here *server.Host) (*Set, *Host) {
	s := &Set{run: r, slots: map[string]*slot{}}
	h := &Host{Host: here, Name: local, Asked: claimed.New(here, r.Log)}
	s.join(h)
	return s, h
}

// local is the name of this machine.
const local = control.Local

// join has a host be watched.
func (s *Set) join(h *Host) {
	h.life, h.leave = context.WithCancel(s.run.Life)
	s.mu.Lock()
	s.all = append(s.all, h)
	s.mu.Unlock()
	s.run.Go(func() { s.guard(h) })
	s.run.Go(func() { s.watch(h) })
	s.run.Go(func() { h.Hangs.Serve(h.life, h.Keeper, s.run.Domain) })
}

// Open returns the host that a machine is: the same one each time.
func (s *Set) Open(ctx context.Context, m agent.Machine) (*Host, error) {
	name := m.Name()
	if name == "" || name == local {
		return nil, fmt.Errorf("a host cannot be called %q: give its machine another name", name)
	}
	s.mu.Lock()
	at := s.slots[name]
	if at == nil {
		at = &slot{}
		s.slots[name] = at
	}
	s.mu.Unlock()

	at.mu.Lock()
	defer at.mu.Unlock()
	if at.host != nil {
		return at.host, nil
	}
	client, below, err := agent.Open(ctx, m, agent.Program{Name: s.run.Name, Domain: s.run.Domain, Builds: s.run.Builds})
	if err != nil {
		return nil, err
	}
	at.host = &Host{Host: below, Name: name, Asked: claimed.New(below, s.run.Log), agent: client}
	s.join(at.host)
	return at.host, nil
}

// All returns the hosts that there are.
func (s *Set) All() []*Host {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]*Host(nil), s.all...)
}

// Places returns the hosts as the front of a program has them.
func (s *Set) Places() (all []operator.Place) {
	for _, h := range s.All() {
		all = append(all, operator.Place{Name: h.Name, Host: h.Host})
	}
	return all
}

// Note keeps on a shelf on which other hosts the program has servers: on those that it has opened, and until it has settled
// on those that an earlier run has.
func (s *Set) Note(shelf *operator.Shelf, settled bool) error {
	s.noting.Lock()
	defer s.noting.Unlock()
	var names []string
	if !settled {
		names = shelf.Hosts()
	}
	for _, h := range s.All() {
		if h.agent != nil {
			names = append(names, h.Name)
		}
	}
	slices.Sort(names)
	return shelf.PutHosts(slices.Compact(names))
}

// againTime is the pause before the next keeper of another machine is asked.
const againTime = time.Second

// guard ends the run when somebody else has taken the program.
func (s *Set) guard(h *Host) {
	err := h.Keeper.Fenced(h.life)
	for h.agent != nil && h.life.Err() == nil && !errors.Is(err, keeper.ErrFenced) { // a keeper that was ended has been taken by nobody
		select {
		case <-time.After(againTime):
			err = h.Keeper.Fenced(h.life)
		case <-h.life.Done():
		}
	}
	if h.life.Err() == nil {
		s.run.Taken(fmt.Errorf("on %s: %w", h.Name, err))
	}
}

// watch says when a host is away, and when it is back.
func (s *Set) watch(h *Host) {
	k, distant := h.Keeper.(server.Distant)
	for distant && k.Answers(h.life, false) == nil {
		s.run.Tell(tree.Away, h.Name)
		s.run.Log.Warn("the keeper is away: what runs goes on, and nothing starts or stops until the next one is there", "host", h.Name)
		back, stop := context.WithCancel(h.life)
		s.run.Go(func() { s.reach(back, h) })
		err := k.Answers(h.life, true)
		stop()
		if err != nil {
			return
		}
		s.run.Tell(tree.Back, h.Name)
		s.run.Log.Info("the keeper is back", "host", h.Name)
	}
}

// cutTime is how long a machine whose keeper is away may take to answer.
const cutTime = 3 * time.Second

// reach says whether a machine whose keeper is away cannot be reached at all.
func (s *Set) reach(back context.Context, h *Host) {
	if h.agent == nil {
		return
	}
	ctx, cancel := context.WithTimeout(back, cutTime)
	defer cancel()
	if err := h.agent.Reach(ctx); err != nil && back.Err() == nil {
		s.run.Tell(tree.Cut, h.Name)
		s.run.Log.Warn("the host cannot be reached: what runs there goes on", "host", h.Name, "why", err)
	}
}

// Settle has what runs on a host, and nobody has asked for, go after a time. What there is on this machine is said before
// it returns.
func (s *Set) Settle(grace time.Duration) {
	for _, h := range s.All() {
		if h.agent != nil {
			s.run.Go(func() { s.clear(h, grace, h.Asked.Report(h.life, s.run.Domain, grace)) })
			continue
		}
		left := h.Asked.Report(h.life, s.run.Domain, grace)
		s.run.Go(func() { s.clear(h, grace, left) })
	}
}

// clear stops what was left on a host, after a time.
func (s *Set) clear(h *Host, grace time.Duration, left []keeper.Proc) {
	select {
	case <-time.After(grace):
		h.Asked.Clear(h.life, s.run.Domain, left)
	case <-h.life.Done():
	}
}

// Clean leaves nothing of a run that has stopped all that it has started: no server that waits for its next start, and no
// socket that no server has inherited.
func (s *Set) Clean(ctx context.Context) (err error) {
	for _, h := range s.All() {
		err = errors.Join(err, h.Asked.StopWaiting(ctx, s.run.Domain), h.Asked.CloseUnused(ctx, s.run.Domain))
	}
	return err
}

// Leave leaves the other machines. What runs there stays.
func (s *Set) Leave() {
	for _, h := range s.All() {
		h.close()
	}
}

// Forget leaves a machine that is no more. Whoever opens one of its name again has another host.
func (s *Set) Forget(h *Host) {
	s.mu.Lock()
	s.all = slices.DeleteFunc(s.all, func(other *Host) bool { return other == h })
	delete(s.slots, h.Name)
	s.mu.Unlock()
	h.leave()
	s.run.Go(h.close)
}

// close leaves a machine, unless it is this one.
func (h *Host) close() {
	if h.agent != nil {
		_ = h.Keeper.Release() // which a keeper that does not hear it sees by itself
		h.agent.Close()
	}
}
