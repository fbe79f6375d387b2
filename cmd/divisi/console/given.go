package console

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"

	"golang.org/x/term"
)

// Stdin is the argument that stands for what standard input has. Arguments are read by every user of the machine,
// and standard input is not.
const Stdin = "-"

const maxGiven = 1 << 20 // bytes

// Given returns a value that a command line gives: the argument, or all of the input if that is [Stdin], without the
// end of its last line. At a terminal it asks for one line, by what the value is, and does not show it.
func (c *Console) Given(ctx context.Context, in io.Reader, arg, what string) (string, error) {
	if arg != Stdin {
		return arg, nil
	}
	text, err := c.read(ctx, in, what)
	switch {
	case err != nil:
		return "", fmt.Errorf("cannot read %s: %w", what, err)
	case len(text) > maxGiven:
		return "", fmt.Errorf("cannot read %s: it has more than %d bytes", what, maxGiven)
	}
	return string(text), nil
}

// errEmpty is the error of input that has not even the end of a line.
var errEmpty = errors.New("standard input has nothing")

// read returns the value that the input has, or that somebody types. Nobody waits for it once ctx has ended.
func (c *Console) read(ctx context.Context, in io.Reader, what string) ([]byte, error) {
	read := func() ([]byte, error) {
		text, err := io.ReadAll(io.LimitReader(in, maxGiven+2))
		if err == nil && len(text) == 0 {
			err = errEmpty
		}
		return bytes.TrimSuffix(bytes.TrimSuffix(text, []byte("\n")), []byte("\r")), err
	}
	if f, ok := in.(*os.File); ok && term.IsTerminal(int(f.Fd())) {
		terminal := int(f.Fd())
		shown, err := term.GetState(terminal)
		if err != nil {
			return nil, err
		}
		defer fmt.Fprintln(c.Err)
		defer term.Restore(terminal, shown) // also when nobody has typed anything
		fmt.Fprintf(c.Err, "%s (it is not shown): ", what)
		read = func() ([]byte, error) { return term.ReadPassword(terminal) }
	}

	var text []byte
	done := make(chan error, 1)
	go func() {
		var err error
		text, err = read()
		done <- err
	}()
	select {
	case err := <-done:
		return text, err
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
}
