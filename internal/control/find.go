package control

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"
)

// Running is an application that runs.
type Running struct {
	*Client
	Status Status
	Info   Info
}

// askTime bounds how long an application that does not answer delays a list.
const askTime = 3 * time.Second

// Find returns the applications that run, by name and start. The error is about those that do not
// answer; the others are returned nevertheless. What processes have left behind that are gone is
// removed.
func Find(ctx context.Context, runtimeDir string) ([]Running, error) {
	paths, err := sockets(runtimeDir)
	if err != nil {
		return nil, err
	}
	var mu sync.Mutex // guards list and failures
	var list []Running
	var failures []error
	var wait sync.WaitGroup
	for _, path := range paths {
		wait.Go(func() {
			app, err := ask(ctx, path)
			mu.Lock()
			defer mu.Unlock()
			switch {
			case errors.Is(err, syscall.ECONNREFUSED):
				removeLeft(path)
			case errors.Is(err, os.ErrNotExist):
			case err != nil:
				failures = append(failures, fmt.Errorf("an application does not answer on %s: %w", path, err))
			default:
				list = append(list, app)
			}
		})
	}
	wait.Wait()
	slices.SortFunc(list, func(a, b Running) int {
		return cmp.Or(strings.Compare(a.Status.App, b.Status.App), a.Status.Started.Compare(b.Status.Started))
	})
	return list, errors.Join(failures...)
}

func ask(ctx context.Context, path string) (Running, error) {
	ctx, cancel := context.WithTimeout(ctx, askTime)
	defer cancel()
	app := Running{Client: NewClient(path)}
	var err error
	if app.Info, err = app.Client.Info(ctx); err == nil {
		app.Status, err = app.Client.Status(ctx)
	}
	return app, err
}

// removeLeft removes the sockets of a process that is gone: its own, and those of the replicas it
// ran, which begin with its number.
func removeLeft(path string) {
	pid := strings.TrimSuffix(filepath.Base(path), suffix)
	if number, err := strconv.Atoi(pid); err == nil && runs(number) {
		return // it is only about to listen
	}
	os.Remove(path)
	left, err := filepath.Glob(filepath.Join(filepath.Dir(path), pid+"-*.sock"))
	if err != nil {
		return
	}
	for _, socket := range left {
		os.Remove(socket)
	}
}

func runs(pid int) bool {
	p, err := os.FindProcess(pid)
	return err == nil && p.Signal(syscall.Signal(0)) == nil
}
