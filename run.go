package divisi

import (
	"context"
	"fmt"
	"reflect"

	"github.com/divisi-go/divisi/codegen"
	"github.com/divisi-go/divisi/internal/process"
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
// Run returns when app has returned, with its error, and after SIGINT, SIGTERM, the end of ctx, or the
// deployer's word, with nil. Before that, listeners are drained and components shut down in the reverse
// order of their start. So a main function ends like this, and only errors end the process with
// another exit code than 0:
//
//	if err := divisi.Run(context.Background(), serve); err != nil {
//		log.Fatal(err)
//	}
//
// If somebody else than the deployer asks a deployed process to end, the deployer drains it first. The
// deployer restarts a process that ends without its word, with any exit code: an application is
// finished only when app has returned nil.
//
// What a main function does before Run happens in every process of a deployed application, also where
// app does not run. What must happen once in a process that needs it, such as opening a database,
// belongs in the Init of the component that uses it. What must happen once in all, such as changing the
// tables of a database, belongs in the Init of a component with one replica, which others call.
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
	binary := weavelet.Application{Registry: registry, Inspect: inspect}
	return process.Run(ctx, binary, process.Main{
		Impl: impl,
		Body: func(ctx context.Context, main any) error {
			return app(ctx, main.(*T))
		},
	})
}
