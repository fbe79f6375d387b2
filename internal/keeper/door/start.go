//go:build linux

package door

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"github.com/divisi-go/divisi/internal/home"
	"github.com/divisi-go/divisi/internal/keeper"
	"github.com/divisi-go/divisi/internal/keeper/daemon"
	"github.com/divisi-go/divisi/internal/keeper/link"
)

// Bounds of looking for a keeper.
const (
	firstPause = 5 * time.Millisecond
	lastPause  = 250 * time.Millisecond
	stayTime   = 30 * time.Second // for a keeper that is started to answer; one before it may take its time to end
)

// connect attaches to a keeper, and starts one if none answers.
func connect(ctx context.Context, w way, c keeper.Claim) (*link.Link, error) {
	begin := time.Now()
	for pause := firstPause; ; pause = min(2*pause, lastPause) {
		l, err := w.reach(ctx, c)
		if !errors.Is(err, link.ErrAbsent) {
			return l, err
		}
		if time.Since(begin) > stayTime {
			return nil, fmt.Errorf("%w, and none stays that is started: see %s", err, w.log())
		}

		if w.missing(err) {
			if err := w.start(ctx); err != nil {
				return nil, err
			}
		}
		select {
		case <-time.After(pause):
		case <-ctx.Done():
			return nil, fmt.Errorf("%w: %w", context.Cause(ctx), err)
		}
	}
}

// refuses reports whether nobody listens.
func refuses(err error) bool {
	return errors.Is(err, syscall.ECONNREFUSED) || errors.Is(err, fs.ErrNotExist)
}

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
	if err := daemon.Start(ctx, []string{"divisi", "keeper", h.Dir}, environment(h), ready); err != nil {
		return fmt.Errorf("cannot start the keeper: %w", err)
	}
	return nil
}

// startUnit has systemd start a unit, and returns once that is ready.
func startUnit(ctx context.Context, u home.Unit) error {
	ctx, cancel := context.WithTimeout(ctx, stayTime)
	defer cancel()
	return u.Systemctl(ctx, "start", u.Name).Run()
}

// environment returns what a program has to know to become the keeper of a home, and what settings the
// race detector has, if there is one.
func environment(h home.Home) []string {
	env := []string{Variable + "=" + h.Dir}
	for _, name := range []string{"XDG_RUNTIME_DIR", "GORACE"} {
		if value, ok := os.LookupEnv(name); ok {
			env = append(env, name+"="+value)
		}
	}
	return env
}

// logOf returns the keeper's own log.
func logOf(h home.Home) string { return filepath.Join(h.Keeper().State, "keeper.log") }
