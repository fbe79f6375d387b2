package console

import (
	"context"
	"fmt"
	"time"

	"github.com/spf13/cobra"
)

// Complete gives the values of a flag to shells that complete command lines.
func Complete(cmd *cobra.Command, flag string, values ...string) {
	// It only fails for a flag that the command does not have, and then completes nothing.
	_ = cmd.RegisterFlagCompletionFunc(flag, cobra.FixedCompletions(values, cobra.ShellCompDirectiveNoFileComp))
}

// Within calls f with a limit of time.
func Within(ctx context.Context, limit time.Duration, f func(context.Context) error) error {
	limited, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	err := f(limited)
	if err != nil && ctx.Err() == nil && limited.Err() != nil {
		return &Error{Code: Timeout, Err: fmt.Errorf("not done within %v: %w", limit, err),
			Way: "give it more time with --timeout"}
	}
	return err
}

// TimeoutFlag adds the flag --timeout to a command.
func TimeoutFlag(cmd *cobra.Command, limit *time.Duration, value time.Duration) {
	cmd.Flags().DurationVar(limit, "timeout", value, "give up after this time")
}
