package cli

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/spf13/cobra"

	"github.com/divisi-go/divisi/cmd/divisi/console"
	"github.com/divisi-go/divisi/internal/control"
)

func (c *command) stop() *cobra.Command {
	var all, yes bool
	var timeout time.Duration
	cmd := &cobra.Command{
		Use:   "stop APP... | stop --all --yes",
		Short: "Drain and stop applications",
		Long: "Drain and stop an application, given by its whole name; with --yes, several, or with --all\n" +
			"all of them. It returns when they have stopped. The exit code is 3 if only some of them have.",
		Example:           "  divisi stop shop\n  divisi stop shop store --yes\n  divisi stop --all --yes",
		Args:              cobra.ArbitraryArgs,
		ValidArgsFunction: completeApps(math.MaxInt),
		RunE: func(cmd *cobra.Command, args []string) error {
			switch {
			case all && len(args) > 0:
				return console.UsageError("--all stops everything: leave out %s", args[0])
			case all && !yes:
				return console.UsageError("--all stops every application: add --yes to say that you mean it")
			case len(args) > 1 && !yes:
				return console.UsageError("%d applications would be stopped: add --yes to say that you mean it", len(args))
			}

			return console.Within(cmd.Context(), timeout, func(ctx context.Context) error {
				apps, silent := find(ctx)
				if !all {
					chosen, err := toStop(apps, args)
					if err != nil {
						return cmp.Or(silent, err)
					}
					apps, silent = chosen, nil
				}

				if silent != nil && len(apps) == 0 {
					return silent
				}
				if len(apps) == 0 && c.Format != "json" {
					fmt.Fprintln(c.Err, errNone)
				}

				return c.stopAll(ctx, apps, silent)
			})
		},
	}

	cmd.Flags().BoolVar(&all, "all", false, "stop every application")
	cmd.Flags().BoolVar(&yes, "yes", false, "confirm --all, or more than one application")
	console.TimeoutFlag(cmd, &timeout, 2*time.Minute)
	return cmd
}

// toStop returns the applications with names, which must be given.
func toStop(apps []control.Running, args []string) ([]control.Running, error) {
	names := namesOf(apps)
	found, err := exactly(args, names)
	if err != nil {
		return nil, err
	}

	if len(args) == 0 {
		hint := "give its name: divisi stop " + names[0]
		if len(names) > 1 {
			hint = "give one of " + strings.Join(names, ", ") + ", or --all --yes"
		}
		return nil, &console.Error{Code: console.Usage, Err: errors.New("nothing says what to stop"), Way: hint}
	}

	chosen := make([]control.Running, len(found))
	for n, i := range found {
		chosen[n] = apps[i]
	}

	return chosen, nil
}

// stopAll stops applications, all at the same time; failed is about others.
func (c *command) stopAll(ctx context.Context, apps []control.Running, failed error) error {
	var mu sync.Mutex // guards stopped and failures
	stopped := []string{}
	failures := []error{failed}
	var wait sync.WaitGroup
	for _, app := range apps {
		wait.Go(func() {
			err := app.Stop(ctx)
			mu.Lock()
			defer mu.Unlock()
			if err != nil {
				failures = append(failures, fmt.Errorf("cannot stop %s: %w", app.Status.App, err))
				return
			}
			stopped = append(stopped, app.Status.App)
		})
	}

	wait.Wait()
	slices.Sort(stopped)
	err := errors.Join(failures...)
	if err != nil && len(stopped) > 0 && ctx.Err() == nil {
		err = &console.Error{Code: console.Degraded, Err: err}
	}
	if done, failed := c.JSON(map[string]any{"stopped": stopped}); done {
		return errors.Join(failed, err)
	}

	for _, app := range stopped {
		fmt.Fprintf(c.Out, "stopped %s\n", app)
	}

	return err
}
