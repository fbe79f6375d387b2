package cli

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/divisi-go/divisi/internal/deployer"
	"github.com/divisi-go/divisi/internal/name"
	"github.com/divisi-go/divisi/platform/control"
)

// find returns the applications that run.
func find(ctx context.Context) ([]control.Running, error) {
	_, runtime, err := folders()
	if err != nil {
		return nil, err
	}
	return control.Find(ctx, runtime)
}

// pick returns the application with a name, or a unique beginning of it; without one, the only
// application that runs.
func pick(ctx context.Context, args []string) (control.Running, error) {
	apps, err := find(ctx)
	if err != nil {
		return control.Running{}, err
	}
	var names []string
	var found []control.Running
	for _, app := range apps {
		names = append(names, app.Status.App)
		if len(args) == 0 || app.Status.App == args[0] {
			found = append(found, app)
		}
	}
	if len(found) == 0 && len(args) > 0 {
		for _, app := range apps {
			if strings.HasPrefix(app.Status.App, args[0]) {
				found = append(found, app)
			}
		}
	}
	switch {
	case len(apps) == 0:
		return control.Running{}, fmt.Errorf("no application runs: start one with divisi run")
	case len(found) == 0:
		return control.Running{}, fmt.Errorf("no application %q runs: %s", args[0],
			name.Suggest(args[0], names))
	case len(found) > 1:
		return control.Running{}, usageError("several applications run: give the name of one of %s",
			strings.Join(names, ", "))
	}
	return found[0], nil
}

func (c *command) ps() *cobra.Command {
	return &cobra.Command{
		Use:     "ps",
		Short:   "List the replicas of all applications",
		Example: "  divisi ps\n  divisi ps -o json",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			apps, err := find(cmd.Context())
			if err != nil {
				return err
			}
			replicas := []deployer.ReplicaStatus{}
			for _, app := range apps {
				replicas = append(replicas, app.Status.Replicas...)
			}
			if done, err := c.json(replicas); done {
				return err
			}
			c.columns(replicaRows(replicas))
			return nil
		},
	}
}

func replicaRows(replicas []deployer.ReplicaStatus) [][]string {
	rows := [][]string{{"NAME", "PID", "STATE", "RESTARTS", "AGE", "COMPONENTS"}}
	for _, r := range replicas {
		pid, age := "-", "-"
		if r.Pid != 0 {
			pid, age = fmt.Sprint(r.Pid), time.Since(r.Started).Round(time.Second).String()
		}
		state := r.State
		if r.NextStart != nil {
			state += " " + time.Until(*r.NextStart).Round(100*time.Millisecond).String()
		}
		rows = append(rows, []string{
			r.Name, pid, state, fmt.Sprint(r.Restarts), age, strings.Join(r.Components, " "),
		})
	}
	return rows
}

func (c *command) status() *cobra.Command {
	return &cobra.Command{
		Use:     "status [APP]",
		Short:   "Show everything that is known about an application",
		Long:    "Show everything that is known about an application. The exit code is 3 if it is degraded.",
		Example: "  divisi status\n  divisi status shop -o json",
		Args:    cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			app, err := pick(cmd.Context(), args)
			if err != nil {
				return err
			}
			if done, err := c.json(app.Status); done {
				return c.degraded(app.Status, err)
			}
			s := app.Status
			fmt.Fprintf(c.out, "%s is %s\n\n", s.App, s.State)
			rows := [][]string{{"version", s.Version}, {"binary", s.Binary},
				{"started", s.Started.Local().Format(time.DateTime)}, {"logs", app.Info.LogDir}}
			if app.Info.Admin != "" {
				rows = append(rows, []string{"live page", app.Info.Admin})
			}
			for _, l := range s.Listeners {
				rows = append(rows, []string{"listener " + l.Name, l.URL})
			}
			c.columns(rows)
			fmt.Fprintln(c.out)
			rows = [][]string{{"GROUP", "READY", "COMPONENTS"}}
			for _, g := range s.Groups {
				rows = append(rows, []string{
					g.Name, fmt.Sprintf("%d/%d", g.Ready, g.Wanted), strings.Join(g.Components, " "),
				})
			}
			c.columns(rows)
			fmt.Fprintln(c.out)
			c.columns(replicaRows(s.Replicas))
			for _, r := range s.Replicas {
				if r.LastExit != nil {
					fmt.Fprintf(c.out, "\n%s last ended at %s: %s\n", r.Name,
						r.LastExit.Time.Local().Format(time.TimeOnly), r.LastExit.Text)
				}
			}
			return c.degraded(s, nil)
		},
	}
}

func (c *command) degraded(s deployer.Status, err error) error {
	if err == nil && s.State == "degraded" {
		return &exitError{exitDegraded, fmt.Errorf("%s is degraded", s.App)}
	}
	return err
}

func (c *command) stop() *cobra.Command {
	var all, yes bool
	var timeout time.Duration
	cmd := &cobra.Command{
		Use:     "stop [APP]",
		Short:   "Drain and stop an application, or all of them",
		Example: "  divisi stop shop\n  divisi stop --all --yes",
		Args:    cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if all && len(args) > 0 {
				return usageError("--all stops everything: leave out %s", args[0])
			}
			if all && !yes {
				return usageError("--all stops every application: add --yes to say that you mean it")
			}
			ctx, cancel := context.WithTimeout(cmd.Context(), timeout)
			defer cancel()
			var apps []control.Running
			var err error
			if all {
				apps, err = find(ctx)
			} else {
				apps = make([]control.Running, 1)
				apps[0], err = pick(ctx, args)
			}
			if err != nil {
				return err
			}
			stopped := []string{}
			for _, app := range apps {
				if err := app.Stop(ctx); err != nil {
					return fmt.Errorf("cannot stop %s: %w", app.Status.App, err)
				}
				stopped = append(stopped, app.Status.App)
			}
			if done, err := c.json(map[string]any{"stopped": stopped}); done {
				return err
			}
			for _, app := range stopped {
				fmt.Fprintf(c.out, "stopped %s\n", app)
			}
			return nil
		},
	}
	cmd.Flags().BoolVar(&all, "all", false, "stop every application")
	cmd.Flags().BoolVar(&yes, "yes", false, "do not ask")
	cmd.Flags().DurationVar(&timeout, "timeout", 2*time.Minute, "give up after this time")
	return cmd
}
