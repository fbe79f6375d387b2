package main

import (
	"context"
	"crypto/tls"
	"net"
	"net/http"

	"connectrpc.com/connect"

	"github.com/divisi-go/divisi/bench/echo/pb"
	"github.com/divisi-go/divisi/bench/load"
)

// lackOfConnect: HTTP/2 stalls as gRPC's does.
func lackOfConnect(m measurement) string { return lackOfGRPC(m) }

// http2 is HTTP/2 in the clear: TLS, where there is any, is the endpoint's.
func http2() *http.Protocols {
	p := new(http.Protocols)
	p.SetUnencryptedHTTP2(true)
	return p
}

func serveConnect(l net.Listener) error {
	mux := http.NewServeMux()
	mux.Handle(answering[pb.Empty]("Null"))
	mux.Handle(answering[pb.Message]("Message"))
	mux.Handle(answering[pb.Blob]("Bytes"))
	s := &http.Server{Handler: mux, Protocols: http2(), HTTP2: &http.HTTP2Config{MaxConcurrentStreams: 4096}}
	return s.Serve(hidden{l})
}

// hidden hides from a server that connections are encrypted, for it would not speak HTTP/2 in the clear then.
type hidden struct{ net.Listener }

func (h hidden) Accept() (net.Conn, error) {
	conn, err := h.Listener.Accept()
	if encrypted, ok := conn.(*tls.Conn); ok {
		return struct{ net.Conn }{encrypted}, err
	}
	return conn, err
}

func answering[T any](method string) (string, http.Handler) {
	path := "/divisi.bench.Echo/" + method
	return path, connect.NewUnaryHandler(path, func(_ context.Context, r *connect.Request[T]) (*connect.Response[T], error) {
		return connect.NewResponse(r.Msg), nil
	})
}

func connectConnect(e endpoint) (func() (load.Caller, error), error) {
	client := &http.Client{Transport: &http.Transport{
		Protocols:   http2(),
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) { return e.dial(ctx) },
	}}
	return func() (load.Caller, error) {
		m := pb.Of(load.NewMessage())
		null := calling[pb.Empty](client, "Null")
		message := calling[pb.Message](client, "Message")
		bytes := calling[pb.Blob](client, "Bytes")
		return func(ctx context.Context, p load.Payload) error {
			switch p {
			case load.Nothing:
				return null(ctx, &pb.Empty{})
			case load.Struct:
				return message(ctx, m)
			}
			return bytes(ctx, &pb.Blob{Data: p.Bytes()})
		}, nil
	}, nil
}

func calling[T any](client *http.Client, method string) func(context.Context, *T) error {
	c := connect.NewClient[T, T](client, "http://bench/divisi.bench.Echo/"+method,
		connect.WithAcceptCompression("gzip", nil, nil))
	return func(ctx context.Context, in *T) error {
		_, err := c.CallUnary(ctx, connect.NewRequest(in))
		return err
	}
}
