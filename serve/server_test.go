package serve

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/divisi-go/divisi/internal/call/memnet"
)

// graceful is a server like those of gRPC: it ends its connections itself, but only after its Serve has
// had an error from Accept. Its connections last as long as it says.
type graceful struct {
	lasts time.Duration
	mu    sync.Mutex // guards l and quit
	l     net.Listener
	quit  bool
	loop  sync.WaitGroup
	conns sync.WaitGroup
	ends  chan struct{} // closed when connections are to end
	stops chan struct{} // closed when they must
}

func newGraceful(lasts time.Duration) *graceful {
	return &graceful{lasts: lasts, ends: make(chan struct{}), stops: make(chan struct{})}
}

func (s *graceful) Serve(l net.Listener) error {
	s.loop.Add(1)
	defer s.loop.Done()
	s.mu.Lock()
	s.l = l
	s.mu.Unlock()
	for {
		c, err := l.Accept()
		if err != nil {
			s.mu.Lock()
			defer s.mu.Unlock()
			if s.quit {
				return nil
			}
			return errors.New("Accept failed, but nobody has stopped the server")
		}
		s.conns.Go(func() {
			defer c.Close()
			io.ReadFull(c, make([]byte, 1))
			<-s.ends
			select {
			case <-time.After(s.lasts):
				io.WriteString(c, "done")
			case <-s.stops:
			}
		})
	}
}

func (s *graceful) GracefulStop() {
	s.mu.Lock()
	s.quit = true
	s.l.Close()
	s.mu.Unlock()
	s.loop.Wait()
	close(s.ends)
	s.conns.Wait()
}

func (s *graceful) Stop() { close(s.stops) }

// shutdown is such a server with the method of net/http.
type shutdown struct{ *graceful }

func (s shutdown) GracefulStop(string) {} // another method

func (s shutdown) Shutdown(ctx context.Context) error {
	defer context.AfterFunc(ctx, s.Stop)()
	s.graceful.GracefulStop()
	return ctx.Err()
}

// stubborn is a server of HTTP whose handler takes long.
func stubborn(takes time.Duration) *http.Server {
	return &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		select {
		case <-time.After(takes):
			io.WriteString(w, "done")
		case <-r.Context().Done():
		}
	})}
}

// TestServerEnd: what is served when the end begins is served to its end, or cut when time is up, and
// then the error says how much.
func TestServerEnd(t *testing.T) {
	const request = "GET / HTTP/1.1\r\nHost: x\r\n\r\n"
	for name, tc := range map[string]struct {
		server func(takes time.Duration) interface{ Serve(net.Listener) error }
		// text is what the error says when time is up.
		text string
	}{
		"net/http": {func(takes time.Duration) interface{ Serve(net.Listener) error } { return stubborn(takes) },
			"the server of web has cut 1 connections, which had not ended after 27s"},
		"GracefulStop": {func(takes time.Duration) interface{ Serve(net.Listener) error } { return newGraceful(takes) }, ""},
		"Shutdown":     {func(takes time.Duration) interface{ Serve(net.Listener) error } { return shutdown{newGraceful(takes)} }, ""},
	} {
		for _, takes := range []time.Duration{10 * time.Second, time.Minute} {
			t.Run(name+" "+takes.String(), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					network := memnet.New()
					l := network.Listen("web")
					ctx, cancel := context.WithCancel(t.Context())
					ended := make(chan error, 1)
					go func() { ended <- Run(ctx, Server(l, tc.server(takes))) }()
					c, err := network.Dial(t.Context(), "web")
					if err != nil {
						t.Fatal(err)
					}
					defer c.Close()
					io.WriteString(c, request)
					synctest.Wait()
					cancel()
					answer, _ := io.ReadAll(c)
					err = <-ended
					served := strings.HasSuffix(string(answer), "done")
					switch late := takes > defaultLimit; {
					case served == late:
						t.Errorf("the answer is %q", answer)
					case late && tc.text != "" && (err == nil || err.Error() != tc.text):
						t.Errorf("the error is %v", err)
					case !late && err != nil:
						t.Error(err)
					}
				})
			})
		}
	}
}
