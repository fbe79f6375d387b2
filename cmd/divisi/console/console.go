// Package console is what all commands share: where they write and in which format, how they show
// states, tables, waiting and errors, and the exit codes that they end with.
package console

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/divisi-go/divisi/cmd/divisi/screen"
)

// Console is what all subcommands share.
type Console struct {
	Out, Err io.Writer
	Format   string // of -o

	OutTerminal, ErrTerminal bool
	OutColor, ErrColor       bool

	ErrFile io.Writer      // Err, also where a screen is before it
	Screen  *screen.Screen // nil unless the command must not wait
}

// New returns a console that writes to out, and what is no result to err.
func New(out, err io.Writer) *Console {
	c := &Console{Out: out, Err: err, ErrFile: err, OutTerminal: isTerminal(out), ErrTerminal: isTerminal(err)}
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
	fmt.Fprintf(c.Err, "divisi: error: %v\n", err)
	var hinted interface{ Hint() string }
	if errors.As(err, &hinted) && hinted.Hint() != "" {
		fmt.Fprintf(c.Err, "divisi: hint: %s\n", hinted.Hint())
	}
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
