package server

import (
	"context"
	"fmt"
	"os/exec"
	"time"

	"github.com/divisi-go/divisi/cmd/divisi/console"
	"github.com/divisi-go/divisi/internal/keeper"
	"github.com/divisi-go/divisi/internal/keeper/door"
	"github.com/divisi-go/divisi/internal/lifecycle"
	"github.com/divisi-go/divisi/internal/server"
)

// Restarted says what a restart has done.
type Restarted struct {
	Name   string       `json:"name"`
	Order  server.Order `json:"order"`
	Before int          `json:"before"`
	Pid    int          `json:"pid"`
	Ended  string       `json:"ended,omitempty"` // how the former process has ended
}

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
	if err == nil {
		err = d.able(ctx) // else it might be stopped, and not be started
	}
	if err != nil {
		return Restarted{}, console.Failure("process "+fmt.Sprint(old.Pid)+" runs on", "cannot restart %v: %w", old.ID, err)
	}
	next := server.Succession{Order: server.StopFirst, Before: old}
	if len(spec.Sockets) > 0 && !exclusive {
		next.Order = server.StartFirst
	}
	err = d.change(ctx, old.Domain, func(c *door.Client) error { return next.Begin(ctx, c, spec) })
	if err == nil {
		beside := next.Order == server.StartFirst
		err = next.End(ctx, moments{d}, d.becomesReady(ctx, next.Next, &spec, ready, beside, limit))
	}

	done := Restarted{Name: old.ID.String(), Order: next.Order, Before: old.Pid, Pid: next.Next.Pid}
	if next.Ended != (keeper.Exit{}) {
		done.Ended = next.Ended.String()
	}
	return done, err
}

// Stopped says how a server was stopped.
type Stopped struct {
	Name string `json:"name"`
	Pid  int    `json:"pid,omitempty"`
	Exit Exit   `json:"exit"`

	// Unwritten is why the keeper could not note that nobody wants the server any more, which then may start again with
	// the machine; "" if it could, or does not start it again anyway.
	Unwritten string `json:"unwritten,omitempty"`
}

// Stop stops a server, and returns how its last process has ended.
func Stop(ctx context.Context, p keeper.Proc) (Stopped, error) {
	s := Stopped{Name: p.ID.String(), Pid: p.Pid}
	d, err := openThere(ctx, "divisi stop "+s.Name)
	if err != nil {
		return s, err
	}
	defer d.close()
	spec, _ := d.Spec(ctx, p.ID) // one that is unknown is not stopped either
	err = d.change(ctx, p.Domain, func(c *door.Client) error {
		exit, err := c.Stop(ctx, keeper.ID{Domain: p.Domain, Name: p.Name})
		s.Exit = exitOf(exit)
		return err
	})
	if err == nil && spec.Policy != nil && spec.Policy.Restart != lifecycle.Temporary {
		s.Unwritten = unwritten(ctx)
	}

	return s, err
}

// unwritten says why the keeper's journal cannot be written, as it is now: whoever was stopped may have been the last one
// that it held.
func unwritten(ctx context.Context) string {
	d, err := Open(ctx, "divisi stop", false)
	if err != nil {
		return ""
	}
	defer d.close()
	if err := d.able(ctx); err != nil {
		return err.Error()
	}
	return ""
}
