package server

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/divisi-go/divisi/internal/keeper"
	"github.com/divisi-go/divisi/internal/lifecycle"
	"github.com/divisi-go/divisi/internal/probe"
)

// Wanted is a server as it is wanted, whatever runs of it. Two of one digest are served by the same process.
type Wanted struct {
	Keeper    Session
	Spec      keeper.Spec
	Ready     probe.Probe
	Check     func(context.Context) error // as that of [Start]
	Listeners []probe.Address
	Within    time.Duration // it has to become ready
	Alone     bool          // no two of it run at the same time
	Log       string        // file
	Observer  Observer      // as that of [Start]

	Turn chan struct{}                // has room for the upgrade that goes on
	Warn func(what string, err error) // err may be nil
}

// Outcome says what was done to have a server run as wanted.
type Outcome string

// The outcomes.
const (
	Adopted  Outcome = "adopted"  // it ran as wanted
	Upgraded Outcome = "upgraded" // it ran in another way, or could not be used, and was replaced
	Started  Outcome = "started"  // it did not run
)

// Once runs the program to its end. What still runs of it is killed before, and what has not ended with ctx as well. The function
// says why a program cannot be executed.
func (w *Wanted) Once(ctx context.Context, explain func(path string, err error) error) (*Start, keeper.Exit, error) {
	if err := Undo(w.Keeper, w.Spec.ID()); err != nil {
		return nil, keeper.Exit{}, err
	}
	now, err := w.Keeper.Start(ctx, w.Spec)
	if err != nil {
		return nil, keeper.Exit{}, explain(w.Spec.Path, err)
	}
	end, err := w.Keeper.Wait(ctx, now.ID)
	if err != nil {
		return nil, keeper.Exit{}, errors.Join(err, Undo(w.Keeper, now.ID))
	}
	return w.Start(now), end, nil
}

// Probes reads how one sees that the program is ready and well, "" for neither.
func (w *Wanted) Probes(ready, health string) (err error) {
	if ready != "" {
		w.Ready, err = probe.Parse(ready)
	}
	w.Spec.Notify = w.Ready.Kind == probe.Notify
	if health != "" && err == nil {
		w.Spec.Probe = &keeper.Probe{Ask: health}
		_, err = w.Spec.Probe.Question()
	}
	return err
}

// Start returns a start of the server, to wait for or to hear of.
func (w *Wanted) Start(now keeper.Proc) *Start {
	return &Start{
		Keeper: w.Keeper, Proc: now, Spec: &w.Spec, Ready: w.Ready, Check: w.Check, Listeners: w.Listeners, Log: w.Log,
		Observer: w.Observer,
	}
}

// Ensure has a process run that is as wanted, and returns it when it is ready.
func (w *Wanted) Ensure(ctx context.Context) (keeper.Proc, Outcome, error) {
	session := w.Keeper
	list, err := w.present(ctx)
	if err != nil {
		return keeper.Proc{}, "", err
	}
	same := -1
	for i, other := range list {
		if w.isOf(other) {
			same = i // the newest one
		}
	}
	if same < 0 && len(list) > 0 {
		now, err := w.upgrade(ctx, list)
		return now, Upgraded, err
	}

	if same >= 0 && list[same].Pid != 0 {
		err := w.ready(ctx, list[same], false)
		switch {
		case err == nil:
			return list[same], Adopted, w.undo(list, list[same])
		case ctx.Err() != nil:
			return list[same], "", err
		}
		w.Warn("it runs as wanted, and cannot be used: another one takes its place", err)
		now, err := w.upgrade(ctx, list)
		return now, Upgraded, err
	}

	spec := w.Spec
	if same >= 0 {
		spec.Digest = list[same].Digest // which waits for this start
	}
	now, err := session.Start(ctx, spec)
	if err != nil {
		return now, "", err
	}
	if err = w.ready(ctx, now, false); err != nil {
		return now, "", errors.Join(err, Undo(session, now.ID))
	}
	return now, Started, w.undo(list, now)
}

// Renew has another process take the place of the one that runs, also if that is as wanted, and returns it when it is ready.
func (w *Wanted) Renew(ctx context.Context) (keeper.Proc, error) {
	list, err := w.present(ctx)
	if err == nil && len(list) == 0 {
		err = errors.New("it does not run")
	}
	if err != nil {
		return keeper.Proc{}, err
	}
	return w.upgrade(ctx, list)
}

// isOf reports whether a server runs as wanted. One that takes the place of such a one has the same digest and a
// number, for the keeper never has two servers of one digest beside each other.
func (w *Wanted) isOf(other keeper.Proc) bool {
	digest, _, _ := strings.Cut(other.Digest, "~")
	return digest == w.Spec.Digest
}

// undo stops all of a list but one: they are of an upgrade that did not come to its end.
func (w *Wanted) undo(list []keeper.Proc, but keeper.Proc) (err error) {
	for _, other := range list {
		if other.Digest != but.Digest {
			err = errors.Join(err, Undo(w.Keeper, other.ID))
		}
	}
	return err
}

// upgrade has the next process take the place of those that run in another way. One server at a time is
// upgraded.
func (w *Wanted) upgrade(ctx context.Context, list []keeper.Proc) (keeper.Proc, error) {
	session, before := w.Keeper, list[len(list)-1]
	select {
	case w.Turn <- struct{}{}:
		defer func() { <-w.Turn }()
	case <-ctx.Done():
		return before, context.Cause(ctx)
	}

	spec := w.Spec
	if slices.ContainsFunc(list, w.isOf) {
		spec.Digest += "~" + strconv.FormatUint(before.Run, 10)
	}
	next := Succession{Order: StartFirst, Before: before}
	former := keeper.Spec{}
	if w.Alone {
		next.Order = StopFirst
		var err error
		if former, err = session.Spec(ctx, before.ID); err != nil {
			return before, err
		}
	}
	err := next.Begin(ctx, session, spec)
	if err == nil {
		err = next.End(ctx, session, w.ready(ctx, next.Next, next.Order == StartFirst))
	}
	if err != nil && next.Order == StopFirst {
		err = errors.Join(err, w.restore(former))
	}
	if err != nil {
		return next.Next, err
	}
	if next.Order == StartFirst && !w.Start(next.Next).own() {
		w.Warn(unsure, nil)
	}
	return next.Next, w.undo(list[:len(list)-1], next.Next)
}

// unsure is what there is to say of an upgrade that nobody can be sure of.
const unsure = "the one before may have answered that the next one is ready, so it counts as ready once it has run for a while: " +
	"notify, log and file are answered by the next one itself"

// restore starts what was stopped for an upgrade that has failed.
func (w *Wanted) restore(former keeper.Spec) error {
	session := w.Keeper
	err := Undo(session, w.Spec.ID())
	ctx, cancel := context.WithTimeout(context.Background(), undoTime)
	defer cancel()
	before, failed := session.Start(ctx, former)
	if err = errors.Join(err, failed); err != nil {
		return fmt.Errorf("the one before cannot be started again: %w", err)
	}
	return fmt.Errorf("the one before runs again, as process %d", before.Pid)
}

const (
	// comingTime bounds the wait for a process that the keeper was starting when the program came.
	comingTime = 5 * time.Second
	comingPoll = 10 * time.Millisecond
)

// present returns the servers of the name that stay, the oldest first, once it is known what became of
// processes that were being started or stopped.
func (w *Wanted) present(ctx context.Context) ([]keeper.Proc, error) {
	id := w.Spec.ID()
	for end := time.Now().Add(comingTime); ; {
		list, err := w.Keeper.List(ctx, id.Domain)
		if err != nil {
			return nil, err
		}
		list = slices.DeleteFunc(list, func(other keeper.Proc) bool { return other.Domain != id.Domain || other.Name != id.Name })
		comes := slices.ContainsFunc(list, func(o keeper.Proc) bool { return o.Pid == 0 && o.State == lifecycle.Starting })
		if !comes || time.Now().After(end) {
			return w.staying(ctx, list)
		}

		select {
		case <-time.After(comingPoll):
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		}
	}
}

// staying waits for those to end that a run of the program has stopped before it ended itself, and returns the
// others.
func (w *Wanted) staying(ctx context.Context, list []keeper.Proc) (stay []keeper.Proc, err error) {
	for _, other := range list {
		if other.State != lifecycle.Draining && other.State != lifecycle.Stopping {
			stay = append(stay, other)
			continue
		}
		_, err := w.Keeper.Stop(ctx, other.ID)
		if err != nil && !errors.Is(err, keeper.ErrUnknown) {
			return nil, err
		}
	}
	return stay, nil
}

// ready waits until a process is ready, as long as it may take. Beside another one, that one may answer.
func (w *Wanted) ready(ctx context.Context, now keeper.Proc, beside bool) error {
	limited, cancel := context.WithTimeout(ctx, w.Within)
	defer cancel()
	start := w.Start(now)
	start.Beside = beside
	err := start.Await(limited)
	switch {
	case err == nil:
		return nil
	case ctx.Err() != nil:
		return err
	case limited.Err() != nil:
		return fmt.Errorf("it is not ready after %v: %w%s", w.Within, err, start.LastWords())
	}
	return fmt.Errorf("%w%s", err, start.LastWords())
}
