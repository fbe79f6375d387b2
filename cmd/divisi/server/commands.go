package server

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/divisi-go/divisi/cmd/divisi/console"
	"github.com/divisi-go/divisi/internal/keeper"
	"github.com/divisi-go/divisi/internal/keeper/limit"
	"github.com/divisi-go/divisi/internal/lifecycle"
	"github.com/divisi-go/divisi/internal/probe"
	"github.com/divisi-go/divisi/internal/server"
)

// command is what the commands of this package share.
type command struct{ *console.Console }

// Again is about servers that are stopped, and may run again.
type Again struct {
	Start func(ctx context.Context, asked string, yes bool, limit time.Duration) error // has those run that a selector picks
	Names func() []string
}

// Commands returns the commands that are about servers alone.
func Commands(c *console.Console, again Again) []*cobra.Command {
	own := command{c}
	return []*cobra.Command{own.start(again), own.restart(), own.wait(), own.exits()}
}

func (c command) start(again Again) *cobra.Command {
	var o options
	var yes bool
	var timeout time.Duration
	cmd := &cobra.Command{
		Use:   "start NAME[@/DOMAIN] [flags] -- PROGRAM [ARGS] | start SELECTOR",
		Short: "Start any program as a supervised server, or a stopped server of an ensemble again",
		Long: "Start any program as a server that the keeper supervises, whatever becomes of this command and\n" +
			"its terminal, and wait until the server is ready. NAME is what it is called from now on; without\n" +
			"a domain it is in " + Domain + ". PROGRAM is looked up in PATH, paths are relative to this folder.\n\n" +
			"--listen opens sockets before the program starts, which it inherits as systemd passes them: by\n" +
			"LISTEN_FDS and LISTEN_FDNAMES, from descriptor 3 on. They stay open when the program ends, so that\n" +
			"nobody is refused while the next one starts. A program that opens its own sockets needs no flag.\n" +
			"--share is the same, but all servers of a domain that share a name have one socket.\n\n" +
			"The environment is what --env says and the caller's " + strings.Join(server.Passed, ", ") + ";\n" +
			"nothing else is passed on. A secret is read from a file now, and kept in memory only: the variable\n" +
			"NAME has the number of a descriptor from which the program reads it.\n\n" +
			"Unless --ready says how one sees it, a server is ready when it has run for " + server.SettleTime.String() + ". One that ends\n" +
			"before it is ready, or is not in time, has failed: its last lines are shown, and it is stopped.\n" +
			"Later on it starts again whenever it ends (--restart permanent), unless it ends with the exit code\n" +
			"0 (transient), or not at all (temporary). With --health the keeper asks it again and again whether it\n" +
			"is well, and kills one that is not, so that it starts again.\n\n" +
			"Without a program, SELECTOR picks servers of an ensemble that divisi stop has stopped, which run again.",
		Example: "  divisi start web -- python3 -m http.server 8000\n" +
			"  divisi start web --listen http=:8080 --ready http:/healthz -- ./web -config web.toml\n" +
			"  divisi start db@/shop --user postgres --ready 'exec:pg_isready -q' -- /usr/lib/postgresql/15/bin/postgres -D /srv/db\n" +
			"  divisi start import --restart temporary -- ./import.sh\n" +
			"  divisi start httpd-0@/test/www",
		Args: startArgs,
		ValidArgsFunction: func(_ *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
			if len(args) == 0 {
				return again.Names(), cobra.ShellCompDirectiveNoFileComp
			}
			return nil, cobra.ShellCompDirectiveDefault // files
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) == 1 {
				return again.Start(cmd.Context(), args[0], yes, timeout)
			}
			o.name, o.program = args[0], args[1:]
			p, err := o.plan()
			if err != nil {
				return err
			}
			return c.runStart(cmd.Context(), p, timeout)
		},
	}

	o.add(cmd.Flags())
	cmd.Flags().BoolVar(&yes, "yes", false, "without a program: confirm that more than one starts again")
	console.TimeoutFlag(cmd, &timeout, time.Minute)
	var limits []string
	for _, name := range limit.Names() {
		limits = append(limits, name+"=")
	}
	console.Complete(cmd, "limit", limits...)
	console.Complete(cmd, "ready", "notify", "port", "http:/", "file:", "exec:", "log:")
	console.Complete(cmd, "health", "http:/", "port:", "file:", "exec:")
	console.Complete(cmd, "restart", string(lifecycle.Permanent), string(lifecycle.Transient), string(lifecycle.Temporary))
	return cmd
}

// add adds the flags.
func (o *options) add(flags *pflag.FlagSet) {
	flags.StringArrayVar(&o.listen, "listen", nil, "socket to inherit: NAME=HOST:PORT, NAME=unix:PATH, or without NAME= one called as the server")
	flags.StringArrayVar(&o.share, "share", nil, "as --listen: socket that all servers of the domain have that say so")
	flags.StringArrayVar(&o.env, "env", nil, "variable, as NAME=VALUE, or NAME for its value here")
	flags.StringArrayVar(&o.secrets, "secret", nil, "secret, as NAME=FILE")
	flags.StringVar(&o.dir, "dir", ".", "folder that the program runs in")
	flags.StringVar(&o.user, "user", "", "user that the program runs as, by name or number (default the caller)")
	flags.StringArrayVar(&o.limits, "limit", nil, "limit of the process, as NAME=VALUE, NAME=SOFT:HARD or NAME=unlimited: "+strings.Join(limit.Names(), ", "))
	flags.StringSliceVar(&o.roles, "role", nil, "roles by which it is selected, as role:NAME; the first one is what it is for")
	flags.StringArrayVar(&o.labels, "label", nil, "label by which it is selected, as NAME=VALUE")
	flags.StringVar(&o.ready, "ready", "", "how one sees that it is ready: "+probe.Forms)
	flags.StringVar(&o.restart, "restart", string(lifecycle.Permanent), "when it starts again: permanent, transient or temporary")
	flags.DurationVar(&o.stopTime, "stop-time", 10*time.Second, "time between SIGTERM and SIGKILL when it is stopped")
	flags.DurationVar(&o.watchdog, "watchdog", 0, "kill it when it says WATCHDOG=1 less often than this, with --ready notify (default never)")
	flags.StringVar(&o.health.Ask, "health", "", "how the keeper sees whether it is well, and replaces it if it is not: "+healthForms)
	flags.DurationVar(&o.health.Interval, "health-interval", 0, "time between two probes (default 10s)")
	flags.DurationVar(&o.health.Timeout, "health-timeout", 0, "time for the answer (default 5s)")
	flags.IntVar(&o.health.Retries, "health-retries", 0, "failures in a row after which it is replaced (default 3)")
	flags.DurationVar(&o.health.StartPeriod, "health-start-period", 0, "time in which failures do not count before the first success (default 30s)")
}

// startArgs checks that there are a name and a program.
func startArgs(cmd *cobra.Command, args []string) error {
	dash := cmd.ArgsLenAtDash()
	switch {
	case dash < 0 && len(args) > 1 || dash > 1:
		return errors.New("give one name, and the program behind --")
	case len(args) == 0 || dash == 0:
		return errors.New("give a name for the server")
	case dash == 1 && len(args) < 2 || len(args) > 1 && args[1] == "":
		return errors.New("give the program behind --")
	}
	if dash < 0 {
		return bareStart(cmd)
	}
	return nil
}

// bareStart checks that nothing is said of a server that is there already.
func bareStart(cmd *cobra.Command) (err error) {
	cmd.Flags().Visit(func(f *pflag.Flag) {
		if !slices.Contains([]string{"yes", "timeout", "output"}, f.Name) {
			err = fmt.Errorf("--%s is about a program: give it behind --", f.Name)
		}
	})
	return err
}

func (c command) runStart(ctx context.Context, p *plan, limit time.Duration) error {
	d, err := Open(ctx, "divisi start "+p.spec.Name, true)
	if err != nil {
		return err
	}
	defer d.close()

	progress := c.Progress("starting " + p.spec.ID().String())
	proc, err := d.start(ctx, p, limit)
	progress.End()
	var ended *server.EndedError
	if errors.As(err, &ended) && ended.Finished {
		return c.showExit(Record{Name: proc.ID.String(), Run: proc.Run, Pid: proc.Pid, Exit: exitOf(ended.Exit)})
	}
	if err != nil {
		return err
	}
	return c.showStarted(ctx, d, proc, &p.spec)
}

// showStarted says what runs now.
func (c command) showStarted(ctx context.Context, d *Desk, p keeper.Proc, spec *keeper.Spec) error {
	listeners, err := d.listeners(ctx, spec)
	if err != nil {
		return err
	}
	if done, err := c.JSON(struct {
		Name      string     `json:"name"`
		Pid       int        `json:"pid"`
		Run       uint64     `json:"run"`
		Listeners []Listener `json:"listeners"`
	}{p.ID.String(), p.Pid, p.Run, listeners}); done {
		return err
	}

	fmt.Fprintf(c.Out, "%v runs as process %d\n", p.ID, p.Pid)
	for _, l := range listeners {
		fmt.Fprintf(c.Out, "%s listens at %s\n", l.Name, l.Address)
	}
	return nil
}

// pick returns the server of a name, and a desk to close.
func pick(ctx context.Context, command, asked string) (*Desk, keeper.Proc, error) {
	d, err := openThere(ctx, command)
	if err != nil {
		return nil, keeper.Proc{}, err
	}
	list, err := d.List(ctx, "")
	var p keeper.Proc
	if err == nil {
		p, err = Only(list, asked)
	}
	if err != nil {
		d.close()
		return nil, keeper.Proc{}, err
	}

	return d, p, nil
}

// exactlyOne has a command take one argument.
func exactlyOne(what string) cobra.PositionalArgs { return between(1, 1, what) }

func between(least, most int, what string) cobra.PositionalArgs {
	return func(_ *cobra.Command, args []string) error {
		if len(args) < least || len(args) > most {
			return fmt.Errorf("give %s", what)
		}
		return nil
	}
}
