package subject

import (
	"slices"

	"github.com/spf13/cobra"

	"github.com/divisi-go/divisi/cmd/divisi/estate"
	"github.com/divisi-go/divisi/cmd/divisi/server"
)

// OneApplication has a command take at most one argument, the name of an application, and complete it.
func OneApplication(cmd *cobra.Command) *cobra.Command {
	cmd.Args = cobra.MaximumNArgs(1)
	cmd.ValidArgsFunction = CompleteApplications(1)
	return cmd
}

// OneOfAny has a command take at most one argument, the name of an application or a server, and complete
// it.
func OneOfAny(cmd *cobra.Command) *cobra.Command {
	cmd.Args = cobra.MaximumNArgs(1)
	cmd.ValidArgsFunction = CompleteAny(1)
	return cmd
}

// CompleteApplications completes the names of applications that run, for a command that takes at most so many.
func CompleteApplications(most int) cobra.CompletionFunc {
	return func(cmd *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
		if len(args) >= most {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		apps, err := Running(cmd.Context())
		if err != nil && len(apps) == 0 {
			return nil, cobra.ShellCompDirectiveError
		}
		names := slices.DeleteFunc(namesOf(apps), func(n string) bool { return slices.Contains(args, n) })
		return names, cobra.ShellCompDirectiveNoFileComp
	}
}

// CompleteAny completes the names of applications and of servers, for a command that takes at most so
// many.
func CompleteAny(most int) cobra.CompletionFunc {
	return func(cmd *cobra.Command, args []string, begin string) ([]string, cobra.ShellCompDirective) {
		names, directive := CompleteApplications(most)(cmd, args, begin)
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

// CompleteFlag completes the values of a flag with what the application of a command line has.
func CompleteFlag(cmd *cobra.Command, flag string, values func(estate.Application) []string) {
	_ = cmd.RegisterFlagCompletionFunc(flag,
		func(cmd *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
			app, err := Pick(cmd.Context(), args)
			if err != nil {
				return nil, cobra.ShellCompDirectiveError
			}
			return values(app), cobra.ShellCompDirectiveNoFileComp
		})
}
