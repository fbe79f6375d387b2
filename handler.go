package divisi

import (
	"context"
	"errors"
	"net"
	"net/http"
	"time"

	"github.com/divisi-go/divisi/codegen"
	"github.com/divisi-go/divisi/internal/drain"
)

// HTTP is the main component of a program that is one http.Handler: see Handler.
type HTTP struct {
	Implements[Main]
	http Listener
}

// Handler makes an application of an existing http.Handler, which becomes the main component
// with the listener "http":
//
//	if err := divisi.Run(context.Background(), divisi.Handler(mux)); err != nil {
//		log.Fatal(err)
//	}
//
// stands where this stood:
//
//	if err := http.ListenAndServe("localhost:8080", mux); err != nil {
//		log.Fatal(err)
//	}
//
// The configuration says where it listens, and not the program, for its replicas share the address:
//
//	[single]
//	listeners.http = { address = "localhost:8080" }
//
// No generated code is needed until there are more components. Requests are measured under the
// label "http".
func Handler(h http.Handler) func(context.Context, *HTTP) error {
	return Server(&http.Server{Handler: h, ReadHeaderTimeout: headerTime})
}

// headerTime bounds how long a client may take to send the header of a request.
const headerTime = 10 * time.Second

// Server is Handler with an http.Server, whose options are kept: timeouts, TLS, the log. The field
// Addr decides nothing; a warning says so if the listener "http" is at another address.
func Server(s *http.Server) func(context.Context, *HTTP) error {
	// Registered here and not in an init function, so that only the programs that use it have it.
	codegen.Register[Main, HTTP](httpInfo, func(*codegen.Client) Main { return nil })
	return func(ctx context.Context, main *HTTP) error {
		if address := main.http.Addr().String(); s.Addr != "" && portOf(s.Addr) != portOf(address) {
			main.Logger(ctx).Warn("the address of the http.Server is not used: set that of the listener http "+
				"in the configuration", "server", s.Addr, "listener", address)
		}

		h := s.Handler
		if h == nil {
			h = http.DefaultServeMux
		}
		s.Handler = InstrumentHandler("http", h)
		if s.BaseContext == nil {
			s.BaseContext = func(net.Listener) context.Context { return context.WithoutCancel(ctx) }
		}
		serve := drain.HTTP(main.http.Listener.(*drain.Listener), s)
		err := serve(&main.http)
		if ctx.Err() != nil && (errors.Is(err, net.ErrClosed) || errors.Is(err, http.ErrServerClosed)) {
			return nil
		}
		return err
	}
}

// portOf returns the port of an address, "http" where it has none, as in http.Server.
func portOf(address string) string {
	_, port, err := net.SplitHostPort(address)
	if err != nil || port == "" {
		return "http"
	}
	return port
}

// httpInfo describes the component HTTP; a test keeps it equal to what the generator would write.
const httpInfo = "⟦divisi1\ncomponent github.com/divisi-go/divisi/Main\n" +
	"impl github.com/divisi-go/divisi/HTTP\nlistener http\nmain\nsum 4f70ce13\n⟧"
