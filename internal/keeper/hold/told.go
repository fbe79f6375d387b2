//go:build unix

package hold

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/divisi-go/divisi/internal/family"
	"github.com/divisi-go/divisi/internal/keeper"
	"github.com/divisi-go/divisi/internal/lifecycle"
	"github.com/divisi-go/divisi/internal/notify"
)

// maxEarly bounds what a process says before the keeper knows that it is there.
const maxEarly = 16

// told takes what some process says. What it stores is in the supervisor's store when it returns.
func (k *Keeper) told(m *notify.Message) {
	k.deliver(m)
	if m.Store {
		k.store.Settle()
	}
}

// deliver tells the server that a message comes from. What is not of one that is to say something means
// nothing.
func (k *Keeper) deliver(m *notify.Message) {
	mark, kin := family.Whose(m.Pid) // looks, so not under the mutex
	run := k.ledger.RunOf(mark)

	k.mu.Lock()
	defer k.mu.Unlock()
	for s := range k.servers.All() {
		p := s.process
		switch {
		case !s.spec.Notify:
		case p != nil && (p.id.Run == run || slices.Contains(kin, p.Pid)):
			s.told(m)
			return
		case s.next == run && run != 0 && len(s.early) < maxEarly:
			early := *m
			early.Files = m.Take()
			s.early = append(s.early, early)
			return
		}
	}
}

// hearEarly takes what the process has said before it was in the table; the mutex is held.
func (s *server) hearEarly() {
	for _, m := range s.early {
		s.told(&m)
		for _, f := range m.Files {
			f.Close()
		}
	}
	s.early, s.next = nil, 0
}

// reloads is how a server is that reads its configuration again, and says no more of that.
const reloads = "reloads"

// told takes what the server says of itself; the mutex is held.
func (s *server) told(m *notify.Message) {
	switch {
	case m.Status != nil:
		s.status = *m.Status
	case m.Reloading:
		s.status = reloads
	case m.Ready && s.status == reloads:
		s.status = ""
	}
	if err := errors.Join(m.Fault, s.shelf.Hear(m, s.k.store, s.born), s.follow(m)); err != nil {
		s.tell(keeper.Heard, err.Error())
	}

	if m.Extend > 0 {
		s.life.Extend(m.Extend, time.Now())
		s.arm()
	}
	if m.Watchdog != nil {
		s.pulse.Every = *m.Watchdog
	}
	if m.Alive || m.Ready || m.Watchdog != nil {
		s.pulse.Beat()
	}
	switch {
	case m.Hung:
		s.stuck("it says that it is stuck")
	case m.Stopping:
		s.step(lifecycle.Busy)
	case m.Ready:
		s.step(lifecycle.Answered)
	}
}

// follow refuses to watch another process in place of the one that was started; the mutex is held.
func (s *server) follow(m *notify.Message) error {
	if m.MainPid == 0 || s.process != nil && m.MainPid == s.process.Pid {
		return nil
	}
	return fmt.Errorf("it says MAINPID=%d, which means nothing here: start a program that does not go to the background", m.MainPid)
}

// stuck gives the process up; the mutex is held.
func (s *server) stuck(why string) {
	before := s.life.State
	s.step(lifecycle.Stuck)
	if s.life.State != before {
		s.hung = why
		s.tell(keeper.Hung, why)
	}
}
