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
// fails, the context of the others ends.
func Together(ctx context.Context, functions ...func(context.Context) error) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var all sync.WaitGroup
	errs := make([]error, len(functions))
	for i, f := range functions {
		all.Go(func() {
			if err := Protect(func() error { return f(ctx) }); err != nil {
				errs[i] = err
				cancel(err)
			}
		})
	}
	all.Wait()
	return errors.Join(errs...)
}
