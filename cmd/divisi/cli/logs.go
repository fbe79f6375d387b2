package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/divisi-go/divisi/cmd/divisi/telemetry"
)

func (c *command) logs() *cobra.Command {
	var attrs []string
	q := &telemetry.Query{}
	cmd := appArg(&cobra.Command{
		Use:   "logs [APP]",
		Short: "Show the log of an application",
		Long: "Show the log of an application, in the order of time: what its components log, and what\n" +
			"its processes print. Without --follow the log of an application that has ended can be\n" +
			"shown as well; with it, the command ends with the application.\n\n" +
			"Filters are combined: an entry is shown if all of them choose it. An expression may use\n" +
			"time, level, msg, component, replica, version, file, line and attrs; levels have an order.",
		Example: "  divisi logs -f\n  divisi logs shop --component cart.Cart --level warn\n" +
			"  divisi logs shop --attr user=7 -o json\n" +
			"  divisi logs -f --expr 'level >= \"warn\" && attrs.user == \"7\"'",
		RunE: func(cmd *cobra.Command, args []string) error {
			var err error
			if q.Attrs, err = telemetry.ParseAttrs(attrs); err == nil {
				err = q.Compile()
			}
			if err != nil {
				return &exitError{code: exitUsage, err: err}
			}
			if !q.Follow && !cmd.Flags().Changed("tail") {
				q.Tail = -1
			}
			return c.showLogs(cmd.Context(), args, q)
		},
	})
	flags := cmd.Flags()
	flags.BoolVarP(&q.Follow, "follow", "f", false, "go on with what is written from now on")
	flags.IntVar(&q.Tail, "tail", 20,
		"only the last so many entries; -1 for all, which is the default without --follow")
	flags.StringVar(&q.Component, "component", "", "only of a component: cart.Cart, Cart, or the full name")
	flags.StringVar(&q.Replica, "replica", "", "only of a replica, such as cart-0 or cart-0@/shop, or of those whose names begin so")
	flags.StringVar(&q.Version, "version", "", "only of a version, or of those that begin so")
	flags.StringVar(&q.Level, "level", "", "only of this level and above: debug, info, warn, error")
	flags.StringArrayVar(&attrs, "attr", nil, "only with an attribute, as key=value; may be repeated")
	flags.StringVar(&q.Expr, "expr", "", "only where a condition holds (the language is that of expr-lang.org)")
	return cmd
}

func (c *command) showLogs(ctx context.Context, args []string, q *telemetry.Query) error {
	color := c.color()
	show := func(e telemetry.Entry) error {
		var err error
		if c.output == "json" {
			encoder := json.NewEncoder(c.out)
			encoder.SetEscapeHTML(false)
			err = encoder.Encode(e)
		} else {
			_, err = fmt.Fprintln(c.out, e.Format(color))
		}
		return err
	}
	app, err := pick(ctx, args)
	var over *endedError
	switch {
	case errors.As(err, &over) && !q.Follow:
		return telemetry.Show(ctx, over.logs, q, show)
	case err != nil:
		return err
	case !q.Follow:
		return telemetry.Show(ctx, app.Status.Controller.LogDir, q, show)
	}

	// The one who runs the application knows when it has ended.
	return app.Stream(ctx, "logs", q.Values(), func(text json.RawMessage) error {
		var e telemetry.Entry
		if err := json.Unmarshal(text, &e); err != nil {
			return err
		}
		return show(e)
	})
}
