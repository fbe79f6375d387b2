package supervision

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"sync"
)

// Protect makes an error of a panic.
func Protect(f func() error) (err error) {
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("panic: %v\n%s", r, debug.Stack())
		}
	}()
	return f()
}

// Together runs functions at the same time, and returns when all have returned, with their errors. When one
// fails, the context of the others ends; an error that comes of that alone is not told again.
func Together(ctx context.Context, functions ...func(context.Context) error) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var all sync.WaitGroup
	var once sync.Once
	first, errs := -1, make([]error, len(functions))
	for i, f := range functions {
		all.Go(func() {
			errs[i] = Protect(func() error { return f(ctx) })
			if errs[i] != nil {
				once.Do(func() {
					first = i
					cancel(errs[i])
				})
			}
		})
	}
	all.Wait()

	for i, err := range errs {
		if err != nil && i != first && errors.Is(err, errs[first]) {
			errs[i] = nil
		}
	}
	return errors.Join(errs...)
}
