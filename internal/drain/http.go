package drain

import (
	"context"
	"net"
	"net/http"
)

// HTTP returns the method Serve, or ServeTLS if that is configured, of a server of l, or of a listener
// that wraps l. When l drains, the server sends GOAWAY to the clients that speak HTTP/2.
func HTTP(l *Listener, s *http.Server) (serve func(net.Listener) error) {
	l.Leave(Goodbye{Say: func(ctx context.Context) { s.Shutdown(ctx) }})
	if s.TLSConfig != nil {
		return func(l net.Listener) error { return s.ServeTLS(l, "", "") }
	}
	return s.Serve
}

// Handler returns a handler that tells the listener of each request, and clients of the drain, also
// where a connection is encrypted.
func Handler(h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if local, ok := r.Context().Value(http.LocalAddrContextKey).(Addr); ok {
			defer local.Request(r, w.Header())()
		}
		h.ServeHTTP(w, r)
	})
}
