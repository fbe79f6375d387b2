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
	"strings"
	"syscall"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"github.com/divisi-go/divisi/internal/keeper"
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

// exitError is an error with an exit code of its own.
type exitError struct {
	code int
	err  error
}

func (e *exitError) Error() string { return e.err.Error() }
func (e *exitError) Unwrap() error { return e.err }

func usageError(format string, args ...any) error {
	return &exitError{exitUsage, fmt.Errorf(format, args...)}
}

// command is what all subcommands share.
type command struct {
	in       io.Reader
	out, err io.Writer
	output   string // of -o: "text" or "json"
}

// Main runs a command line and returns its exit code.
func Main(args []string, in io.Reader, out, errOut io.Writer) int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	c := &command{in: in, out: out, err: errOut}
	root := c.root()
	root.SetArgs(args)
	root.SetIn(in)
	root.SetOut(out)
	root.SetErr(errOut)
	err := root.ExecuteContext(ctx)
	if err == nil {
		return exitDone
	}
	code := exitFailed
	var coded *exitError
	switch {
	case errors.As(err, &coded):
		code = coded.code
	case errors.Is(err, context.DeadlineExceeded):
		code = exitTimeout
	case ctx.Err() != nil:
		code = exitInterrupted
	}
	if text := err.Error(); text != "" {
		fmt.Fprintf(errOut, "divisi: error: %s\n", text)
	}
	return code
}

func (c *command) root() *cobra.Command {
	root := &cobra.Command{
		Use:   "divisi",
		Short: "Run a Go program as a distributed system",
		Long: "Divisi runs a Go program as a distributed system: one process for every group of its\n" +
			"components, replicated, supervised, observed and upgraded.",
		Example: "  divisi run .            # build the program in this folder and run it\n" +
			"  divisi ps               # what runs\n" +
			"  divisi logs -f          # what it says\n" +
			"  divisi stop --all --yes # drain and stop",
		SilenceUsage:  true,
		SilenceErrors: true,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) > 0 {
				return usageError("unknown command %q: see divisi help", args[0])
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
		PersistentPreRunE: func(*cobra.Command, []string) error {
			if c.output != "text" && c.output != "json" {
				return usageError("-o %s: the formats are text and json", c.output)
			}
			return nil
		},
	}
	root.PersistentFlags().StringVarP(&c.output, "output", "o", "text", "format: text or json")
	root.SetFlagErrorFunc(func(_ *cobra.Command, err error) error {
		return &exitError{exitUsage, err}
	})
	root.AddCommand(c.run(), c.ps(), c.status(), c.logs(), c.metrics(), c.profile(),
		c.callgraph(), c.stop(), c.generate(), c.version())
	for _, sub := range root.Commands() {
		if check := sub.Args; check != nil {
			sub.Args = func(cmd *cobra.Command, args []string) error {
				if err := check(cmd, args); err != nil {
					return usageError("%w (usage: %s)", err, cmd.UseLine())
				}
				return nil
			}
		}
	}
	return root
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

// color reports whether the output is a terminal that takes colours.
func (c *command) color() bool {
	return isTerminal(c.out) && os.Getenv("NO_COLOR") == "" && os.Getenv("TERM") != "dumb"
}

func isTerminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	return ok && term.IsTerminal(int(f.Fd()))
}

// folders returns the state directory and the folder for sockets.
func folders() (state, runtime string, err error) {
	if state, err = keeper.StateDir(); err != nil {
		return "", "", err
	}
	runtime, err = keeper.RuntimeDir(state)
	return state, runtime, err
}

// columns writes rows with their columns aligned; the first row is the head.
func (c *command) columns(rows [][]string) {
	width := map[int]int{}
	for _, row := range rows {
		for i, cell := range row {
			width[i] = max(width[i], len(cell))
		}
	}
	for _, row := range rows {
		var b strings.Builder
		for i, cell := range row {
			b.WriteString(cell)
			if i+1 < len(row) {
				b.WriteString(strings.Repeat(" ", width[i]-len(cell)+2))
			}
		}
		fmt.Fprintln(c.out, strings.TrimRight(b.String(), " "))
	}
}
