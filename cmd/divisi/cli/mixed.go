package cli

import (
	"context"
	"errors"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/divisi-go/divisi/cmd/divisi/console"
	"github.com/divisi-go/divisi/cmd/divisi/server"
	"github.com/divisi-go/divisi/internal/name"
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

// neither returns the error about a name that no server has, nor an application because of err.
func neither(ctx context.Context, asked string, err error) error {
	if !errors.Is(err, errNone) {
		return err
	}

	servers, silent := server.All(ctx)
	names := server.Names(servers)
	switch {
	case silent != nil:
		return silent
	case len(names) == 0:
		return errNothing
	case asked == "":
		return console.UsageError("no application runs: give the name of a server, such as %s", names[0])
	}
	return console.Failure("", "no application or server %q runs: %s", asked, name.Suggest(asked, names))
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
