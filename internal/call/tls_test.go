package call_test

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/divisi-go/divisi/codegen"
	"github.com/divisi-go/divisi/internal/call"
	"github.com/divisi-go/divisi/internal/call/balance"
	"github.com/divisi-go/divisi/internal/call/calltest"
)

func TestMutualTLS(t *testing.T) {
	a, stranger := calltest.NewAuthority(t), calltest.NewAuthority(t)
	var log calltest.Log
	h := a.Serve(call.ServerOptions{Logger: log.Logger(), Lookup: func(p call.Peer, k codegen.Key) call.Handler {
		return func(_ context.Context, in *call.Incoming) call.Reply {
			if !p.Rights.May("alice") || p.Rights.May("bob") {
				return call.Reply{Status: codegen.StatusPanic}
			}
			return call.Reply{Body: in.Args}
		}
	}})
	for _, size := range []int{0, 1, 3 << 20} {
		p := newPool(t, balance.PoolOptions{TLS: a.Config("alice")}, h)
		if got := calltest.MustCall(t, p, &call.Request{Args: make([]byte, size)}); len(got) != size {
			t.Errorf("%d bytes come back as %d", size, len(got))
		}
	}
	strange := stranger.Config("alice")
	strange.RootCAs = a.Roots
	for name, config := range map[string]*tls.Config{
		"not authorized": a.Config("mallory"), "not certified": strange, "certified by nobody we know": stranger.Config("alice"),
	} {
		p := newPool(t, balance.PoolOptions{TLS: config}, h)
		ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
		if _, err := p.Call(ctx, &call.Request{}); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("%s: %v", name, err)
		}
		cancel()
		p.Close()
	}
	for range 20 { // a plain request to the port
		nc, err := net.Dial("tcp", h.Listener.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		nc.Write([]byte("GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"))
		for err == nil {
			_, err = nc.Read(make([]byte, 100))
		}
		nc.Close()
	}
	p := newPool(t, balance.PoolOptions{TLS: a.Config("bob")}, h)
	if reply, err := p.Call(t.Context(), &call.Request{}); err != nil || reply.Status != codegen.StatusPanic {
		t.Errorf("bob has the rights of alice: %v, %v", reply.Status, err)
	}
	calltest.Eventually(t, "the refusals are counted", func() bool { return h.Stats().Refused >= 22 })
	if text := log.String(); strings.Count(text, "\n") != 1 {
		t.Errorf("log: %s", text)
	}
}
