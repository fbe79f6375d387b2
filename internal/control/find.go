package control

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
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

// Find returns the applications that run behind sockets, by name and start. The error is about those
// that do not answer; the others are returned nevertheless. A socket whose process is gone is nobody's.
func Find(ctx context.Context, sockets []string) ([]Running, error) {
	var mu sync.Mutex // guards list and failures
	var list []Running
	var failures []error
	var wait sync.WaitGroup
	for _, path := range sockets {
		wait.Go(func() {
			app, err := ask(ctx, path)
			mu.Lock()
			defer mu.Unlock()
			switch {
			case errors.Is(err, syscall.ECONNREFUSED), errors.Is(err, os.ErrNotExist):
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
