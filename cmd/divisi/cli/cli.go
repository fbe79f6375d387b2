// Package cli has the subcommands of divisi, each in a file of its own.
package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/divisi-go/divisi/cmd/divisi/run"
	"github.com/divisi-go/divisi/cmd/divisi/screen"
	"github.com/divisi-go/divisi/internal/name"
)

// The exit codes.
const (
	exitDone        = 0
	exitFailed      = 1
	exitUsage       = 2
	exitDegraded    = 3 // or only partly done
	exitTimeout     = 4
	exitInterrupted = 130
)

// exitError is an error with an exit code of its own, and perhaps a way out.
type exitError struct {
	code int
	err  error
	hint string
}

func (e *exitError) Error() string { return e.err.Error() }
func (e *exitError) Unwrap() error { return e.err }
func (e *exitError) Hint() string  { return e.hint }

func usageError(format string, args ...any) error {
	return &exitError{code: exitUsage, err: fmt.Errorf(format, args...)}
}

// failure is an error with a way out.
func failure(hint, format string, args ...any) error {
	return &exitError{code: exitFailed, err: fmt.Errorf(format, args...), hint: hint}
}

// command is what all subcommands share.
type command struct {
	out, err io.Writer
	output   string // of -o

	outTerminal, errTerminal bool
	outColor, errColor       bool

	errFile io.Writer      // err, also where a screen is before it
	screen  *screen.Screen // nil unless the command must not wait
}

func newCommand(out, err io.Writer) *command {
	c := &command{out: out, err: err, errFile: err, outTerminal: isTerminal(out), errTerminal: isTerminal(err)}
	color := os.Getenv("NO_COLOR") == "" && os.Getenv("TERM") != "dumb"
	c.outColor, c.errColor = c.outTerminal && color, c.errTerminal && color
	return c
}

// never makes the command stop waiting for the reader of its output.
func (c *command) never() {
	c.screen = screen.New(c.err)
	c.out, c.err = c.screen.Through(c.out), c.screen.Through(c.err)
}

// end waits for the last lines.
func (c *command) end() {
	if c.screen != nil {
		c.screen.End()
	}
}

// Main runs a command line and returns its exit code.
func Main(args []string, in io.Reader, out, errOut io.Writer) int {
	signals := []os.Signal{os.Interrupt, syscall.SIGTERM}
	if !signal.Ignored(syscall.SIGHUP) { // as nohup has it
		signals = append(signals, syscall.SIGHUP)
	}

	ctx, stop := signal.NotifyContext(context.Background(), signals...)
	defer stop()
	c := newCommand(out, errOut)
	defer c.end()
	root := c.root()
	root.SetArgs(args)
	root.SetIn(in)
	root.SetOut(out)
	root.SetErr(errOut)
	return c.report(ctx, root.ExecuteContext(ctx))
}

// report shows an error and returns the exit code.
func (c *command) report(ctx context.Context, err error) int {
	if err == nil {
		return exitDone
	}

	code := exitFailed
	var coded *exitError
	var usage *run.UsageError
	switch {
	case errors.As(err, &coded):
		code = coded.code
	case errors.As(err, &usage):
		code = exitUsage
	case errors.Is(err, run.ErrKilled):
		code = exitInterrupted
	case ctx.Err() != nil && errors.Is(err, context.Canceled):
		return exitInterrupted
	case errors.Is(err, context.DeadlineExceeded):
		code = exitTimeout
	}

	c.explain(err)
	return code
}

// explain shows an error, with the way out if there is one.
func (c *command) explain(err error) {
	fmt.Fprintf(c.err, "divisi: error: %v\n", err)
	var hinted interface{ Hint() string }
	if errors.As(err, &hinted) && hinted.Hint() != "" {
		fmt.Fprintf(c.err, "divisi: hint: %s\n", hinted.Hint())
	}
}

func (c *command) root() *cobra.Command {
	root := &cobra.Command{
		Use:   "divisi",
		Short: "Run a Go program as a distributed system",
		Long: "Divisi runs a Go program as a distributed system: one process for every group of its\n" +
			"components, replicated, supervised, observed and upgraded.\n\n" +
			"Exit codes: 0 done, 1 failed, 2 wrong use, 3 degraded or only partly done, 4 timed out,\n" +
			"130 interrupted. DIVISI_HOME is the folder of what outlives processes; applications that\n" +
			"were started with another one are not seen.",
		Example: "  divisi run .            # build the program in this folder and run it\n" +
			"  divisi ps               # what runs\n" +
			"  divisi logs -f          # what it says\n" +
			"  divisi stop --all --yes # drain and stop",
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
			formats := []string{"text", "json"}
			if more := cmd.Annotations[moreFormats]; more != "" {
				formats = append(formats, more)
			}
			if !slices.Contains(formats, c.output) {
				return usageError("-o %s: the formats are %s", c.output, strings.Join(formats, ", "))
			}
			return nil
		},
	}

	root.PersistentFlags().StringVarP(&c.output, "output", "o", "text", "format: text or json")
	root.SetVersionTemplate("divisi {{.Version}}\n")
	complete(root, "output", "text", "json")
	root.SetFlagErrorFunc(flagError)
	root.AddCommand(c.run(), c.ps(), c.where(), c.status(), c.logs(), c.metrics(), c.profile(),
		c.callgraph(), c.stop(), c.generate(), c.version())
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
				return &exitError{code: exitUsage, err: err, hint: "usage: " + cmd.UseLine()}
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
	return usageError("unknown command %q: %s", arg, name.Suggest(arg, known))
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

	return &exitError{code: exitUsage, err: err, hint: hint}
}

// complete gives the values of a flag to shells that complete command lines.
func complete(cmd *cobra.Command, flag string, values ...string) {
	// It only fails for a flag that the command does not have, and then completes nothing.
	_ = cmd.RegisterFlagCompletionFunc(flag, cobra.FixedCompletions(values, cobra.ShellCompDirectiveNoFileComp))
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

// json writes a value as JSON if that was asked for.
func (c *command) json(v any) (bool, error) {
	if c.output != "json" {
		return false, nil
	}
	encoder := json.NewEncoder(c.out)
	encoder.SetIndent("", "  ")
	encoder.SetEscapeHTML(false)
	return true, encoder.Encode(v)
}

// within calls f with a limit of time.
func within(ctx context.Context, limit time.Duration, f func(context.Context) error) error {
	limited, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	err := f(limited)
	if err != nil && ctx.Err() == nil && limited.Err() != nil {
		return &exitError{code: exitTimeout, err: fmt.Errorf("not done within %v: %w", limit, err),
			hint: "give it more time with --timeout"}
	}
	return err
}

// timeoutFlag adds the flag --timeout to a command.
func timeoutFlag(cmd *cobra.Command, limit *time.Duration, value time.Duration) {
	cmd.Flags().DurationVar(limit, "timeout", value, "give up after this time")
}
