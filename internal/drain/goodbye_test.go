package drain

import (
	"context"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// TestGoodbye: a server is asked once to send its clients away, at the right time.
func TestGoodbye(t *testing.T) {
	const first, second = "PRI * HTTP/2.0\r\n", "POST / HTTP/1.1\r\n"
	for name, tc := range map[string]struct {
		any   bool
		conns []string // what their clients have sent in pieces
		want  time.Duration
		left  int // that are quiet, but of whom nobody knows that they are idle
	}{
		"nobody is left":           {false, nil, 0, 0},
		"HTTP/2 alone":             {false, []string{first, first}, 0, 0},
		"HTTP/2, in small pieces":  {false, []string{"P|R|I * ", "PR|I"}, 0, 0},
		"another protocol, too":    {false, []string{first, second}, drainTime / 2, 1},
		"almost HTTP/2":            {false, []string{"PR|x"}, drainTime / 2, 1},
		"HTTP/2 is not at the end": {false, []string{"x|PRI"}, drainTime / 2, 1},
		"any protocol":             {true, []string{first, second}, lameDuck, 2},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				mem := newMemListener()
				l := New(mem, nil)
				var said []time.Duration
				begun := time.Now()
				l.Leave(Goodbye{Any: tc.any, Say: func(context.Context) { said = append(said, time.Since(begun)) }})
				for _, text := range tc.conns {
					go func() {
						ours := mem.dial()
						defer ours.Close()
						for piece := range strings.SplitSeq(text, "|") {
							io.WriteString(ours, piece)
						}
						<-t.Context().Done()
					}()
					theirs, err := l.Accept()
					if err != nil {
						t.Fatal(err)
					}
					go io.Copy(io.Discard, theirs)
				}
				synctest.Wait()

				begun = time.Now()
				ctx, cancel := context.WithTimeout(t.Context(), drainTime)
				defer cancel()
				l.Drain(ctx)
				if left := l.Cut(); left != tc.left {
					t.Errorf("%d are left", left)
				}
				if len(said) != 1 || said[0].Round(lameDuck) != tc.want {
					t.Errorf("asked after %v, want %v", said, tc.want)
				}
			})
		})
	}
}

// TestGoodbyeReleasesAccept: a server that closes its listener, and waits for its own Serve to return
// before it sends clients away, can do so while the drain waits for them.
func TestGoodbyeReleasesAccept(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		mem := newMemListener()
		l := New(mem, nil)
		returned := make(chan struct{})
		gone := make(chan struct{})
		l.Leave(Goodbye{Any: true, Say: func(context.Context) {
			l.Close()
			<-returned
			close(gone)
		}})
		go func() {
			defer close(returned)
			c, err := l.Accept()
			if err != nil {
				t.Error(err)
				return
			}
			go func() {
				io.ReadFull(c, make([]byte, 1))
				<-gone
				c.Close()
			}()
			if _, err := l.Accept(); err != net.ErrClosed {
				t.Errorf("Accept: %v", err)
			}
		}()
		io.WriteString(mem.dial(), "x")
		synctest.Wait()

		l.Drain(t.Context())
		if left := l.Cut(); left != 0 {
			t.Errorf("%d are left", left)
		}
	})
}

// TestGoodbyeMixed: HTTP/2 is ended once the last request of HTTP/1 is answered, and not before: until
// then net/http would drop what comes.
func TestGoodbyeMixed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		mem := newMemListener()
		l := New(mem, nil)
		both := new(http.Protocols)
		both.SetHTTP1(true)
		both.SetUnencryptedHTTP2(true)
		returned := make(chan error, 1)
		go func() {
			returned <- HTTP(l, &http.Server{Handler: Handler(http.HandlerFunc(answer)), Protocols: both})(l)
		}()
		one, two := newClient(mem, protocols("HTTP/1.1", false)), newClient(mem, protocols("HTTP/2.0", false))
		defer one.CloseIdleConnections()
		defer two.CloseIdleConnections()
		fetch(t, two, false, "/now", "now", "HTTP/2.0")
		go fetch(t, one, false, "/late", "late", "HTTP/1.1")
		time.Sleep(time.Second)

		ctx, cancel := context.WithTimeout(t.Context(), drainTime)
		defer cancel()
		begun := time.Now()
		l.Drain(ctx)
		if left := l.Cut(); left != 0 {
			t.Errorf("%d are left", left)
		}
		if took := time.Since(begun); took < 14*time.Second || took > 14*time.Second+goAway+2*lameDuck {
			t.Errorf("drained after %v", took)
		}
		<-returned
	})
}

// TestTurns: where server and client take turns, a connection is idle when the server waits for the
// client's, and not while it works on an answer.
func TestTurns(t *testing.T) {
	for name, tc := range map[string]struct {
		turns, asks bool
		want        int
	}{
		"waiting":                      {true, false, 0},
		"working":                      {true, true, 1},
		"waiting, of another kind":     {false, false, 1},
		"working, in another server's": {false, true, 1},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				mem := newMemListener()
				l := New(mem, nil)
				if tc.turns {
					l.Turns()
				}
				stop := make(chan struct{})
				go func() {
					c, err := l.Accept()
					if err != nil {
						t.Error(err)
						return
					}
					defer c.Close()
					var b [1]byte
					for {
						if _, err := c.Read(b[:]); err != nil {
							return
						}
						if b[0] == '?' {
							<-stop
						}
						c.Write(b[:])
					}
				}()
				c := mem.dial()
				defer c.Close()
				io.WriteString(c, "x")
				io.ReadFull(c, make([]byte, 1))
				if tc.asks {
					io.WriteString(c, "?")
				}
				synctest.Wait()

				ctx, cancel := context.WithTimeout(t.Context(), drainTime)
				defer cancel()
				l.Drain(ctx)
				if left := l.Cut(); left != tc.want {
					t.Errorf("%d are left, want %d", left, tc.want)
				}
				close(stop)
				go io.Copy(io.Discard, c)
			})
		})
	}
}
