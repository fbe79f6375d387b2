package cli

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/divisi-go/divisi/cmd/divisi/console"
	"github.com/divisi-go/divisi/cmd/divisi/dashboard"
	"github.com/divisi-go/divisi/cmd/divisi/run"
	"github.com/divisi-go/divisi/cmd/divisi/view"
	"github.com/divisi-go/divisi/internal/config"
	"github.com/divisi-go/divisi/internal/name"
	"github.com/divisi-go/divisi/internal/place"
)

var _ run.View = (*view.View)(nil)

// The default addresses of the live page: one that stays the same, and any other if it is taken.
const livePage, anyPage = "localhost:7747", "localhost:0"

func (c *command) run() *cobra.Command {
	var o run.Options
	var replicas []string
	var admin string
	cmd := &cobra.Command{
		Use:   "run TARGET [-- ARGS]",
		Short: "Run a program as many supervised processes on this machine",
		Long: "Run a program as many supervised processes on this machine: one for every replica of\n" +
			"every group of components. A group has " + strconv.Itoa(place.DefaultReplicas) +
			" replicas unless the file or --replicas says\n" +
			"another number; one of a singleton, or of a main component without a listener, has 1.\n" +
			"TARGET is the folder of a main package or its import path, which is built first, a\n" +
			"program, or a TOML file. The program gets ARGS. The first line on the output is the\n" +
			"address of the application's page, as soon as it answers.\n\n" +
			"A process that ends, or does not answer any more, is replaced; if one never gets ready,\n" +
			"the start has failed. Ctrl-C, or SIGTERM, drains and stops everything, in order; another\n" +
			"one, a second later or more, ends it at once.\n\n" +
			"With --detach, or orphan = \"serve\" in the file, the processes outlive this command, however it\n" +
			"ends, but for Ctrl-C. Run again, it goes on with the processes that run, or upgrades them if the\n" +
			"program or the file has changed: --detach again and again is how one deploys on one machine. Who\n" +
			"decided before ends with the exit code 3.",
		Example: "  divisi run .\n  divisi run . --replicas 1\n  divisi run ./examples/shop/shop.toml --replicas cart=3\n" +
			"  divisi run . --colocate all -- -verbose\n  divisi run . --watch\n  divisi run shop.toml --detach",
		Args: oneTarget,
		ValidArgsFunction: func(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
			return nil, cobra.ShellCompDirectiveDefault // files
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			var err error
			if o.Replicas, err = parseReplicas(replicas); err != nil {
				return err
			}

			if !o.Detach {
				o.Admin = pageAddresses(cmd, admin)
			}
			if err := refuseOptions(o); err != nil {
				return err
			}
			if !cmd.Flags().Changed("logs") {
				o.Logs = c.OutTerminal && !o.Detach
			}

			o.Args = args[1:]
			c.Never()
			return run.Serve(cmd.Context(), args[0], o, &view.View{Console: c.Console, Detach: o.Detach})
		},
	}

	flags := cmd.Flags()
	flags.StringVar(&o.Name, "name", "", "name of the application (default that of the program)")
	flags.StringVar(&o.ConfigFile, "config", "", "TOML file, if TARGET is none (default that of DIVISI_CONFIG)")
	flags.StringVar(&o.Colocate, "colocate", "file", "groups: those of the file, all in one, or none")
	flags.StringSliceVar(&replicas, "replicas", nil,
		fmt.Sprintf("replicas: N, or GROUP=N, for some or all groups (default %d)", place.DefaultReplicas))
	flags.BoolVar(&o.MTLS, "mtls", false, "mutual TLS between processes, with rights from the call graph")
	flags.BoolVar(&o.Watch, "watch", false, "build again when the source changes, and upgrade without a pause")
	flags.BoolVar(&o.Retry, "retry", false, "try a version again that has failed in the last ten minutes")
	flags.BoolVarP(&o.Detach, "detach", "d", false, "return when everything is ready, and leave it running")
	flags.BoolVar(&o.Logs, "logs", false, "show the application's log here (default on a terminal)")
	pageFlag(cmd, &admin)
	flags.DurationVar(&o.Timeout, "timeout", time.Minute,
		"complain, or give up an upgrade, if not everything is ready after this time")
	console.Complete(cmd, "colocate", "file", "all", "none")
	return cmd
}

// pageFlag adds the flag --admin to a command.
func pageFlag(cmd *cobra.Command, admin *string) {
	cmd.Flags().StringVar(admin, "admin", livePage,
		"address of the live page and of /metrics; the default falls back to any free port, \"\" is none")
}

// pageAddresses returns where the live page is to be, as the flag --admin says.
func pageAddresses(cmd *cobra.Command, admin string) []string {
	switch {
	case !cmd.Flags().Changed("admin"):
		return []string{livePage, anyPage}
	case admin != "":
		return []string{admin}
	}
	return nil
}

// refuseOptions refuses options that no application can be run with.
func refuseOptions(o run.Options) error {
	if o.Colocate != "file" && o.Colocate != "all" && o.Colocate != "none" {
		return console.UsageError("--colocate %s: give file, all or none", o.Colocate)
	}
	if o.Name != "" {
		if err := name.CheckLabel(o.Name); err != nil {
			return console.UsageError("--name: %w", err)
		}
	}
	if err := dashboard.Check(o.Admin); err != nil {
		return console.UsageError("%w", err)
	}
	if o.Detach && o.Watch {
		return console.UsageError("--detach and --watch: what is watched does not run without its terminal")
	}
	return nil
}

// oneTarget checks that there is one argument before those of the program.
func oneTarget(cmd *cobra.Command, args []string) error {
	n := len(args)
	if dash := cmd.ArgsLenAtDash(); dash >= 0 {
		n = dash
	}
	switch {
	case n == 0:
		return errors.New("give what to run: a folder, a package, a program or a TOML file")
	case n > 1:
		return errors.New("give one thing to run, and what is for the program behind --")
	}
	return nil
}

// parseReplicas reads N and GROUP=N.
func parseReplicas(flags []string) (map[string]int, error) {
	replicas := map[string]int{}
	for _, flag := range flags {
		group, count, ok := strings.Cut(flag, "=")
		if !ok {
			group, count = "", flag
		}
		n, err := strconv.Atoi(count)
		if err != nil || n < 1 || n > config.MaxReplicas || ok && group == "" {
			return nil, console.UsageError("--replicas %s: write N or GROUP=N, with N from 1 to %d", flag, config.MaxReplicas)
		}
		replicas[group] = n
	}

	return replicas, nil
}
