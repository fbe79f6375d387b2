package cli

import (
	"context"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/divisi-go/divisi/cmd/divisi/console"
	"github.com/divisi-go/divisi/cmd/divisi/server"
)

// isServer reports whether a name to look at is that of a server and of no application.
func isServer(ctx context.Context, asked string) (bool, error) {
	if asked == "" {
		return false, nil
	}
	apps, _ := find(ctx) // those that do not answer are none to look at
	servers, err := server.All(ctx)
	if err != nil {
		return false, err
	}

	found := server.Find(servers, asked)
	switch {
	case !slices.Contains(namesOf(apps), asked):
		return len(found) > 0 || strings.Contains(asked, "@"), nil
	case len(found) > 0:
		return false, console.UsageError("%s is an application, and the server %v: give /%s or %v", asked, found[0].ID, asked, found[0].ID)
	}
	return false, nil
}

// looking has a command take at most one argument, the name of an application or a server, and complete
// it.
func looking(cmd *cobra.Command) *cobra.Command {
	cmd.Args = cobra.MaximumNArgs(1)
	cmd.ValidArgsFunction = completeAll(1)
	return cmd
}

// completeAll completes the names of applications and of servers, for a command that takes at most so
// many.
func completeAll(most int) cobra.CompletionFunc {
	return func(cmd *cobra.Command, args []string, begin string) ([]string, cobra.ShellCompDirective) {
		names, directive := completeApps(most)(cmd, args, begin)
		if len(args) >= most || directive == cobra.ShellCompDirectiveError {
			return names, directive
		}
		servers, err := server.All(cmd.Context())
		if err != nil {
			return names, directive
		}

		for _, n := range server.Names(servers) {
			if !slices.Contains(args, n) && !slices.Contains(names, n) {
				names = append(names, n)
			}
		}
		return names, directive
	}
}
