// Package process runs an application in this process: all of it, or, in the hands of a deployer, the
// part that is wanted here. It is the weavelet's end of the conversation with the deployer.
package process

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"time"

	"github.com/divisi-go/divisi/codegen"
	"github.com/divisi-go/divisi/internal/inherit"
	"github.com/divisi-go/divisi/internal/weavelet"
)

const (
	// orphanTime bounds the end of a process whose deployer has gone: nobody will restart what it
	// served, and nobody else will end it.
	orphanTime = 2 * time.Second

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

// Main is the main component, and what runs with it.
type Main struct {
	Impl reflect.Type                              // its struct
	Body func(ctx context.Context, main any) error // the program's own function
}

// program is what runs where the main component does, until it returns or ctx ends. Before it returns
// it ends the weavelet, whose calls from elsewhere are drained by the given function; that may be nil.
type program func(ctx context.Context, w *weavelet.Weavelet, drain func(context.Context) error) error

// Run runs the application in this process: all of it, or the part that a deployer wants. It returns
// nil if the process has been asked to end.
func Run(ctx context.Context, app weavelet.Application, main Main) error {
	raiseHeap()
	files, err := inherit.Take()
	switch {
	case err != nil:
		return err
	case files.In != nil, files.Envelope != "":
		err = runDeployed(ctx, app, main, files)
	default:
		err = runSingle(ctx, app, main, files)
	}
	if errors.Is(err, errStop) {
		return nil
	}
	return err
}

// component returns the name of the main component.
func (m Main) component(r *codegen.Registry) (string, error) {
	main, ok := r.FindImpl(m.Impl)
	if !ok {
		return "", fmt.Errorf("%v is not registered: run divisi generate", m.Impl)
	}
	return main.Info.Name, nil
}

// deployed returns the program of a process that a deployer runs, and what components it hosts.
func (m Main) deployed(r *codegen.Registry) (hosts []string, p program) {
	component, err := m.component(r)
	if err != nil {
		// Processes of tests have none, and none is asked to run it.
		return nil, func(context.Context, *weavelet.Weavelet, func(context.Context) error) error { return err }
	}

	return []string{component}, func(ctx context.Context, w *weavelet.Weavelet, drain func(context.Context) error) error {
		return m.run(ctx, w, component, w.Host, drain)
	}
}

// run starts the main component, runs the body, and ends the weavelet.
func (m Main) run(ctx context.Context, w *weavelet.Weavelet, component string,
	start func(context.Context, ...string) error, drain func(context.Context) error) error {
	if err := start(ctx, component); err != nil {
		end(ctx, w, drain)
		if ctx.Err() != nil {
			err = context.Cause(ctx)
		}
		return err
	}
	return m.body(ctx, w, component, drain)
}

// body runs the program's own function with the main component until it returns, or until ctx
// ends and everything is drained and shut down.
func (m Main) body(ctx context.Context, w *weavelet.Weavelet, component string,
	drain func(context.Context) error) error {
	main, _ := w.Implementation(component)
	appCtx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	returned := make(chan error, 1)
	go func() { returned <- m.Body(appCtx, main) }()

	select {
	case err := <-returned:
		if !w.Draining() && ctx.Err() == nil {
			end(ctx, w, drain)
			return err
		}
		// It returned because ctx has ended, or because its listeners are closed, and the order to end follows.
		returned <- nil
		select {
		case <-ctx.Done():
		case <-time.After(weavelet.StopTime):
		}
	case <-ctx.Done():
	}

	end(ctx, w, drain)
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

// end ends the weavelet.
func end(ctx context.Context, w *weavelet.Weavelet, drain func(context.Context) error) {
	limit := weavelet.StopTime
	if errors.Is(context.Cause(ctx), errDeployerGone) {
		limit = orphanTime
	}
	w.End(ctx, limit, drain)
}
