//go:build linux

package door

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"syscall"
	"time"

	"github.com/divisi-go/divisi/internal/home"
	"github.com/divisi-go/divisi/internal/keeper"
	"github.com/divisi-go/divisi/internal/keeper/daemon"
	"github.com/divisi-go/divisi/internal/keeper/link"
	"github.com/divisi-go/divisi/internal/notify"
	"github.com/divisi-go/divisi/internal/proc"
)

// place returns the place of the keeper, or nil if another keeper has it. Where a supervisor wants it to be
// here, the other one leaves, with everything that it has.
func place(h home.Home, supervisor notify.Supervisor) (*home.Claim, error) {
	for end := time.Now().Add(stayTime); ; {
		claim, err := h.Keeper().Claim()
		switch {
		case !errors.Is(err, home.ErrTaken):
			return claim, err
		case !supervisor.Exists():
			return nil, nil
		}

		gone, dismissErr := dismiss(h)
		if errors.Is(dismissErr, errSupervised) || time.Now().After(end) {
			return nil, cmp.Or(dismissErr, err)
		}
		if !gone { // else a client that misses it starts the next one, and is not to be the first
			time.Sleep(firstPause)
		}
	}
}

var errSupervised = errors.New("it has a supervisor as well: stop that service first")

// dismiss ends another keeper, as a signal does, and reports whether it has gone. One that begins, or ends,
// cannot be asked.
func dismiss(h home.Home) (gone bool, err error) {
	ctx, cancel := context.WithTimeout(context.Background(), stayTime)
	defer cancel()
	l, err := link.Reach(ctx, h, keeper.Claim{})
	if err != nil {
		return false, err
	}
	defer l.Close()

	pid := l.Keeper.Pid
	if l.Keeper.Supervised {
		return false, fmt.Errorf("the keeper of %s is process %d: %w", h.Dir, pid, errSupervised)
	}
	daemon.Say("takes over from process %d", pid)
	p, err := proc.Find(pid, proc.StartTicks(pid))
	if err != nil {
		return true, nil // it has just ended
	}
	defer p.Close()
	if err := syscall.Kill(pid, syscall.SIGTERM); err != nil {
		return false, err
	}
	defer context.AfterFunc(ctx, func() { p.Close() })()
	_, err = p.Wait() // until then the addresses of its sockets are taken
	return err == nil, err
}

// status says what the keeper holds, for its supervisor.
func (s *server) status() string {
	servers, sockets := s.keeper.Count()
	status := fmt.Sprintf("STATUS=servers: %d, sockets: %d", servers, sockets)
	if err := s.keeper.Health().Trouble; err != nil {
		status += "; " + err.Error()
	}
	return status
}

// report tells the supervisor what the keeper holds, if that has changed.
func (s *server) report() {
	if !s.supervisor.Exists() {
		return
	}
	if status := s.status(); status != s.reported {
		s.tell(status)
		s.reported = status
	}
}

// tell tells the supervisor how the keeper is.
func (s *server) tell(lines ...string) {
	if err := s.supervisor.Send(lines...); err != nil {
		daemon.Say("%v", err)
	}
}
