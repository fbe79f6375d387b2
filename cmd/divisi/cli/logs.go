package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/divisi-go/divisi/cmd/divisi/console"
	"github.com/divisi-go/divisi/cmd/divisi/estate"
	"github.com/divisi-go/divisi/cmd/divisi/server"
	"github.com/divisi-go/divisi/cmd/divisi/subject"
	"github.com/divisi-go/divisi/cmd/divisi/telemetry"
	"github.com/divisi-go/divisi/internal/control"
	"github.com/divisi-go/divisi/internal/name"
)

func (c *command) logs() *cobra.Command {
	var attrs []string
	var since, until string
	q := &telemetry.Query{}
	cmd := subject.OneOfAny(&cobra.Command{
		Use:   "logs [APP|NAME[@/DOMAIN]]",
		Short: "Show the log of an application or a server",
		Long: "Show the log of an application, in the order of time: what its components log, and what\n" +
			"its processes print. Or show what a server prints. Without --follow the log of what has\n" +
			"ended can be shown as well; with it, the command ends with the application or server.\n\n" +
			"Events, such as the end of a process, are entries of the kind event; all others are of\n" +
			"the kind log. Filters are combined: an entry is shown if all of them choose it. An\n" +
			"expression may use time, kind, level, msg, component, replica, version, file, line and\n" +
			"attrs; levels have an order. Times are those of today such as 15:04, of a date such as\n" +
			"2006-01-02T15:04:05, or so long ago, such as 10m.",
		Example: "  divisi logs -f\n  divisi logs -n 50 --since 10m --kind event\n  divisi logs shop --component cart.Cart --level warn\n" +
			"  divisi logs shop --attr user=7 -o json\n" +
			"  divisi logs -f --expr 'level >= \"warn\" && attrs.user == \"7\"'",
		RunE: func(cmd *cobra.Command, args []string) error {
			if q.Tail < -1 {
				return console.UsageError("--tail %d: give a number of entries, or -1 for all", q.Tail)
			}

			var err error
			if q.Since, err = parseTime("--since", since, time.Now()); err != nil {
				return err
			}
			if q.Until, err = parseTime("--until", until, time.Now()); err != nil {
				return err
			}
			if q.Attrs, err = telemetry.ParseAttrs(attrs); err == nil {
				err = q.Compile()
			}
			if err != nil {
				return &console.Error{Code: console.Usage, Err: err}
			}
			if !q.Follow && !cmd.Flags().Changed("tail") {
				q.Tail = -1
			}

			return c.showLogs(cmd.Context(), args, q)
		},
	})

	flags := cmd.Flags()
	flags.BoolVarP(&q.Follow, "follow", "f", false, "go on with what is written from now on")
	flags.StringVar(&since, "since", "", "only what is not older than a time")
	flags.StringVar(&until, "until", "", "only what is not newer than a time")
	flags.StringVar(&q.Kind, "kind", "", "only events, or only what processes say: event or log")
	flags.IntVarP(&q.Tail, "tail", "n", 20,
		"only the last so many entries; -1 for all, which is the default without --follow")
	flags.StringVar(&q.Component, "component", "", "only of a component: cart.Cart, Cart, or the full name")
	flags.StringVar(&q.Replica, "replica", "", "only of a replica, such as cart-0 or cart-0@/shop, or of those whose names begin so")
	flags.StringVar(&q.Version, "version", "", "only of a version, or of all versions that begin with this")
	flags.StringVar(&q.Level, "level", "", "only of this level and above: debug, info, warn, error")
	flags.StringArrayVar(&attrs, "attr", nil, "only with an attribute, as key=value; may be repeated")
	flags.StringVar(&q.Expr, "expr", "", "only where a condition holds (the language is that of expr-lang.org)")
	console.Complete(cmd, "level", "debug", "info", "warn", "error")
	console.Complete(cmd, "kind", telemetry.KindEvent, telemetry.KindLog)
	subject.CompleteFlag(cmd, "replica", replicasOf)
	subject.CompleteFlag(cmd, "component", componentsOf)
	return cmd
}

func (c *command) showLogs(ctx context.Context, args []string, q *telemetry.Query) error {
	color := c.OutColor
	shown := 0
	show := func(e telemetry.Entry) error {
		var err error
		shown++
		if c.Format == "json" {
			encoder := json.NewEncoder(c.Out)
			encoder.SetEscapeHTML(false)
			err = encoder.Encode(e)
		} else {
			_, err = fmt.Fprintln(c.Out, e.Format(color))
		}
		return err
	}

	source, err := c.logOf(ctx, args, q)
	if err != nil {
		return err
	}

	// This process reads the files: what an expression costs is paid by the process that asked for it.
	// Others only say when there is no more to come.
	reading, end := context.WithCancel(ctx)
	defer end()
	if q.Follow {
		go func() {
			defer end()
			source.follow(reading)
		}()
	}
	var feed *telemetry.Feed
	if source.client != nil {
		feed = telemetry.NewFeed()
		go c.hear(reading, source, q.Follow, feed)
	}

	done := make(chan error, 1)
	go func() { done <- telemetry.Show(reading, source.dir, feed, q, show) }()
	select {
	case err = <-done:
	case <-ctx.Done(): // an expression that takes long is left behind
		return context.Cause(ctx)
	}

	if q.Follow && errors.Is(err, context.Canceled) {
		return nil // it has ended before the end of its log was read once
	}
	if err == nil && shown == 0 && !q.Follow {
		fmt.Fprintln(c.Err, "no entries yet, or none that the filters choose")
	}

	return err
}

// source is where a log is.
type source struct {
	dir    string                // of its files
	follow func(context.Context) // waits for the end of what it is about
	client *control.Client       // of a program that tells what is said on other hosts; nil if nothing is
	server string                // that alone is asked for there; "" for all
}

// hear feeds what is said on other hosts, and says of which nothing can be heard.
func (c *command) hear(ctx context.Context, s source, follow bool, feed *telemetry.Feed) {
	defer feed.Told()
	err := s.client.Elsewhere(ctx, control.Hearing{Server: s.server, Follow: follow}, func(line control.Line) error {
		switch {
		case line.Told:
			feed.Told()
		case line.Problem != "":
			fmt.Fprintln(c.Err, console.Visible(fmt.Sprintf("what servers on %s say is missing: %s", line.Host, line.Problem)))
		case line.Server != "":
			feed.Add(line.Server, line.Text)
		}
		return nil
	})
	if err != nil && ctx.Err() == nil {
		fmt.Fprintln(c.Err, console.Visible("what servers on other hosts say is missing: "+err.Error()))
	}
}

// logOf returns where the log of an application or a server is.
func (c *command) logOf(ctx context.Context, args []string, q *telemetry.Query) (source, error) {
	asked := strings.Join(args, "")
	of, err := subject.IsServer(ctx, asked)
	if err != nil {
		return source{}, err
	}
	app, appErr := subject.Pick(ctx, args)
	var over *subject.EndedError
	switch {
	case !of && appErr == nil:
		c.tell(app)
		s := source{dir: app.Status.Controller.LogDir, follow: app.Gone}
		if subject.HasElsewhere(app) {
			s.client = app.Client
		}
		return s, there(app, q)
	case !of && errors.As(appErr, &over) && !q.Follow:
		return source{dir: over.Logs}, nil
	}
	if !of {
		away, err := subject.FindElsewhere(ctx, asked)
		if err != nil || away != nil {
			return elsewhere(away, q), err
		}
	}

	log, found, err := server.FindLog(ctx, asked)
	switch {
	case err != nil:
		return source{}, err
	case !found || q.Follow && !of:
		return source{}, subject.Neither(ctx, asked, appErr)
	case q.Replica != "":
		return source{}, console.UsageError("--replica %s: %s is a server, and has no replicas", q.Replica, log.Server)
	}
	q.Replica = log.Server
	return source{dir: log.Dir, follow: log.Follow}, nil
}

// elsewhere returns where the log of a server on another host is.
func elsewhere(e *subject.Elsewhere, q *telemetry.Query) source {
	if e == nil {
		return source{}
	}
	q.Replica = e.Server.Name
	return source{follow: e.Gone, client: e.Of.Client, server: e.Server.Name}
}

// there refuses a component and a replica that an application does not have.
func there(app estate.Application, q *telemetry.Query) error {
	if known := componentsOf(app); q.Component != "" &&
		!slices.ContainsFunc(known, func(c string) bool { return telemetry.IsComponent(q.Component, c) }) {
		return console.UsageError("--component %s: there is no such component: %s", q.Component, name.Suggest(q.Component, known))
	}

	known := replicasOf(app)
	begins := func(r string) bool { return name.IsChosen(r, q.Replica) }
	if q.Replica == "" || slices.ContainsFunc(known, begins) {
		return nil
	}
	if old, err := telemetry.Replicas(app.Status.Controller.LogDir); err == nil && slices.ContainsFunc(old, begins) {
		return nil
	}

	return console.UsageError("--replica %s: there is no such replica: %s", q.Replica, name.Suggest(q.Replica, known))
}

func componentsOf(app estate.Application) (components []string) {
	for _, g := range app.Status.Groups {
		components = append(components, g.Components...)
	}
	slices.Sort(components)
	return slices.Compact(components)
}

func replicasOf(app estate.Application) (replicas []string) {
	for _, r := range app.Status.Replicas {
		replicas = append(replicas, r.Name)
	}
	return replicas
}

// parseTime reads a time of day, a date and time, or how long ago.
func parseTime(flag, text string, now time.Time) (time.Time, error) {
	if text == "" {
		return time.Time{}, nil
	}
	if ago, err := time.ParseDuration(text); err == nil && ago >= 0 {
		return now.Add(-ago), nil
	}

	for _, layout := range []string{"15:04", "15:04:05"} {
		if t, err := time.ParseInLocation(layout, text, now.Location()); err == nil {
			year, month, day := now.Date()
			return time.Date(year, month, day, t.Hour(), t.Minute(), t.Second(), 0, now.Location()), nil
		}
	}

	for _, layout := range []string{time.RFC3339Nano, "2006-01-02T15:04:05", "2006-01-02T15:04", time.DateTime, time.DateOnly} {
		if t, err := time.ParseInLocation(layout, text, now.Location()); err == nil {
			return t, nil
		}
	}

	return time.Time{}, console.UsageError("%s cannot be %q: give a time such as 10m, 15:04 or 2006-01-02T15:04:05", flag, text)
}
