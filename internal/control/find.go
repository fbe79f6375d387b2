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
}

// askTime bounds how long an application that does not answer delays a list.
const askTime = 3 * time.Second

// Find returns the applications behind doors, by name and start. The error is about doors that do
// not answer; the others are returned nevertheless. A door whose process is gone is nobody's.
func Find(ctx context.Context, doors []string) ([]Running, error) {
	list, err := ask(doors, func(door string) ([]Running, error) {
		ctx, cancel := context.WithTimeout(ctx, askTime)
		defer cancel()
		return running(ctx, door)
	})
	slices.SortFunc(list, func(a, b Running) int {
		return cmp.Or(strings.Compare(a.Status.App, b.Status.App), a.Status.Started.Compare(b.Status.Started))
	})
	return list, err
}

// running returns the applications behind one door.
func running(ctx context.Context, door string) ([]Running, error) {
	var apps []AppStatus
	if err := NewClient(door, "").do(ctx, "GET", "/v1/apps", nil, &apps); err != nil {
		return nil, err
	}
	var list []Running
	for _, app := range apps {
		r := Running{Client: NewClient(door, app.App)}
		var err error
		if r.Status, err = r.Client.Status(ctx); err != nil {
			return list, err
		}
		list = append(list, r)
	}
	return list, nil
}

// Apps returns what runs behind doors, in short, as Find does.
func Apps(ctx context.Context, doors []string) ([]AppStatus, error) {
	list, err := ask(doors, func(door string) (apps []AppStatus, err error) {
		ctx, cancel := context.WithTimeout(ctx, askTime)
		defer cancel()
		return apps, NewClient(door, "").do(ctx, "GET", "/v1/apps", nil, &apps)
	})
	slices.SortFunc(list, func(a, b AppStatus) int { return strings.Compare(a.App, b.App) })
	return list, err
}

// Servers returns the processes behind doors, as Find returns applications.
func Servers(ctx context.Context, doors []string) ([]ReplicaStatus, error) {
	list, err := ask(doors, func(door string) (servers []ReplicaStatus, err error) {
		ctx, cancel := context.WithTimeout(ctx, askTime)
		defer cancel()
		return servers, NewClient(door, "").do(ctx, "GET", "/v1/servers", nil, &servers)
	})
	slices.SortStableFunc(list, func(a, b ReplicaStatus) int { return strings.Compare(a.App, b.App) })
	return list, err
}

// ask asks all doors at the same time.
func ask[T any](doors []string, question func(door string) ([]T, error)) ([]T, error) {
	var mu sync.Mutex // guards list and failures
	var list []T
	var failures []error
	var wait sync.WaitGroup
	for _, door := range doors {
		wait.Go(func() {
			some, err := question(door)
			mu.Lock()
			defer mu.Unlock()

			list = append(list, some...)
			if err != nil && !errors.Is(err, syscall.ECONNREFUSED) && !errors.Is(err, os.ErrNotExist) {
				failures = append(failures, fmt.Errorf("an application does not answer on %s: %w", door, err))
			}
		})
	}
	wait.Wait()
	return list, errors.Join(failures...)
}
