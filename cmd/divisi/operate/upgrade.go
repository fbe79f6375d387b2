package operate

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"

	"github.com/divisi-go/divisi/cmd/divisi/console"
	"github.com/divisi-go/divisi/internal/control"
)

func (c *command) upgrade() *cobra.Command {
	var timeout time.Duration
	cmd := &cobra.Command{
		Use:   "upgrade PROGRAM BINARY",
		Short: "Replace a program by its next version, which goes on with what runs",
		Long: "Replace a program of package system by another binary, in the same process, with the same arguments.\n" +
			"What it has started goes on; the next version takes it over, and upgrades what it wants otherwise.\n" +
			"It returns when that has settled.",
		Example: "  go build -o orderd2 . && divisi upgrade orderd ./orderd2",
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) != 2 {
				return errors.New("give a program that runs, and the file of its next version")
			}
			return nil
		},
		ValidArgsFunction: func(cmd *cobra.Command, args []string, begin string) ([]string, cobra.ShellCompDirective) {
			if len(args) == 0 {
				return completePrograms(cmd, args, begin)
			}
			return nil, cobra.ShellCompDirectiveDefault
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			client, err := pick(cmd.Context(), args[:1])
			if err != nil {
				return err
			}
			binary, err := filepath.Abs(args[1])
			if err != nil {
				return err
			}
			return console.Within(cmd.Context(), timeout, func(ctx context.Context) error {
				return c.replace(ctx, client, binary)
			})
		},
	}
	console.TimeoutFlag(cmd, &timeout, 2*time.Minute)
	return cmd
}

// replace has a program become another binary, and waits until that has settled.
func (c *command) replace(ctx context.Context, client *control.Client, binary string) error {
	now, err := client.Replace(ctx, binary)
	if errors.Is(err, control.ErrSilent) {
		return console.Failure("what it has started goes on: run "+binary+" to see what it says", "%s: %w", now.App, err)
	}
	if err != nil {
		return err
	}
	fmt.Fprintf(c.Out, "%s is %s, version %s\n", now.App, c.Paint(now.State), now.Version)
	return nil
}
