//go:build linux

package door

import (
	"context"
	"fmt"
	"net"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"

	"github.com/divisi-go/divisi/internal/family"
	"github.com/divisi-go/divisi/internal/home"
	"github.com/divisi-go/divisi/internal/inherit"
	"github.com/divisi-go/divisi/internal/keeper/fork"
	"github.com/divisi-go/divisi/internal/keeper/hold"
	"github.com/divisi-go/divisi/internal/keeper/store"
	"github.com/divisi-go/divisi/internal/notify"
)

// ready is what a keeper says last to who has started it: clients are answered.
const ready = "divisi keeper: ready"

// Enter makes this process a keeper, and never returns, if it was started as one. It is called first
// in main, before anything that a keeper should not have.
func Enter() {
	fork.Enter()
	state := os.Getenv(Variable)
	if state == "" {
		return
	}
	if err := keep(state); err != nil {
		fmt.Fprintln(os.Stderr, "divisi keeper:", err)
		os.Exit(1)
	}
	os.Exit(0)
}

// keep is the life of a keeper. If another one is there for the folder, it does nothing.
func keep(state string) error {
	h, err := home.At(state)
	if err != nil {
		return err
	}
	supervisor := notify.Parent()
	back, err := inherit.Descriptors()
	if err != nil {
		return err
	}
	os.Clearenv() // servers get what they are given
	if err := closeForeign(); err != nil {
		return err
	}
	claim, err := place(h, supervisor)
	if claim == nil || err != nil {
		return err
	}
	defer claim.Release()
	var kept *store.Store
	if supervisor.Exists() {
		kept = store.Open(supervisor, back, say)
		defer kept.Settle()
	}
	k, err := hold.OpenWith(kept, claim.State, claim.Logs, claim.Calls)
	if err != nil {
		return err
	}
	kept.Clear()

	ended := make(chan os.Signal, 1)
	signal.Notify(ended, syscall.SIGTERM, syscall.SIGINT)
	// Signals that are ignored would be ignored by servers, too.
	signal.Notify(make(chan os.Signal, 1), syscall.SIGHUP, syscall.SIGPIPE)
	s, err := newServer(h, k)
	if err != nil {
		return err
	}
	s.supervisor = supervisor
	l, err := listen(claim.Door)
	if err != nil {
		return err
	}
	if err := free(); err != nil {
		return err
	}
	fmt.Println(ready)
	if !supervisor.Exists() { // one has a place for what its services print
		if err := speakInto(filepath.Join(claim.State, "keeper.log")); err != nil {
			return err
		}
	}
	return s.keep(l, ended)
}

// keep serves until there is nothing left to keep, or a signal ends the keeper: then what it holds
// stays, as when it is killed. A supervisor keeps it, whatever it holds.
func (s *server) keep(l *net.UnixListener, ended <-chan os.Signal) error {
	ctx, cancel := context.WithCancelCause(context.Background())
	defer cancel(nil)
	go func() { cancel(fmt.Errorf("the signal %v", <-ended)) }()

	go family.ReapOrphans(ctx)
	go s.supervisor.Watchdog(ctx, func() { s.status() }) // nobody who hangs has a status
	say("begins with protocol %d: %s", Protocol, s.program)
	s.reported = s.status()
	s.tell(notify.Ready, s.reported)
	err := s.serve(ctx, l)
	s.tell(notify.Stopping)
	if cause := context.Cause(ctx); cause != nil {
		say("ends by %v", cause)
		return nil
	}
	if err != nil {
		return err
	}
	say("ends: nobody needs it any more")
	return s.keeper.Close()
}
