package listen

import (
	"context"
	"io"
	"net"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc"
)

// pipes is a listener of connections in memory.
type pipes chan net.Conn

func (p pipes) Accept() (net.Conn, error) {
	c, open := <-p
	if !open {
		return nil, net.ErrClosed
	}
	return c, nil
}

func (p pipes) Close() error {
	close(p)
	return nil
}

func (p pipes) Addr() net.Addr { return &net.TCPAddr{} }

func (p pipes) dial() net.Conn {
	client, server := net.Pipe()
	p <- server
	return client
}

// TestSilence: a connection that does not say what it speaks is closed, and so is one that begins to.
func TestSilence(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		l := make(pipes)
		served := make(chan error, 1)
		go func() { served <- Serve(ctx, l, nil, grpc.NewServer(), http.NotFoundHandler()) }()

		begin := time.Now()
		for _, said := range []string{"", "P", "PRI", "GET / HT"} {
			c := l.dial()
			if said != "" {
				if _, err := io.WriteString(c, said); err != nil {
					t.Fatal(err)
				}
			}
			_, err := io.ReadAll(c)
			if took := time.Since(begin); err != nil || took > 2*greeting {
				t.Errorf("a connection that says %q is closed after %v: %v", said, took, err)
			}
			begin = time.Now()
		}
		cancel()
		if err := <-served; err != nil {
			t.Error(err)
		}
	})
}
