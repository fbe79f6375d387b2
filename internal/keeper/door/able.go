//go:build linux

package door

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"github.com/divisi-go/divisi/internal/keeper"
	"github.com/divisi-go/divisi/internal/keeper/frame"
	"github.com/divisi-go/divisi/internal/keeper/record"
)

// A program is asked whether it can take over by this value of Variable, which is no state folder for
// one that does not know the question, and answers by the line able.
const (
	question   = "/dev/null/able"
	ableFormat = "divisi keeper: able %d" // to read this format of what is handed over
)

var able = fmt.Sprintf(ableFormat, record.HandoverFormat)

// askTime is how long a program may take to answer.
const askTime = 10 * time.Second

// checkAble says why a program cannot take over. What the keeper holds is not disturbed.
func checkAble(ctx context.Context, program string) error {
	if !filepath.IsAbs(program) {
		return fmt.Errorf("cannot upgrade to %q: %w: the path is not absolute", program, keeper.ErrInvalid)
	}
	err := askAble(ctx, program)
	if err == nil {
		return nil
	}
	return &frame.Error{
		Text: fmt.Sprintf("%s cannot take over the keeper, which goes on as it was: %v", program, err), Code: "unable",
		Way: "name a program that can be a keeper, such as a newer divisi",
	}
}

// askAble runs the program, for as long as it takes to answer.
func askAble(ctx context.Context, program string) error {
	ctx, cancel := context.WithTimeoutCause(ctx, askTime, fmt.Errorf("it has not answered after %v", askTime))
	defer cancel()
	cmd := exec.CommandContext(ctx, program)
	cmd.Env, cmd.Dir = []string{Variable + "=" + question}, "/"
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
	var format int
	switch _, other := fmt.Sscanf(said, ableFormat, &format); {
	case err == nil && said == able:
		return nil
	case err == nil && other == nil:
		return fmt.Errorf("it reads format %d of what is handed over, and this keeper writes %d", format, record.HandoverFormat)
	case err == nil:
		return errors.New("it does not call door.Enter first in its main, or is too old")
	}
	said, _, _ = strings.Cut(said, "\n")
	return fmt.Errorf("asked whether it can be a keeper, it says %.100q (%w)", said, err)
}
