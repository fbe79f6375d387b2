package drain

import (
	"context"
	"net"
	"net/http"

	"github.com/divisi-go/divisi/internal/trace"
)

// ServeHTTP serves l with s, over TLS if that is configured, until Accept fails. When drained drains,
// which is l or what l wraps, s sends GOAWAY to the clients that speak HTTP/2.
func ServeHTTP(l net.Listener, drained *Listener, s *http.Server) error {
	drained.Leave(Goodbye{Say: func(ctx context.Context) { s.Shutdown(ctx) }})
	if s.TLSConfig != nil {
		return s.ServeTLS(l, "", "")
	}
	return s.Serve(l)
}

// Handler returns a handler that tells the listener of each request, and clients of the drain, also
// where a connection is encrypted.
func Handler(h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if local, ok := r.Context().Value(http.LocalAddrContextKey).(Addr); ok {
			_, done := local.Request(r.Context(), r.ProtoMajor, trace.SpanContext{}, w.Header())
			defer done()
		}
		h.ServeHTTP(w, r)
	})
}
