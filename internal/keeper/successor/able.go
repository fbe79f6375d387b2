//go:build linux

package successor

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"strings"
	"time"
)

// Question is the value of the variable that asks a program whether it can take over. It is no state
// folder for one that does not know the question.
const Question = "/dev/null/able"

const able = "divisi keeper: able %d" // to read this format of what is handed over

// Answer is the line by which a program answers that it can take over what has a format.
func Answer(format int) string { return fmt.Sprintf(able, format) }

const (
	askTime  = 10 * time.Second // for a program to answer
	maxWords = 4 << 10          // that are heard of it
)

// Ask runs a program with the question in a variable, for as long as it takes to answer. It returns why
// the program cannot take over what has a format.
func Ask(ctx context.Context, program, variable string, format int) error {
	ctx, cancel := context.WithTimeoutCause(ctx, askTime, fmt.Errorf("it has not answered after %v", askTime))
	defer cancel()
	cmd := exec.CommandContext(ctx, program)
	cmd.Env, cmd.Dir = []string{variable + "=" + Question}, "/"
	out, err := cmd.StdoutPipe()
	if err != nil {
		return err
	}
	cmd.Stderr = cmd.Stdout
	if err := cmd.Start(); err != nil {
		return err
	}

	defer context.AfterFunc(ctx, func() { out.Close() })()
	text, _ := io.ReadAll(io.LimitReader(out, maxWords)) // what could be read counts
	out.Close()
	err = cmd.Wait()
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}

	said := strings.TrimSpace(string(text))
	var other int
	switch _, known := fmt.Sscanf(said, able, &other); {
	case err == nil && said == Answer(format):
		return nil
	case err == nil && known == nil:
		return fmt.Errorf("it reads format %d of what is handed over, and this keeper writes %d", other, format)
	case err == nil:
		return errors.New("it does not call door.Enter first in its main, or is too old")
	}
	said, _, _ = strings.Cut(said, "\n")
	return fmt.Errorf("asked whether it can be a keeper, it says %.100q (%w)", said, err)
}
