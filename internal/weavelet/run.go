package weavelet

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"syscall"
	"time"
)

// stopTime bounds an orderly end: draining listeners and shutting components down.
const stopTime = 30 * time.Second

// orphanTime bounds the end of a process whose deployer has gone: nobody will restart what it
// served, and nobody else will end it.
const orphanTime = 2 * time.Second

// errStop is the cause of a context that ends because the process is asked to end.
var errStop = errors.New("the process is asked to end")

// Run runs the application in this process: all of it, or the part that a deployer wants.
func Run(ctx context.Context, app Application) error {
	files, ok, err := inherit()
	switch {
	case err != nil:
		return err
	case ok:
		err = runDeployed(ctx, app, files)
	default:
		err = runSingle(ctx, app)
	}
	if !errors.Is(err, errStop) {
		return err
	}
	if ctx.Err() == nil {
		// Nobody called for the end but a signal, which ends programs. To return would leave the
		// exit code to what the program makes of an error that is nil.
		os.Exit(0)
	}
	return nil
}

// body runs the program's own function with the main component until it returns, or until ctx
// ends and everything is drained and shut down.
func (w *Weavelet) body(ctx context.Context, main *part) error {
	returned := make(chan error, 1)
	appCtx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	go func() { returned <- w.app.Main(appCtx, main.impl) }()
	var err error
	select {
	case err = <-returned:
		returned <- nil
		if w.draining.Load() {
			// It returned because its listeners are closed. The order to end follows.
			select {
			case <-ctx.Done():
			case <-time.After(stopTime):
			}
			err = nil
		}
	case <-ctx.Done():
	}
	w.end(ctx)
	cancel(context.Cause(ctx))
	if ctx.Err() == nil {
		return err
	}
	// What the program returns now is the effect of its end, not a failure of its own.
	select {
	case <-returned:
	case <-time.After(time.Second):
	}
	return context.Cause(ctx)
}

// end drains and shuts down what runs.
func (w *Weavelet) end(ctx context.Context) {
	limit := stopTime
	if errors.Is(context.Cause(ctx), errDeployerGone) {
		limit = orphanTime
	}
	ctx, cancel := context.WithTimeoutCause(context.WithoutCancel(ctx), limit,
		fmt.Errorf("not ended within %v", limit))
	defer cancel()
	w.drain(ctx)
	w.shutdown(ctx)
}

// withSignals returns a context that ends with the first SIGINT or SIGTERM. One that comes when
// the context has ended, by a signal or otherwise, ends the process at once.
func withSignals(ctx context.Context) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancelCause(ctx)
	signals := make(chan os.Signal, 2)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	over := make(chan struct{})
	go func() {
		select {
		case <-signals:
			cancel(errStop)
		case <-ctx.Done():
		}
		select {
		case <-signals:
			os.Exit(130)
		case <-over:
		}
	}()
	return ctx, func() {
		signal.Stop(signals)
		close(over)
		cancel(nil)
	}
}
