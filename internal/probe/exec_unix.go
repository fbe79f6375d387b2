//go:build unix

package probe

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"syscall"
	"time"
)

const (
	maxOutput = 1024 // bytes of what a command prints first

	// afterExit is how long a command's children may hold its output open.
	afterExit = 100 * time.Millisecond
)

// run has the shell run the command line. At the end of ctx it is killed with its children.
func (p Probe) run(ctx context.Context, t Target) error {
	if t.Dir != "" {
		if _, err := os.Stat(t.Dir); err != nil {
			return err // else the shell would be said to be missing
		}
	}

	cmd := exec.CommandContext(ctx, "/bin/sh", "-c", p.argument)
	cmd.Dir, cmd.Env = t.Dir, t.Env
	if cmd.Env == nil {
		cmd.Env = []string{} // not that of this process
	}
	cmd.SysProcAttr = &syscall.SysProcAttr{}
	if t.Attr != nil {
		*cmd.SysProcAttr = *t.Attr
	}
	cmd.SysProcAttr.Setpgid = true
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	cmd.WaitDelay = afterExit
	var out output
	cmd.Stdout, cmd.Stderr = &out, &out

	err := cmd.Run()
	switch {
	case err == nil || errors.Is(err, exec.ErrWaitDelay):
		return nil
	case ctx.Err() != nil:
		err = context.Cause(ctx)
	}
	if text := bytes.TrimSpace(out.text); len(text) > 0 {
		return fmt.Errorf("%w: %q", err, text)
	}

	return err
}

// output keeps the first bytes of what is written.
type output struct{ text []byte }

func (o *output) Write(data []byte) (int, error) {
	o.text = append(o.text, data[:min(len(data), maxOutput-len(o.text))]...)
	return len(data), nil
}
