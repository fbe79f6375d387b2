package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/divisi-go/divisi/cmd/divisi/console"
	"github.com/divisi-go/divisi/cmd/divisi/estate"
	"github.com/divisi-go/divisi/cmd/divisi/run"
	"github.com/divisi-go/divisi/cmd/divisi/subject"
	"github.com/divisi-go/divisi/cmd/divisi/telemetry"
	"github.com/divisi-go/divisi/cmd/divisi/view"
	"github.com/divisi-go/divisi/internal/control"
	"github.com/divisi-go/divisi/internal/event"
)

func (c *command) attach() *cobra.Command {
	var o run.Options
	var admin string
	cmd := subject.OneApplication(&cobra.Command{
		Use:   "attach [APP]",
		Short: "Follow an application, and decide about it if nobody does",
		Long: "Follow what happens to an application. If nobody decides about it, since it was left by\n" +
			"divisi run --detach or its divisi run was killed, this command does: it supervises, and has the live\n" +
			"page. It says which. Ctrl-C ends this command only: the application runs on.",
		Example: "  divisi attach shop\n  divisi attach --admin ''",
		RunE: func(cmd *cobra.Command, args []string) error {
			app, err := subject.Pick(cmd.Context(), args)
			if err != nil {
				return subject.NoServer(cmd.Context(), args, err)
			}
			switch s := app.Status; {
			case s.Again != "" && s.IsProgram():
				return console.Failure(subject.WayOut(s), "%s is a program, and only the program itself decides about what it has started", s.App)
			case s.Again != "":
				return console.Failure(subject.WayOut(s), "%s is part of a program, and only that decides about it", s.App)
			}
			o.Admin = pageAddresses(cmd, admin)
			if !cmd.Flags().Changed("logs") {
				o.Logs = c.OutTerminal
			}
			c.Never()
			return c.attachTo(cmd.Context(), app, o)
		},
	})

	pageFlag(cmd, &admin)
	cmd.Flags().BoolVar(&o.Logs, "logs", false, "show the application's log here (default on a terminal)")
	cmd.Flags().DurationVar(&o.Timeout, "timeout", time.Minute, "complain if not everything is ready after this time")
	return cmd
}

// attachTo is attached until ctx ends, or the application does, whoever decides about it meanwhile.
func (c *command) attachTo(ctx context.Context, app estate.Application, o run.Options) error {
	name := app.Status.App
	v := &view.View{Console: c.Console, Attached: true}
	for {
		var err error
		if app.Client == nil {
			v.Note("nobody decides about " + name + ": this command does, until Ctrl-C, which leaves it running")
			err = run.Attach(ctx, name, o, v)
		} else {
			v.Note(fmt.Sprintf("process %d decides about %s: this command follows, until Ctrl-C, which leaves it running", app.Status.Controller.Pid, name))
			err = c.follow(ctx, app, o, v)
		}

		switch {
		case ctx.Err() != nil:
			v.Note("detached: " + name + " runs on")
			return nil
		case errors.Is(err, run.ErrTaken):
			v.Note(err.Error())
		case errors.Is(err, estate.ErrNothing):
		case err != nil:
			return err
		}
		next, err := app.Next(ctx)
		if errors.Is(err, estate.ErrNothing) {
			v.Note(name + " has ended")
			return nil
		}
		if err != nil {
			return err
		}
		app = next
	}
}

// follow shows what happens to an application about which another process decides, until that process does
// no longer.
func (c *command) follow(ctx context.Context, app estate.Application, o run.Options, v *view.View) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	v.Serving(app.Status.Listeners)
	v.Running(app.Status, app.Status.Controller.Page, nil)
	shown := make(chan struct{})
	go func() {
		defer close(shown)
		if o.Logs {
			q := &telemetry.Query{Follow: true, Filter: telemetry.Filter{Kind: telemetry.KindLog}}
			_ = telemetry.Show(ctx, app.Status.Controller.LogDir, nil, q, v.Entry) // the end of the log is no news
		}
	}()

	begin := time.Now()
	err := app.Client.Stream(ctx, "events", nil, func(line json.RawMessage) error {
		var r event.Record
		if err := json.Unmarshal(line, &r); err != nil {
			return err
		}
		if r.Time.After(begin) {
			v.Event(r)
		}
		return nil
	})
	cancel()
	<-shown
	var refused *control.Error
	if errors.As(err, &refused) {
		return err
	}
	return nil // it has gone, and what is there now is seen next
}
