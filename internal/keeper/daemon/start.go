//go:build linux

package daemon

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"syscall"
	"time"
)

// maxWords bounds what is heard of a program that starts.
const maxWords = 4 << 10

// Start runs this program once more, in a session of its own, and returns once it says in a line that it
// is ready, or once it has ended well.
func Start(ctx context.Context, args, env []string, ready string) error {
	null, err := os.Open(os.DevNull)
	if err != nil {
		return err
	}
	defer null.Close()
	words, their, err := os.Pipe()
	if err != nil {
		return err
	}
	defer words.Close()

	p, err := os.StartProcess("/proc/self/exe", args, &os.ProcAttr{
		Dir: "/", Env: env, Files: []*os.File{null, their, their}, Sys: &syscall.SysProcAttr{Setsid: true},
	})
	their.Close()
	if err != nil {
		return err
	}
	ended := make(chan error, 1)
	go func() { // for as long as it runs: nobody else may wait for it
		state, err := p.Wait()
		if err == nil && !state.Success() {
			err = errors.New(state.String())
		}
		ended <- err
	}()

	defer context.AfterFunc(ctx, func() { _ = words.SetReadDeadline(time.Unix(1, 0)) })()
	said, up := hear(words, ready)
	if up {
		return nil
	}
	select {
	case err = <-ended:
	case <-ctx.Done():
		err = context.Cause(ctx)
	}
	if err != nil {
		return fmt.Errorf("%w: %s", err, strings.TrimSpace(said))
	}
	return nil
}

// hear reads what a program says until it is ready, and reports whether it is.
func hear(r io.Reader, ready string) (said string, up bool) {
	lines := bufio.NewReader(r)
	for {
		line, err := lines.ReadString('\n')
		if strings.TrimSuffix(line, "\n") == ready {
			return said, true
		}
		said += line[:min(len(line), max(0, maxWords-len(said)))]
		if err != nil {
			return said, false
		}
	}
}
