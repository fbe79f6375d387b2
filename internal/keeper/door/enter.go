//go:build linux

package door

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"

	"github.com/divisi-go/divisi/internal/family"
	"github.com/divisi-go/divisi/internal/home"
	"github.com/divisi-go/divisi/internal/inherit"
	"github.com/divisi-go/divisi/internal/keeper/daemon"
	"github.com/divisi-go/divisi/internal/keeper/fork"
	"github.com/divisi-go/divisi/internal/keeper/hold"
	"github.com/divisi-go/divisi/internal/keeper/link"
	"github.com/divisi-go/divisi/internal/keeper/record"
	"github.com/divisi-go/divisi/internal/keeper/store"
	"github.com/divisi-go/divisi/internal/keeper/successor"
	"github.com/divisi-go/divisi/internal/notify"
)

// ready is what a keeper says last to who has started it: clients are answered.
const ready = "divisi keeper: ready"

// Enter makes this process a keeper, and never returns, if it was started as one. It is called first
// in main, before anything that a keeper should not have.
func Enter() {
	fork.Enter()
	state := os.Getenv(Variable)
	switch state {
	case "":
		return
	case successor.Question:
		fmt.Println(successor.Answer(record.HandoverFormat))
		os.Exit(0)
	}
	if err := keep(state); err != nil {
		fmt.Fprintln(os.Stderr, "divisi keeper:", err)
		os.Exit(1)
	}
	os.Exit(0)
}

// keep is the life of a keeper. If another one is there for the folder, it does nothing.
func keep(state string) error {
	given, err := handedOver()
	if err != nil {
		return successor.GoBack(err)
	}
	h, err := home.At(state)
	if err != nil {
		return successor.GoBack(err)
	}
	supervisor := notify.Parent()
	back, err := inherit.Descriptors()
	if err != nil {
		return err
	}
	env := append(environment(h), supervisor.Environment()...)
	given.secure()
	os.Clearenv() // servers get what they are given
	if err := daemon.CloseForeign(); err != nil {
		return err
	}

	ended := make(chan os.Signal, 1)
	signal.Notify(ended, syscall.SIGTERM, syscall.SIGINT)
	// Signals that are ignored would be ignored by servers, too.
	signal.Notify(make(chan os.Signal, 1), syscall.SIGHUP, syscall.SIGPIPE)

	var kept *store.Store
	if supervisor.Exists() {
		kept = store.Open(supervisor, back, daemon.Say)
	}
	s, err := given.open(h, supervisor, kept)
	if err != nil || s == nil {
		return err
	}
	s.env, s.supervisor, s.kept = env, supervisor, kept
	defer s.claim.Leave() // the next keeper needs the addresses that this process has
	defer kept.Settle()
	if err := daemon.Free(); err != nil {
		return err
	}
	if given == nil {
		fmt.Println(ready)
	}
	if !supervisor.Exists() { // one has a place for what its services print
		if err := daemon.SpeakInto(filepath.Join(s.claim.State, "keeper.log")); err != nil {
			return err
		}
	}
	return s.keep(ended)
}

// begin opens a keeper and its door. It returns nil if another process has them.
func begin(h home.Home, supervisor notify.Supervisor, kept *store.Store) (*server, error) {
	claim, err := place(h, supervisor)
	if claim == nil || err != nil {
		return nil, err
	}
	k, err := hold.OpenWith(kept, placeOf(claim))
	if err != nil {
		return nil, errors.Join(err, claim.Release())
	}
	kept.Clear()
	l, err := listen(claim.Door)
	if err != nil {
		return nil, errors.Join(err, claim.Release())
	}
	return newServer(h, claim, k, l)
}

// placeOf returns where the keeper that has a claim has its files.
func placeOf(c *home.Claim) hold.Place {
	return hold.Place{State: c.State, Logs: c.Logs, Sockets: c.Calls, Spare: c.Spare}
}

// keep serves until there is nothing left to keep, or a signal ends the keeper: then what it holds
// stays, as when it is killed. A supervisor keeps it, whatever it holds.
func (s *server) keep(ended <-chan os.Signal) error {
	ctx, cancel := context.WithCancelCause(context.Background())
	defer cancel(nil)
	go func() { cancel(fmt.Errorf("the signal %v", <-ended)) }()

	go family.ReapOrphans(ctx)
	go s.supervisor.Watchdog(ctx, func() { s.status() }) // nobody who hangs has a status
	daemon.Say("begins with protocol %d: %s", link.Protocol, s.program)
	s.reported = s.status()
	s.tell(notify.Ready, s.reported)
	err := s.serve(ctx)
	s.tell(notify.Stopping)
	if cause := context.Cause(ctx); cause != nil {
		daemon.Say("ends by %v", cause)
		return nil
	}
	if err != nil {
		return err
	}
	daemon.Say("ends: nobody needs it any more")
	return s.keeper.Close()
}
