//go:build linux

package door

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/divisi-go/divisi/internal/home"
)

// maxWords bounds what is heard of a program that starts as a keeper.
const maxWords = 4 << 10

// start starts a keeper, and returns once it answers, or once it has left the place to another one. If a
// unit of systemd runs it, systemd is asked to; where that does not, this program does.
func start(ctx context.Context, h home.Home) error {
	unit, err := h.Unit()
	if err != nil {
		return err
	}
	if unit.Name != "" && startUnit(ctx, unit) == nil {
		return nil
	}

	if os.Getenv(Variable) != "" {
		return fmt.Errorf("this program has not become the keeper that it was started as: call door.Enter first in its main, or unset %s", Variable)
	}
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

	p, err := os.StartProcess("/proc/self/exe", []string{"divisi", "keeper", h.Dir}, &os.ProcAttr{
		Dir: "/", Env: environment(h), Files: []*os.File{null, their, their}, Sys: &syscall.SysProcAttr{Setsid: true},
	})
	their.Close()
	if err != nil {
		return fmt.Errorf("cannot start the keeper: %w", err)
	}
	ended := make(chan error, 1)
	go func() { // for as long as the keeper runs: nobody else may wait for it
		state, err := p.Wait()
		if err == nil && !state.Success() {
			err = errors.New(state.String())
		}
		ended <- err
	}()

	defer context.AfterFunc(ctx, func() { _ = words.SetReadDeadline(time.Unix(1, 0)) })()
	said, up := hear(words)
	if up {
		return nil
	}
	select {
	case err = <-ended:
	case <-ctx.Done():
		err = context.Cause(ctx)
	}
	if err != nil {
		return fmt.Errorf("cannot start the keeper: %w: %s", err, strings.TrimSpace(said))
	}
	return nil
}

// startUnit has systemd start a unit, and returns once that is ready.
func startUnit(ctx context.Context, u home.Unit) error {
	ctx, cancel := context.WithTimeout(ctx, stayTime)
	defer cancel()
	return Systemctl(ctx, u, "start", u.Name).Run()
}

// environment returns what a program has to know to become the keeper of a home.
func environment(h home.Home) []string {
	env := []string{Variable + "=" + h.Dir}
	if dir, ok := os.LookupEnv("XDG_RUNTIME_DIR"); ok {
		env = append(env, "XDG_RUNTIME_DIR="+dir)
	}
	return env
}

// hear reads what a program says until it is ready, and reports whether it is.
func hear(r io.Reader) (said string, up bool) {
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

// logOf returns the keeper's own log.
func logOf(h home.Home) string { return filepath.Join(h.Keeper().State, "keeper.log") }
