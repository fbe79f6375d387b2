// Package editor has a person edit a text in the editor of their choice.
package editor

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"golang.org/x/term"

	"github.com/divisi-go/divisi/cmd/divisi/console"
)

// maxText is how many bytes a text may have that somebody has saved.
const maxText = 1 << 20

// Edit has somebody edit a text, in the program that VISUAL or EDITOR names, or else vi, and gives what was saved to take. A
// text that is as it was is not taken, and Edit says so. While take has an error, it is told, and the text offered again; where
// nobody can be asked, or nobody wants to, what was saved is kept in a file, which the error names. The name is that of the file
// that the editor shows.
func Edit(ctx context.Context, c *console.Console, name, text string, take func(file, text string) error) error {
	dir, err := os.MkdirTemp("", "divisi-edit-")
	if err != nil {
		return err
	}
	file := filepath.Join(dir, name)
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		return errors.Join(err, os.RemoveAll(dir))
	}
	for {
		saved, err := run(ctx, file)
		if err != nil {
			return errors.Join(err, os.RemoveAll(dir))
		}
		if saved == text {
			fmt.Fprintln(c.Err, "divisi: nothing was changed")
			return os.RemoveAll(dir)
		}
		if err = take(file, saved); err == nil {
			return os.RemoveAll(dir)
		}
		if ctx.Err() != nil || !again(c, err) {
			return console.Failure("what you have saved is kept in "+file, "%w", err)
		}
	}
}

// run runs the editor, and returns what is in the file then.
func run(ctx context.Context, file string) (string, error) {
	program := "vi"
	for _, variable := range []string{"EDITOR", "VISUAL"} {
		if value := os.Getenv(variable); value != "" {
			program = value
		}
	}
	// The variables have a command with arguments, as they have for everybody else.
	cmd := exec.CommandContext(ctx, "sh", "-c", program+` "$1"`, "sh", file)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	if err := cmd.Run(); err != nil {
		return "", console.Failure("nothing is changed; VISUAL or EDITOR names another one", "the editor %s fails: %w", program, err)
	}
	info, err := os.Stat(file)
	if err == nil && info.Size() > maxText {
		err = fmt.Errorf("it has %d bytes: at most %d are read", info.Size(), maxText)
	}
	if err != nil {
		return "", fmt.Errorf("cannot read what was saved: %w", err)
	}
	text, err := os.ReadFile(file)
	return string(text), err
}

// again asks whether somebody wants to mend what is wrong.
func again(c *console.Console, wrong error) bool {
	if !term.IsTerminal(int(os.Stdin.Fd())) {
		return false
	}
	fmt.Fprintf(c.Err, "%v\ndivisi: edit it again? [Y/n] ", wrong)
	answer, err := bufio.NewReader(os.Stdin).ReadString('\n')
	return err == nil && !strings.HasPrefix(strings.ToLower(strings.TrimSpace(answer)), "n")
}
