package weavelet

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"reflect"
	"syscall"
	"time"

	"github.com/divisi-go/divisi/codegen"
	"github.com/divisi-go/divisi/internal/inherit"
)

const (
	// stopTime bounds an orderly end: draining listeners and calls, and shutting components down.
	stopTime = 30 * time.Second

	// orphanTime bounds the end of a process whose deployer has gone: nobody will restart what it
	// served, and nobody else will end it.
	orphanTime = 2 * time.Second

	// impatience is how long after a first signal another one means a second wish. Programs that
	// forward signals to their children make two of one.
	impatience = time.Second

	// bodyEnd is how long the program's own function may go on after everything has been shut down.
	bodyEnd = time.Second
)

var (
	// errStop is the cause of an orderly end that was wanted: by the deployer, by a signal without a
	// deployer, or by the context of Run.
	errStop = errors.New("the process is asked to end")

	// errSignal is the cause of an end that the deployer did not want.
	errSignal = errors.New("the process was asked to end by somebody else than its deployer")
)

// Application is what a binary brings along.
type Application struct {
	Registry *codegen.Registry
	Inspect  func(impl any) (Fields, error)            // finds the fields to fill
	Main     func(ctx context.Context, main any) error // the body of the program
	MainImpl reflect.Type                              // the struct of the main component
}

// program is what runs where the main component does, until it returns or ctx ends. Before it returns
// it drains, by the given function, and shuts down what runs.
type program func(ctx context.Context, w *Weavelet, drain func(context.Context) error) error

// Run runs the application in this process: all of it, or the part that a deployer wants. It returns
// nil if the process has been asked to end.
func Run(ctx context.Context, app Application) error {
	files, err := inherit.Take()
	switch {
	case err != nil:
		return err
	case files.In != nil:
		err = runDeployed(ctx, app, files)
	default:
		err = runSingle(ctx, app, files)
	}
	if errors.Is(err, errStop) {
		return nil
	}
	return err
}

// main returns the name of the main component.
func (a Application) main() (string, error) {
	main, ok := a.Registry.FindImpl(a.MainImpl)
	if !ok {
		return "", fmt.Errorf("%v is not registered: run divisi generate", a.MainImpl)
	}
	return main.Info.Name, nil
}

// runMain is the program of a deployed process: the main component and its body.
func runMain(ctx context.Context, w *Weavelet, drain func(context.Context) error) error {
	main, err := w.app.main()
	if err != nil {
		return err
	}

	if err := w.start(ctx, main); err != nil {
		w.end(ctx, drain)
		if ctx.Err() != nil {
			err = context.Cause(ctx)
		}
		return err
	}
	return w.body(ctx, main, drain)
}

// body runs the program's own function with the main component until it returns, or until ctx
// ends and everything is drained and shut down.
func (w *Weavelet) body(ctx context.Context, main string, drain func(context.Context) error) error {
	p, _ := w.lookup(main)
	appCtx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	returned := make(chan error, 1)
	go func() { returned <- w.app.Main(appCtx, p.impl) }()

	select {
	case err := <-returned:
		if !w.draining.Load() {
			w.end(ctx, drain)
			return err
		}
		// It returned because its listeners are closed. The order to end follows.
		returned <- nil
		select {
		case <-ctx.Done():
		case <-time.After(stopTime):
		}
	case <-ctx.Done():
	}

	w.end(ctx, drain)
	cancel(context.Cause(ctx))
	// What the program returns now is the effect of its end, not a failure of its own.
	select {
	case <-returned:
	case <-time.After(bodyEnd):
	}
	if ctx.Err() == nil {
		return errStop
	}
	return context.Cause(ctx)
}

// end drains and shuts down what runs.
func (w *Weavelet) end(ctx context.Context, drain func(context.Context) error) {
	limit := stopTime
	if errors.Is(context.Cause(ctx), errDeployerGone) {
		limit = orphanTime
	}
	ctx, cancel := context.WithTimeoutCause(context.WithoutCancel(ctx), limit,
		fmt.Errorf("not ended within %v", limit))
	defer cancel()

	if err := drain(ctx); err != nil {
		w.logger.Warn("not drained", "err", err)
	}
	w.shutdown(ctx)
}

// withSignals returns a context that ends when the process is asked to end: by SIGINT or SIGTERM, or
// by the end of parent. The reason is offered to asked first, whose reader decides about the end
// itself; asked may be nil. A later signal, when the context has ended, ends the process at once.
func withSignals(parent context.Context, asked chan<- string) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancelCause(context.WithoutCancel(parent))
	signals := make(chan os.Signal, 2)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	over := make(chan struct{})
	go func() {
		gone := parent.Done()
		for ctx.Err() == nil {
			var reason string
			select {
			case s := <-signals:
				reason = fmt.Sprintf("it got the signal %v", s)
			case <-gone:
				gone = nil
				reason = "the context of Run has ended"
			case <-ctx.Done():
			case <-over:
				return
			}
			if asked == nil || !offer(asked, reason) {
				cancel(errStop)
			}
		}
		ended := time.Now()
		for {
			select {
			case <-signals:
				if time.Since(ended) >= impatience {
					os.Exit(130)
				}
			case <-over:
				return
			}
		}
	}()
	return ctx, func() {
		signal.Stop(signals)
		close(over)
		cancel(nil)
	}
}

// offer hands a reason over, and reports whether somebody has taken it.
func offer(asked chan<- string, reason string) bool {
	select {
	case asked <- reason:
		return true
	case <-time.After(impatience):
		return false
	}
}
