package agent

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"strings"
	"time"
)

// Machine is what a host is made of.
type Machine interface {
	// Name is what errors and logs call the host.
	Name() string

	// Run runs a command, and returns when it has ended: with an error if it could not be run or has not exited with 0.
	// The command is killed when ctx ends, and may read the end of its input when it cannot be reached any more.
	Run(ctx context.Context, in io.Reader, out io.Writer, args ...string) error

	// Dial connects to a socket as a process of the machine does: network is unix at least. A connection ends when the
	// machine cannot be reached any more.
	Dial(ctx context.Context, network, address string) (net.Conn, error)
}

// Here is this machine, with other variables.
type Here struct {
	Called string
	Env    []string // besides those of this process
}

var _ Machine = Here{}

// Name implements [Machine].
func (h Here) Name() string { return h.Called }

const (
	maxWords = 4 << 10         // bytes of what a command says when it fails
	lateTime = 2 * time.Second // for what a command that was killed has left running
)

// Run implements [Machine].
func (h Here) Run(ctx context.Context, in io.Reader, out io.Writer, args ...string) error {
	cmd := exec.CommandContext(ctx, args[0], args[1:]...)
	cmd.Env = append(os.Environ(), h.Env...)
	words := &bytes.Buffer{}
	cmd.Stdout, cmd.Stderr, cmd.WaitDelay = out, words, lateTime
	if err := run(cmd, in); err != nil {
		return fmt.Errorf("%w: %s", err, strings.TrimSpace(words.String()[:min(maxWords, words.Len())]))
	}
	return nil
}

// run runs a command, and does not wait for its input once it has ended.
func run(cmd *exec.Cmd, in io.Reader) error {
	if file, ok := in.(*os.File); ok {
		cmd.Stdin = file
		return cmd.Run()
	}
	to, err := cmd.StdinPipe()
	if err != nil {
		return err
	}
	if err := cmd.Start(); err != nil {
		return err
	}
	go func() {
		_, _ = io.Copy(to, in) // who does not read it any more has ended
		to.Close()
	}()
	return cmd.Wait()
}

// Dial implements [Machine].
func (Here) Dial(ctx context.Context, network, address string) (net.Conn, error) {
	var d net.Dialer
	return d.DialContext(ctx, network, address)
}
