// Package listen serves gRPC and HTTP at one address.
package listen

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"net"
	"net/http"
	"sync"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
)

// greeting bounds how long a new connection may take to say what it speaks.
const greeting = 10 * time.Second

// farewell bounds how long what was asked before the end may take. idle is how long a connection of HTTP stays that asks
// nothing.
const (
	farewell = 5 * time.Second
	idle     = 5 * time.Minute
)

// preface is how a connection begins that speaks HTTP/2.
const preface = "PRI "

// Serve serves connections of l until the context ends, and closes l: those that speak HTTP/2 by g, the others by
// h. Where config is not nil, all of them are encrypted. What was asked before the end is answered.
func Serve(ctx context.Context, l net.Listener, config *tls.Config, g *grpc.Server, h http.Handler) error {
	s := &splitter{
		config: encrypted(config),
		calls:  newQueue(l.Addr()), pages: newQueue(l.Addr()),
	}
	asked, cut := context.WithCancel(context.WithoutCancel(ctx))
	defer cut()
	pages := &http.Server{
		Handler: h, ReadHeaderTimeout: greeting, IdleTimeout: idle,
		BaseContext: func(net.Listener) context.Context { return asked },
	}

	stop := context.AfterFunc(ctx, func() { _ = l.Close() })
	defer stop()
	var serving sync.WaitGroup
	serving.Go(func() { _ = g.Serve(s.calls) })
	serving.Go(func() { _ = pages.Serve(s.pages) })

	err := s.accept(ctx, l)
	leave(asked, cut, g, pages)
	_ = s.calls.Close()
	_ = s.pages.Close()
	serving.Wait()
	s.greeting.Wait()
	if ctx.Err() != nil && errors.Is(err, net.ErrClosed) {
		return nil
	}
	return err
}

// leave ends servers, when what was asked of them is answered. What has no end, as a watch, is cut by cut.
func leave(asked context.Context, cut func(), g *grpc.Server, pages *http.Server) {
	time.AfterFunc(farewell/5, cut)
	goodbye, cancel := context.WithTimeout(context.WithoutCancel(asked), farewell)
	defer cancel()
	var leaving sync.WaitGroup
	leaving.Go(func() {
		if pages.Shutdown(goodbye) != nil {
			_ = pages.Close()
		}
	})
	answered := make(chan struct{})
	go func() {
		g.GracefulStop() // for ever, if a call does not end
		close(answered)
	}()
	select {
	case <-answered:
	case <-goodbye.Done():
		g.Stop()
	}
	leaving.Wait()
}

func encrypted(config *tls.Config) *tls.Config {
	if config == nil {
		return nil
	}
	config = config.Clone()
	config.NextProtos = []string{"http/1.1", "h2"} // clients of gRPC want only the second, and others speak the first
	config.MinVersion = max(config.MinVersion, tls.VersionTLS12)
	return config
}

// splitter gives connections to who speaks their protocol.
type splitter struct {
	config       *tls.Config
	calls, pages *queue
	greeting     sync.WaitGroup
}

// accept accepts until the listener is closed. What a process may run out of, as descriptors, comes back.
func (s *splitter) accept(ctx context.Context, l net.Listener) error {
	wait := 5 * time.Millisecond
	for {
		c, err := l.Accept()
		switch {
		case err == nil:
			wait = 5 * time.Millisecond
			s.greeting.Go(func() { s.greet(ctx, c) })
		case errors.Is(err, net.ErrClosed):
			return err
		default:
			select {
			case <-time.After(wait):
				wait = min(2*wait, time.Second)
			case <-ctx.Done():
			}
		}
	}
}

// greet finds out what a connection speaks.
func (s *splitter) greet(ctx context.Context, c net.Conn) {
	ctx, cancel := context.WithTimeout(ctx, greeting)
	defer cancel()
	stop := context.AfterFunc(ctx, func() { _ = c.Close() })

	var next net.Conn
	var calls bool
	if s.config != nil {
		t := tls.Server(c, s.config)
		err := t.HandshakeContext(ctx)
		if err != nil {
			_ = c.Close()
			return
		}
		next, calls = t, t.ConnectionState().NegotiatedProtocol == "h2"
	} else {
		r := bufio.NewReaderSize(c, len(preface)) // as little as there is; what comes later passes it by
		begin, err := r.Peek(len(preface))
		if err != nil {
			_ = c.Close()
			return
		}
		next, calls = &peeked{c, r}, string(begin) == preface
	}

	if !stop() {
		return // it was closed
	}
	to := s.pages
	if calls {
		to = s.calls
	}
	to.put(next)
}

// peeked is a connection of which something was read before.
type peeked struct {
	net.Conn
	r *bufio.Reader
}

func (p *peeked) Read(b []byte) (int, error) { return p.r.Read(b) }

// queue is a listener of connections that were accepted before.
type queue struct {
	addr  net.Addr
	conns chan net.Conn
	done  chan struct{}
	once  sync.Once
}

func newQueue(addr net.Addr) *queue {
	return &queue{addr: addr, conns: make(chan net.Conn), done: make(chan struct{})}
}

func (q *queue) put(c net.Conn) {
	select {
	case q.conns <- c:
	case <-q.done:
		_ = c.Close()
	}
}

func (q *queue) Accept() (net.Conn, error) {
	select {
	case c := <-q.conns:
		return c, nil
	case <-q.done:
		return nil, net.ErrClosed
	}
}

func (q *queue) Close() error {
	q.once.Do(func() { close(q.done) })
	return nil
}

func (q *queue) Addr() net.Addr { return q.addr }

// Accepted are the credentials of a gRPC server that gets its connections from Serve: the handshake is over, and
// calls see the certificate of the client.
func Accepted() credentials.TransportCredentials { return accepted{} }

type accepted struct{}

func (accepted) ServerHandshake(c net.Conn) (net.Conn, credentials.AuthInfo, error) {
	t, ok := c.(*tls.Conn)
	if !ok {
		return c, nil, nil
	}
	return c, credentials.TLSInfo{
		State:          t.ConnectionState(),
		CommonAuthInfo: credentials.CommonAuthInfo{SecurityLevel: credentials.PrivacyAndIntegrity},
	}, nil
}

func (accepted) ClientHandshake(context.Context, string, net.Conn) (net.Conn, credentials.AuthInfo, error) {
	return nil, nil, errors.New("these are credentials of a server")
}

func (accepted) Info() credentials.ProtocolInfo {
	return credentials.ProtocolInfo{SecurityProtocol: "tls"}
}
func (a accepted) Clone() credentials.TransportCredentials { return a }
func (accepted) OverrideServerName(string) error           { return nil }
