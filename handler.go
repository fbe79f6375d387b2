package divisi

import (
	"context"
	"errors"
	"net"
	"net/http"

	"github.com/divisi-go/divisi/codegen"
)

// HTTP is the main component of a program that is one http.Handler: see Handler.
type HTTP struct {
	Implements[Main]
	http Listener
}

// Handler makes an application of an existing http.Handler, which becomes the main component
// with the listener "http":
//
//	log.Fatal(divisi.Run(context.Background(), divisi.Handler(mux)))
//
// stands where this stood:
//
//	log.Fatal(http.ListenAndServe(":8080", mux))
//
// No generated code is needed until there are more components. Requests are measured under the
// label "http".
func Handler(h http.Handler) func(context.Context, *HTTP) error {
	// Registered here and not in an init function, so that only the programs that use it have it.
	codegen.Register[Main, HTTP](httpInfo, func(*codegen.Client) Main { return nil })
	return func(ctx context.Context, main *HTTP) error {
		server := &http.Server{
			Handler:     InstrumentHandler("http", h),
			BaseContext: func(net.Listener) context.Context { return context.WithoutCancel(ctx) },
		}
		err := server.Serve(&main.http)
		if errors.Is(err, net.ErrClosed) && ctx.Err() != nil {
			return nil
		}
		return err
	}
}

// httpInfo describes the component HTTP; a test keeps it equal to what the generator would write.
const httpInfo = "⟦divisi1\ncomponent github.com/divisi-go/divisi/Main\n" +
	"impl github.com/divisi-go/divisi/HTTP\nlistener http\nmain\nsum 4f70ce13\n⟧"
