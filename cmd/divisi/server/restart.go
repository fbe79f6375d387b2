package server

import (
	"context"
	"errors"
	"fmt"
	"os/exec"
	"path"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/divisi-go/divisi/cmd/divisi/console"
	"github.com/divisi-go/divisi/cmd/divisi/estate"
	"github.com/divisi-go/divisi/internal/control"
	"github.com/divisi-go/divisi/internal/keeper"
	"github.com/divisi-go/divisi/internal/keeper/door"
	"github.com/divisi-go/divisi/internal/lifecycle"
	"github.com/divisi-go/divisi/internal/operator"
	"github.com/divisi-go/divisi/internal/server"
)

func (c command) restart() *cobra.Command {
	var exclusive, yes bool
	var timeout time.Duration
	cmd := &cobra.Command{
		Use:   "restart SELECTOR...",
		Short: "Replace the processes of servers, one after the other",
		Long: "Replace the process of a server by one that runs the same program with the same arguments; of several\n" +
			"servers, one after the other, each when the one before is ready. The first that does not become ready\n" +
			"is the last. For more than one, add --yes.\n\n" +
			"If the server inherits sockets (--listen), the next process starts first, and the one before is\n" +
			"stopped when the next one is ready: a program that ends its connections in order, as package serve\n" +
			"does, loses no request. If the next one does not become ready, the one before runs on. A server\n" +
			"that inherits nothing has sockets, files or locks of its own that two processes cannot have: it is\n" +
			"stopped first, as one is for which --exclusive says so.\n\n" +
			"A server of a program or of an ensemble is restarted by that, in the same order, and as the present document\n" +
			"has it: with its program as the file is now. It stays supervised.",
		Example: "  divisi restart web\n  divisi restart db@/shop --exclusive\n  divisi restart role:httpd@/test/... --yes",
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) == 0 {
				return errors.New("give a server, or another selector")
			}
			return nil
		},
		ValidArgsFunction: complete,
		RunE: func(cmd *cobra.Command, args []string) error {
			return c.runRestart(cmd.Context(), args, exclusive, yes, timeout)
		},
	}

	cmd.Flags().BoolVar(&exclusive, "exclusive", false, "stop first: two processes of the server cannot run side by side")
	cmd.Flags().BoolVar(&yes, "yes", false, "confirm that more than one is restarted")
	console.TimeoutFlag(cmd, &timeout, time.Minute)
	return cmd
}

func (c command) runRestart(ctx context.Context, asked []string, exclusive, yes bool, limit time.Duration) error {
	d, err := openThere(ctx, "divisi restart "+strings.Join(asked, " "))
	if err != nil {
		return err
	}
	defer d.close()
	list, err := d.List(ctx, "")
	if err != nil {
		return err
	}
	chosen, err := choose(append(list, d.down(ctx, list)...), asked...)
	if err != nil {
		return err
	}
	if len(chosen) > 1 && !yes {
		return console.UsageError("%d would be restarted: %s: add --yes to say that you mean it", len(chosen), strings.Join(namesOf(chosen), ", "))
	}

	var all []Restarted
	for _, old := range chosen {
		var done Restarted
		if done, err = d.restartBy(ctx, old, exclusive, limit); err != nil {
			break
		}
		all = append(all, done)
		c.showRestarted(done)
	}
	if c.Format == "json" && len(all) > 0 {
		shown := any(all)
		if s, wrong := Select(asked[0]); len(asked) == 1 && wrong == nil && (s.One() || s.Bare()) {
			shown = all[0]
		}
		_, failed := c.JSON(shown)
		err = errors.Join(err, failed)
	}
	if err != nil && len(all) > 0 {
		err = &console.Error{Code: console.Degraded, Err: err, Way: fmt.Sprintf("%d of %d were restarted", len(all), len(chosen))}
	}
	return err
}

// down returns the servers of programs that are about to start, wait for that, or have failed too often, and of which the keeper
// has nothing meanwhile.
func (d *Desk) down(ctx context.Context, list []keeper.Proc) (more []keeper.Proc) {
	all, _ := estate.Find(ctx, d.home) // one that does not answer cannot be asked to restart any
	for _, app := range all {
		for _, m := range app.Status.Members {
			id := keeper.ID{Domain: path.Dir(m.Path), Name: path.Base(m.Path)}
			there := slices.ContainsFunc(list, func(p keeper.Proc) bool { return p.Domain == id.Domain && p.Name == id.Name })
			here := m.Kind == operator.KindServer && (m.Host == "" || m.Host == control.Local)
			if app.Client != nil && here && !there && m.State != string(lifecycle.Stopped) {
				more = append(more, keeper.Proc{ID: id})
			}
		}
	}
	return more
}

// showRestarted says what was done, unless that is shown as JSON.
func (c command) showRestarted(done Restarted) {
	if c.Format == "json" {
		return
	}
	fmt.Fprintf(c.Out, "%s runs as process %d (%s)", done.Name, done.Pid, done.Order)
	if done.Before != 0 { // it did not wait for its next start
		fmt.Fprintf(c.Out, "; process %d %s", done.Before, done.Ended)
	}
	fmt.Fprintln(c.Out)
}

// restartBy has a server restarted by the program that decides about it, if one does. One that has just begun has no door
// yet, and then the domain.
func (d *Desk) restartBy(ctx context.Context, old keeper.Proc, exclusive bool, limit time.Duration) (Restarted, error) {
	of := d.ownerOf(ctx, old)
	if of == nil {
		done, err := d.restart(ctx, old, exclusive, limit)
		if !errors.Is(err, keeper.ErrHeld) {
			return done, err
		}
		if of = d.ownerOf(ctx, old); of == nil {
			return done, err
		}
	}
	return d.restartIn(ctx, *of, old, exclusive, limit)
}

// ownerOf returns the program of package system that runs and decides about a server, nil if none does.
func (d *Desk) ownerOf(ctx context.Context, p keeper.Proc) *estate.Application {
	all, _ := estate.Find(ctx, d.home) // one that does not answer cannot be asked to
	for i, app := range all {
		if app.Status.IsProgram() && app.Client != nil && app.Owns(p) {
			return &all[i]
		}
	}
	return nil
}

// restartIn has a program restart one of its servers.
func (d *Desk) restartIn(ctx context.Context, of estate.Application, old keeper.Proc, exclusive bool, limit time.Duration) (Restarted, error) {
	if exclusive {
		return Restarted{}, console.Failure("leave out --exclusive", "%v is of %s, which knows itself whether two processes of it can run side by side", old.ID, of.Status.App)
	}
	done := Restarted{Name: old.ID.String(), Order: server.StopFirst, Before: old.Pid}
	err := console.Within(ctx, limit, func(ctx context.Context) error {
		_, err := of.Client.Do(ctx, "restart", []string{path.Join(old.Domain, old.Name)})
		return err
	})
	if err != nil {
		return done, fmt.Errorf("cannot restart %v: %w", old.ID, err)
	}
	now, err := d.List(ctx, old.Domain)
	if err != nil {
		return done, err
	}
	var next keeper.Proc
	for _, p := range now {
		if p.Domain == old.Domain && p.Name == old.Name {
			next, done.Pid = p, p.Pid
		}
	}
	ends, err := d.records(ctx, old.ID.String())
	for _, r := range ends {
		if r.Run == old.Run {
			done.Ended = r.Text
			if next.Started.Before(r.Time) {
				done.Order = server.StartFirst
			}
		}
	}
	return done, err
}

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

// Ended waits for the end of a process that somebody else stops.
func Ended(ctx context.Context, p keeper.Proc) (Stopped, error) {
	s := Stopped{Name: p.ID.String(), Pid: p.Pid}
	d, err := openThere(ctx, "divisi stop "+s.Name)
	if err != nil {
		return s, err
	}
	defer d.close()
	exit, err := d.Wait(ctx, p.ID)
	s.Exit = exitOf(exit)
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
