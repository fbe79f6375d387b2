package divisi

import (
	"context"
	"fmt"
	"reflect"

	"github.com/divisi-go/divisi/codegen"
	"github.com/divisi-go/divisi/internal/weavelet"
)

// PointerToMain is implemented by pointers to the struct that implements Main.
type PointerToMain[T any] interface {
	*T
	InstanceOf[Main]
}

// Run runs the application that the binary holds, and app with its main component.
//
// Started by a deployer, the process hosts the components that the deployer tells it to, and app
// runs only where the main component is. Otherwise all components run here. The configuration is
// then the file that the environment variable DIVISI_CONFIG names, if any.
//
// When app has returned, and when ctx ends, listeners are drained, components shut down in the
// reverse order of their start, and Run returns. SIGINT, SIGTERM and the deployer end the process
// the same way, with the exit code 0: Run does not return then, unless ctx has ended too.
//
// Run also adds the health page, HealthzURL, to http.DefaultServeMux.
func Run[T any, P PointerToMain[T]](ctx context.Context, app func(context.Context, *T) error) error {
	addHealthPage()

	registry, err := codegen.Snapshot()
	if err != nil {
		return err
	}

	impl := reflect.TypeFor[T]()
	if _, ok := registry.FindImpl(impl); !ok {
		return fmt.Errorf("%v is not registered: run \"divisi generate\" in its directory, "+
			"then build again", impl)
	}
	return weavelet.Run(ctx, weavelet.Application{
		Registry: registry,
		Inspect:  Inspect,
		Main: func(ctx context.Context, main any) error {
			return app(ctx, main.(*T))
		},
		MainImpl: impl,
	})
}
