// Package cli has the subcommands of divisi, each in a file of its own.
package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"regexp"
	"slices"
	"strings"
	"syscall"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/divisi-go/divisi/cmd/divisi/configure"
	"github.com/divisi-go/divisi/cmd/divisi/console"
	"github.com/divisi-go/divisi/cmd/divisi/contexts"
	"github.com/divisi-go/divisi/cmd/divisi/ensembles"
	"github.com/divisi-go/divisi/cmd/divisi/halt"
	"github.com/divisi-go/divisi/cmd/divisi/host"
	"github.com/divisi-go/divisi/cmd/divisi/keeper"
	"github.com/divisi-go/divisi/cmd/divisi/lab"
	"github.com/divisi-go/divisi/cmd/divisi/lookup"
	"github.com/divisi-go/divisi/cmd/divisi/migrate"
	"github.com/divisi-go/divisi/cmd/divisi/operate"
	"github.com/divisi-go/divisi/cmd/divisi/pack"
	"github.com/divisi-go/divisi/cmd/divisi/push"
	"github.com/divisi-go/divisi/cmd/divisi/run"
	"github.com/divisi-go/divisi/cmd/divisi/server"
	"github.com/divisi-go/divisi/cmd/divisi/site"
	"github.com/divisi-go/divisi/cmd/divisi/store"
	"github.com/divisi-go/divisi/cmd/divisi/visit"
	"github.com/divisi-go/divisi/cmd/divisi/zone"
	"github.com/divisi-go/divisi/internal/name"
)

// command is what all subcommands share.
type command struct{ *console.Console }

// Main runs a command line and returns its exit code.
func Main(args []string, in io.Reader, out, errOut io.Writer) int {
	signals := []os.Signal{os.Interrupt, syscall.SIGTERM}
	if !signal.Ignored(syscall.SIGHUP) { // as nohup has it
		signals = append(signals, syscall.SIGHUP)
	}

	ctx, stop := signal.NotifyContext(context.Background(), signals...)
	defer stop()
	c := &command{console.New(out, errOut)}
	defer c.End()
	root := c.root()
	root.SetArgs(args)
	root.SetIn(in)
	root.SetOut(c.Out)
	root.SetErr(errOut)
	code := c.report(ctx, root.ExecuteContext(ctx))
	if lost := c.Lost(); lost != nil && code == console.Done {
		return c.report(ctx, lost)
	}
	return code
}

// report shows an error and returns the exit code.
func (c *command) report(ctx context.Context, err error) int {
	if err == nil {
		return console.Done
	}

	code := console.Failed
	var coded *console.Error
	var usage *run.UsageError
	switch {
	case errors.As(err, &coded) && coded.Err == nil:
		return coded.Code
	case errors.As(err, &coded):
		code = coded.Code
	case errors.As(err, &usage):
		code = console.Usage
	case errors.Is(err, run.ErrTaken):
		code = console.Degraded
	case errors.Is(err, run.ErrKilled):
		code = console.Interrupted
	case ctx.Err() != nil && errors.Is(err, context.Canceled):
		return console.Interrupted
	case errors.Is(err, context.DeadlineExceeded):
		code = console.Timeout
	}

	c.Explain(err)
	return code
}

func (c *command) root() *cobra.Command {
	choice := contexts.Choose()
	root := &cobra.Command{
		Use:   "divisi",
		Short: "Run a Go program as a distributed system",
		Long: "Divisi runs a Go program as a distributed system: one process for every group of its\n" +
			"components, replicated, supervised, observed and upgraded. Any other program is a server beside\n" +
			"them, supervised and restarted without a refused connection.\n\n" +
			"Exit codes: 0 done, 1 failed, 2 wrong use, 3 degraded, only partly done or taken over,\n" +
			"4 timed out, 130 interrupted. DIVISI_HOME is the folder of what outlives processes; applications that\n" +
			"were started with another one are not seen. divisi context has names for such folders.",
		Example: "  divisi run .            # build the program in this folder and run it\n" +
			"  divisi ps               # what runs\n" +
			"  divisi logs -f          # what it says\n" +
			"  divisi stop --all --yes # drain and stop\n" +
			"  divisi start web --listen http=:8080 -- ./web # any program",
		Version:       versionText(),
		SilenceUsage:  true,
		SilenceErrors: true,
		Args:          cobra.ArbitraryArgs,
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) > 0 {
				return unknownCommand(cmd, args[0])
			}
			return cmd.Help()
		},
		PersistentPreRunE: func(cmd *cobra.Command, _ []string) error {
			if err := choice.Err(); err != nil && cmd.HasParent() && cmd.Parent().Name() != contexts.CommandName {
				return &console.Error{Code: console.Failed, Err: err, Way: "divisi context use default, or -G"}
			}
			formats := []string{"text", "json"}
			if more := cmd.Annotations[moreFormats]; more != "" {
				formats = append(formats, more)
			}
			if !slices.Contains(formats, c.Format) {
				return console.UsageError("-o %s: the formats are %s", c.Format, strings.Join(formats, ", "))
			}
			return nil
		},
	}

	root.PersistentFlags().StringVarP(&c.Format, "output", "o", "text", "format: text or json")
	contexts.Flag(root, choice)
	root.SetVersionTemplate("divisi {{.Version}}\n")
	console.Complete(root, "output", "text", "json")
	root.SetFlagErrorFunc(flagError)
	root.AddCommand(c.run(), c.attach(), c.dashboard(), c.ps(), c.where(), c.status(), c.logs(), c.metrics(), c.profile(),
		c.callgraph(), halt.Command(c.Console), c.generate(), c.version(), host.Command(c.Console), lab.Command(c.Console), pack.Command(c.Console), site.Command(c.Console), keeper.Command(c.Console),
		migrate.Command(c.Console, released()), push.Command(c.Console), lookup.Command(c.Console), zone.Command(c.Console), store.Command())
	root.AddCommand(server.Commands(c.Console, ensembles.Again(c.Console))...)
	root.AddCommand(operate.Commands(c.Console)...)
	root.AddCommand(ensembles.Commands(c.Console)...)
	root.AddCommand(visit.Commands(c.Console)...)
	root.AddCommand(contexts.Command(c.Console, choice))
	root.AddCommand(configure.Command(c.Console))
	root.SetHelpCommand(help(root))
	root.InitDefaultHelpCmd()
	root.InitDefaultVersionFlag()
	root.InitDefaultCompletionCmd()
	refuseArguments(root)
	return root
}

// moreFormats is the annotation of commands that have a format beside text and json.
const moreFormats = "format"

// refuseArguments has wrong arguments of all commands end with the exit code of wrong use.
func refuseArguments(cmd *cobra.Command) {
	for _, sub := range cmd.Commands() {
		refuseArguments(sub)
	}

	if check := cmd.Args; check != nil {
		cmd.Args = func(cmd *cobra.Command, args []string) error {
			if err := check(cmd, args); err != nil {
				return &console.Error{Code: console.Usage, Err: err, Way: "usage: " + cmd.UseLine()}
			}
			return nil
		}
	}

	if cmd.HasSubCommands() && cmd.HasParent() {
		cmd.Args = nil
		cmd.RunE = func(cmd *cobra.Command, args []string) error {
			if len(args) > 0 {
				return unknownCommand(cmd, args[0])
			}
			return cmd.Help()
		}
		cmd.Args = cobra.ArbitraryArgs
	}
}

// unknownCommand is the error for a subcommand that there is not.
func unknownCommand(cmd *cobra.Command, arg string) error {
	var known []string
	for _, sub := range cmd.Commands() {
		if !sub.Hidden {
			known = append(known, sub.Name())
		}
	}
	return console.UsageError("unknown command %q: %s", arg, name.Suggest(arg, known))
}

// wrongValue is what the library says of a value that it cannot read.
var wrongValue = regexp.MustCompile(`^invalid argument "(.*)" for "(.*)" flag: `)

// wanted says what the values of flags look like, by their types.
var wanted = map[string]string{
	"int": "a whole number", "duration": "a time such as 5s or 1m30s", "bool": "true or false",
}

// flagError is the error for a flag that there is not, or that is given a wrong value.
func flagError(cmd *cobra.Command, err error) error {
	hint := "usage: " + cmd.UseLine()
	if flag, ok := strings.CutPrefix(err.Error(), "unknown flag: --"); ok {
		var known []string
		cmd.Flags().VisitAll(func(f *pflag.Flag) { known = append(known, f.Name) })
		if near, ok := name.Nearest(flag, known); ok {
			hint = "did you mean --" + near + "?"
		}
	}

	if wrong := wrongValue.FindStringSubmatch(err.Error()); wrong != nil {
		value, flag := wrong[1], wrong[2]
		_, long, _ := strings.Cut(flag, "--")
		if f := cmd.Flags().Lookup(long); f != nil && wanted[f.Value.Type()] != "" {
			err = fmt.Errorf("%s cannot be %q: give %s", flag, value, wanted[f.Value.Type()])
		}
	}

	return &console.Error{Code: console.Usage, Err: err, Way: hint}
}

// help is the command help. Unlike cobra's own it fails for a command that there is not.
func help(root *cobra.Command) *cobra.Command {
	return &cobra.Command{
		Use:     "help [COMMAND]",
		Short:   "Show help about a command",
		Example: "  divisi help run",
		ValidArgsFunction: func(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
			var names []string
			for _, sub := range root.Commands() {
				names = append(names, sub.Name()+"\t"+sub.Short)
			}
			return names, cobra.ShellCompDirectiveNoFileComp
		},
		RunE: func(_ *cobra.Command, args []string) error {
			cmd, rest, err := root.Find(args)
			if err != nil || len(rest) > 0 {
				return unknownCommand(root, args[0])
			}
			cmd.InitDefaultHelpFlag()
			return cmd.Help()
		},
	}
}
