package serve

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"time"

	"github.com/divisi-go/divisi/internal/drain"
)

// Server returns a member that serves a listener with s: an [http.Server], a grpc.Server, or any other
// that returns when Accept fails. Over TLS, an http.Server has TLSConfig; it then speaks HTTP/2 as well.
// It serves one listener only, and gets a Handler around its own, which tells clients of the end.
//
// Its end loses nothing. The listener closes, so that new connections go to other processes that have
// its socket. Responses of HTTP/1 ask clients to close their connections, and those on which nobody
// waits for an answer, and nothing has passed for 200 ms, are closed. Clients of HTTP/2 are sent away by
// GOAWAY once no others are left, or half of the time is over. Then s is shut down. Connections that
// have not ended in time are cut, and the error says how many.
//
// A server that has a method GracefulStop() or Shutdown(context.Context) error, and is no http.Server,
// is shut down by that, 200 ms after the listener has closed. Connections of one that has neither are taken
// to be idle when it waits for bytes and none have come since its last answer.
func Server(l net.Listener, s interface{ Serve(net.Listener) error }) Member {
	served, drained := opened.drains(l)
	m := &server{listener: served, drained: drained, serve: s.Serve}
	switch s := s.(type) {
	case *http.Server:
		handler := s.Handler
		if handler == nil {
			handler = http.DefaultServeMux
		}
		s.Handler = drain.Handler(handler)
		m.serve = drain.HTTP(drained, s)
	case interface {
		GracefulStop()
		Stop()
	}:
		drained.Leave(drain.Goodbye{Any: true, Say: func(ctx context.Context) {
			defer context.AfterFunc(ctx, s.Stop)()
			s.GracefulStop()
		}})
	case interface{ Shutdown(context.Context) error }:
		drained.Leave(drain.Goodbye{Any: true, Say: func(ctx context.Context) { s.Shutdown(ctx) }})
	default:
		drained.Turns()
	}
	return m
}

// server is a server that serves a listener.
type server struct {
	listener net.Listener
	drained  *drain.Listener // the same, or what is below it
	serve    func(net.Listener) error
}

func (m *server) String() string { return "the server of " + m.listener.Addr().String() }

// Serve implements [Member].
func (m *server) Serve(ctx context.Context) error {
	served := make(chan error, 1)
	go func() { served <- m.serve(m.listener) }()
	select {
	case err := <-served:
		return failure(err)
	case <-ctx.Done():
	}

	begun := time.Now()
	ending, cancel := Ending(ctx)
	defer cancel()
	m.drained.Drain(ending)
	cut := m.drained.Cut()
	err := failure(<-served)
	if cut > 0 {
		err = errors.Join(err, fmt.Errorf("%s has cut %d connections, which had not ended after %v",
			m, cut, time.Since(begun).Round(time.Millisecond)))
	}
	return err
}

// failure returns the error of a server, unless it says that somebody has shut the server down.
func failure(err error) error {
	if errors.Is(err, net.ErrClosed) || errors.Is(err, http.ErrServerClosed) {
		return nil
	}
	return err
}
