//go:build unix

package hold

import (
	"context"
	"errors"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/divisi-go/divisi/internal/family"
	"github.com/divisi-go/divisi/internal/keeper"
	"github.com/divisi-go/divisi/internal/lifecycle"
	"github.com/divisi-go/divisi/internal/notify"
)

// hear listens to what servers say of themselves until the keeper is closed, at a socket in a folder.
//
// Servers of other users cannot reach a folder of this one. The keeper of root, who alone has such
// servers, listens at a name of Linux's abstract namespace instead; who sends there is known as well.
func (k *Keeper) hear(dir string) error {
	path := filepath.Join(dir, "notify.sock")
	if os.Getuid() == 0 {
		path = "@divisi-" + k.mark
	}
	if k.ear == nil { // none was handed over
		var err error
		if k.ear, err = notify.Listen(path); err != nil {
			return err
		}
	}

	ctx, cancel := context.WithCancel(context.Background())
	deaf := make(chan struct{})
	k.deafen = func() {
		cancel()
		<-deaf
	}
	k.wait.Go(func() {
		defer close(deaf)
		for {
			err := k.ear.Serve(ctx, k.told)
			if errors.Is(err, net.ErrClosed) || ctx.Err() != nil {
				return
			}
			time.Sleep(100 * time.Millisecond) // the system refuses to receive, as without memory
		}
	})

	return nil
}

// maxEarly bounds what a process says before the keeper knows that it is there.
const maxEarly = 16

// told takes what some process says. What is not of a server that is to say something means nothing.
func (k *Keeper) told(m *notify.Message) {
	mark, kin := family.Whose(m.Pid) // looks, so not under the mutex
	run, _ := strconv.ParseUint(strings.TrimPrefix(mark, k.mark+"-"), 10, 64)

	k.mu.Lock()
	defer k.mu.Unlock()
	for _, all := range k.servers {
		for _, s := range all {
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

// told takes what the server says of itself; the mutex is held.
func (s *server) told(m *notify.Message) {
	if m.Status != nil {
		s.status = *m.Status
	}
	if m.Remove {
		s.shelf.Remove(m.FDName)
	}
	fault := m.Fault
	if m.Store {
		fault = errors.Join(fault, s.shelf.Put(m.FDName, m.Files))
	}
	if fault != nil {
		s.tell(keeper.Heard, fault.Error())
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

// stuck gives the process up; the mutex is held.
func (s *server) stuck(why string) {
	before := s.life.State
	s.step(lifecycle.Stuck)
	if s.life.State != before {
		s.tell(keeper.NotReady, why)
	}
}
