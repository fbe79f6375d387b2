package cli

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/spf13/cobra"

	"github.com/divisi-go/divisi/internal/control"
)

func (c *command) stop() *cobra.Command {
	var all, yes bool
	var timeout time.Duration
	cmd := appArg(&cobra.Command{
		Use:   "stop [APP]",
		Short: "Drain and stop an application, or all of them",
		Long: "Drain and stop an application, or with --all all of them. It returns when they have\n" +
			"stopped. The exit code is 3 if only some of them have.",
		Example: "  divisi stop shop\n  divisi stop --all --yes",
		RunE: func(cmd *cobra.Command, args []string) error {
			switch {
			case all && len(args) > 0:
				return usageError("--all stops everything: leave out %s", args[0])
			case all && !yes:
				return usageError("--all stops every application: add --yes to say that you mean it")
			}
			return within(cmd.Context(), timeout, func(ctx context.Context) error {
				apps := make([]control.Running, 1)
				var err error
				if all {
					apps, err = find(ctx)
				} else {
					apps[0], err = pick(ctx, args)
				}
				if err != nil && len(apps) == 0 || err != nil && !all {
					return err
				}
				return c.stopAll(ctx, apps, err)
			})
		},
	})
	cmd.Flags().BoolVar(&all, "all", false, "stop every application")
	cmd.Flags().BoolVar(&yes, "yes", false, "confirm --all")
	timeoutFlag(cmd, &timeout, 2*time.Minute)
	return cmd
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
		err = &exitError{code: exitDegraded, err: err}
	}
	if done, failed := c.json(map[string]any{"stopped": stopped}); done {
		return errors.Join(failed, err)
	}
	for _, app := range stopped {
		fmt.Fprintf(c.out, "stopped %s\n", app)
	}
	return err
}
