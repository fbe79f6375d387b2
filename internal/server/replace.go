package server

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/divisi-go/divisi/internal/keeper"
)

// Order says what comes first when a server takes the place of another one.
type Order string

// The orders.
const (
	StartFirst Order = "start first" // the one before ends when the next one is ready
	StopFirst  Order = "stop first"
)

// undoTime bounds how long it takes to take back what was begun, also when nobody waits for it any more.
const undoTime = time.Minute

// Succession is a server that takes the place of another one of its name.
type Succession struct {
	Order  Order
	Before keeper.Proc
	Next   keeper.Proc
	Ended  keeper.Exit // of the one before, once it has
}

// Begin starts the next one, first or after the one before has stopped. Whatever that one inherits stays if
// the client has the domain all the time.
func (s *Succession) Begin(ctx context.Context, k Keeper, spec keeper.Spec) (err error) {
	spec.Beside = s.Order == StartFirst
	if s.Order == StopFirst {
		s.Ended, err = k.Stop(ctx, keeper.ID{Domain: s.Before.Domain, Name: s.Before.Name})
		if err != nil && !errors.Is(err, keeper.ErrUnknown) {
			return err
		}
	}
	s.Next, err = k.Start(ctx, spec)
	if err != nil && s.Order == StopFirst {
		err = fmt.Errorf("process %d was stopped, and no other one runs: %w", s.Before.Pid, err)
	}
	return err
}

// End is told whether the next one has become ready. With [StartFirst] the one that is not to be is stopped:
// where that is the next one, the one before has never left. With [StopFirst] the next one stays.
func (s *Succession) End(ctx context.Context, k Keeper, ready error) error {
	switch {
	case s.Order == StopFirst:
		return ready
	case ready != nil:
		return errors.Join(ready, Undo(k, s.Next.ID), s.stays(k))
	}
	var err error
	s.Ended, err = k.Stop(ctx, s.Before.ID)
	if errors.Is(err, keeper.ErrUnknown) {
		return nil // it has ended by itself
	}
	return err
}

// stays says what became of the one before, which was to stay.
func (s *Succession) stays(k Keeper) error {
	ctx, cancel := context.WithTimeout(context.Background(), undoTime)
	defer cancel()
	list, err := k.List(ctx, s.Before.Domain)
	for _, p := range list {
		if p.ID == s.Before.ID && p.Pid == s.Before.Pid {
			return fmt.Errorf("the one before, process %d, runs on", p.Pid)
		}
	}
	return errors.Join(err, fmt.Errorf("the one before, process %d, has ended meanwhile", s.Before.Pid))
}

// Undo stops what was started and is not to be.
func Undo(k Keeper, id keeper.ID) error {
	ctx, cancel := context.WithTimeout(context.Background(), undoTime)
	defer cancel()
	_, err := k.Stop(ctx, id)
	switch {
	case errors.Is(err, keeper.ErrUnknown):
		return nil // it has ended by itself
	case err != nil:
		return fmt.Errorf("cannot stop %v again: %w", id, err)
	}
	return nil
}
