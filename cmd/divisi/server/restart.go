package server

import (
	"context"
	"errors"
	"fmt"
	"os/exec"
	"time"

	"github.com/divisi-go/divisi/cmd/divisi/console"
	"github.com/divisi-go/divisi/internal/keeper"
	"github.com/divisi-go/divisi/internal/keeper/door"
)

// Restarted says what a restart has done.
type Restarted struct {
	Name   string `json:"name"`
	Order  string `json:"order"` // start first, or stop first
	Before int    `json:"before"`
	Pid    int    `json:"pid"`
	Ended  string `json:"ended,omitempty"` // how the former process has ended
}

const (
	startFirst = "start first"
	stopFirst  = "stop first"
)

// restart replaces the process of a server. All that it listens on is inherited, as far as the keeper
// knows, if it inherits something: then the next process starts first, and the one before ends when the
// next one is ready.
func (d *Desk) restart(ctx context.Context, old keeper.Proc, exclusive bool, limit time.Duration) (Restarted, error) {
	spec, err := d.Spec(ctx, old.ID)
	if err != nil {
		return Restarted{}, err
	}
	ready, err := probeOf(spec.Labels)
	if err == nil {
		_, err = exec.LookPath(spec.Path)
	}
	if err != nil {
		return Restarted{}, console.Failure("process "+fmt.Sprint(old.Pid)+" runs on", "cannot restart %v: %w", old.ID, err)
	}
	done := Restarted{Name: old.ID.String(), Order: stopFirst, Before: old.Pid}
	if len(spec.Sockets) > 0 && !exclusive {
		done.Order = startFirst
	}
	spec.Beside = done.Order == startFirst

	var next keeper.Proc
	err = d.change(ctx, old.Domain, func(c *door.Client) error {
		if done.Order == stopFirst {
			// What it inherits stays while this client has the domain.
			exit, err := c.Stop(ctx, keeper.ID{Domain: old.Domain, Name: old.Name})
			if err != nil && !errors.Is(err, keeper.ErrUnknown) {
				return err
			}
			done.Ended = exit.String()
		}
		if next, err = c.Start(ctx, spec); err != nil && done.Order == stopFirst {
			err = fmt.Errorf("process %d was stopped, and no other one runs: %w", old.Pid, err)
		}
		return err
	})
	if err != nil {
		return done, err
	}
	done.Pid = next.Pid

	if err := d.becomesReady(ctx, next, &spec, ready, limit); err != nil {
		if done.Order == stopFirst {
			return done, err // the keeper goes on as its policy says
		}
		return done, errors.Join(err, d.undo(next.ID, next.ID),
			fmt.Errorf("the one before, process %d, runs on", old.Pid))
	}
	if done.Order == startFirst {
		err = d.change(ctx, old.Domain, func(c *door.Client) error {
			exit, err := c.Stop(ctx, old.ID)
			done.Ended = exit.String()
			if errors.Is(err, keeper.ErrUnknown) {
				return nil // it has ended by itself
			}
			return err
		})
	}

	return done, err
}

// Stopped says how a server was stopped.
type Stopped struct {
	Name string `json:"name"`
	Pid  int    `json:"pid,omitempty"`
	Exit Exit   `json:"exit"`
}

// Stop stops a server, and returns how its last process has ended.
func Stop(ctx context.Context, p keeper.Proc) (Stopped, error) {
	s := Stopped{Name: p.ID.String(), Pid: p.Pid}
	d, err := openThere(ctx, "divisi stop "+s.Name)
	if err != nil {
		return s, err
	}
	defer d.close()
	err = d.change(ctx, p.Domain, func(c *door.Client) error {
		exit, err := c.Stop(ctx, keeper.ID{Domain: p.Domain, Name: p.Name})
		s.Exit = exitOf(exit)
		return err
	})

	return s, err
}
