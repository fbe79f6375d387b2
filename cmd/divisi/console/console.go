// Package console is what all commands share: where they write and in which format, how they show
// states, tables, waiting and errors, and the exit codes that they end with.
package console

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"sync"

	"github.com/divisi-go/divisi/cmd/divisi/screen"
	"github.com/divisi-go/divisi/internal/logline"
)

// Console is what all subcommands share.
type Console struct {
	Out, Err io.Writer
	Format   string // of -o

	OutTerminal, ErrTerminal bool
	OutColor, ErrColor       bool

	ErrFile io.Writer      // Err, also where a screen is before it
	Screen  *screen.Screen // nil unless the command must not wait

	result *result // what Out writes to in the end; nil in tests
}

// result is where the result of a command is written. It keeps the first error, so that a command whose result is
// lost does not look like one that is done.
type result struct {
	to io.Writer

	mu  sync.Mutex // guards err
	err error
}

func (r *result) Write(p []byte) (int, error) {
	n, err := r.to.Write(p)
	r.mu.Lock()
	defer r.mu.Unlock()
	r.err = cmp.Or(r.err, err)
	return n, err
}

// Lost returns why the result of the command is not where it was to be written, or nil.
func (c *Console) Lost() error {
	if c.result == nil {
		return nil
	}
	c.result.mu.Lock()
	defer c.result.mu.Unlock()
	if c.result.err == nil {
		return nil
	}
	return Failure("what it did is done: only what it has to say is missing", "the output cannot be written: %w", c.result.err)
}

// New returns a console that writes to out, and what is no result to err.
func New(out, err io.Writer) *Console {
	c := &Console{result: &result{to: out}, Err: err, ErrFile: err, OutTerminal: isTerminal(out), ErrTerminal: isTerminal(err)}
	c.Out = c.result
	color := os.Getenv("NO_COLOR") == "" && os.Getenv("TERM") != "dumb"
	c.OutColor, c.ErrColor = c.OutTerminal && color, c.ErrTerminal && color
	return c
}

// Never makes the command stop waiting for the reader of its output.
func (c *Console) Never() {
	c.Screen = screen.New(c.Err)
	c.Out, c.Err = c.Screen.Through(c.Out), c.Screen.Through(c.Err)
}

// End waits for the last lines.
func (c *Console) End() {
	if c.Screen != nil {
		c.Screen.End()
	}
}

// Explain shows an error, with the way out if there is one.
func (c *Console) Explain(err error) {
	fmt.Fprintf(c.Err, "divisi: error: %s\n", Visible(err.Error()))
	var hinted interface{ Hint() string }
	if errors.As(err, &hinted) && hinted.Hint() != "" {
		fmt.Fprintf(c.Err, "divisi: hint: %s\n", Visible(hinted.Hint()))
	}
}

// Visible returns lines with what could control a terminal shown in place of sent.
func Visible(text string) string {
	lines := strings.Split(text, "\n")
	for i := range lines {
		lines[i] = logline.Visible(lines[i])
	}
	return strings.Join(lines, "\n")
}

// JSON writes a value as JSON if that was asked for.
func (c *Console) JSON(v any) (bool, error) {
	if c.Format != "json" {
		return false, nil
	}
	encoder := json.NewEncoder(c.Out)
	encoder.SetIndent("", "  ")
	encoder.SetEscapeHTML(false)
	return true, encoder.Encode(v)
}
