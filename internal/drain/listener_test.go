package drain

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// memListener hands out the server's ends of net.Pipe. What is dialled before it closes is
// accepted, however late.
type memListener struct {
	conns  chan net.Conn
	closed chan struct{}
	once   sync.Once
	late   func() // called between the arrival of a connection and its hand-over
}

func newMemListener() *memListener {
	return &memListener{conns: make(chan net.Conn), closed: make(chan struct{})}
}

func (l *memListener) dial() net.Conn {
	ours, theirs := net.Pipe()
	l.conns <- theirs
	return ours
}

func (l *memListener) Accept() (net.Conn, error) {
	select {
	case c := <-l.conns:
		if l.late != nil {
			l.late()
		}
		return c, nil
	case <-l.closed:
		return nil, errors.New("the inner listener is closed")
	}
}

func (l *memListener) Close() error {
	l.once.Do(func() { close(l.closed) })
	return nil
}

func (l *memListener) Addr() net.Addr { return &net.UnixAddr{Name: "mem"} }

// instrumented does what divisi.InstrumentHandler does for the listener.
func instrumented(h http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		c := r.Context().Value(http.LocalAddrContextKey).(Addr)
		defer c.Request(r, w.Header())()
		h(w, r)
	}
}

// serveHTTP serves a handler over a listener that can be drained, in a bubble.
func serveHTTP(h http.HandlerFunc) (mem *memListener, l *Listener, returned chan error) {
	mem = newMemListener()
	l = New(mem, nil)
	returned = make(chan error, 1)
	go func() { returned <- http.Serve(l, h) }()
	return mem, l, returned
}

// get sends a request; the response comes when it is read.
func get(c net.Conn) *bufio.Reader {
	fmt.Fprint(c, "GET / HTTP/1.1\r\nHost: x\r\n\r\n")
	return bufio.NewReader(c)
}

func body(t *testing.T, r *bufio.Reader) (string, *http.Response) {
	t.Helper()
	resp, err := http.ReadResponse(r, nil)
	if err != nil {
		t.Fatal(err)
	}
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(text), resp
}

// TestDrain: connections that wait for an answer get it; the others, when they are quiet, end.
func TestDrain(t *testing.T) {
	for name, tc := range map[string]struct {
		handler http.HandlerFunc
		want    string
		takes   time.Duration
	}{
		"at once": {func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "ok") }, "ok", lameDuck},
		"slow": {func(w http.ResponseWriter, _ *http.Request) {
			time.Sleep(10 * time.Second)
			io.WriteString(w, "ok")
		}, "ok", 10*time.Second + lameDuck},
		"slow, instrumented": {instrumented(func(w http.ResponseWriter, _ *http.Request) {
			time.Sleep(10 * time.Second)
			io.WriteString(w, "ok")
		}), "ok", 10*time.Second + lameDuck},
		"in pieces, instrumented": {instrumented(func(w http.ResponseWriter, _ *http.Request) {
			for range 3 {
				io.WriteString(w, "piece ")
				w.(http.Flusher).Flush()
				time.Sleep(10 * lameDuck)
			}
		}), "piece piece piece ", 30*lameDuck + lameDuck},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				mem, l, returned := serveHTTP(tc.handler)
				idle, fresh, busy := mem.dial(), mem.dial(), mem.dial()
				defer fresh.Close()
				defer busy.Close()
				time.Sleep(time.Second)
				if got, _ := body(t, get(idle)); got != tc.want {
					t.Errorf("before: %q", got)
				}
				time.Sleep(time.Second)
				begin := time.Now()
				reading := get(busy)
				synctest.Wait()
				drained := make(chan struct{})
				go func() { l.Drain(t.Context()); close(drained) }()
				if got, _ := body(t, reading); got != tc.want {
					t.Errorf("while it drains: %q", got)
				}
				if n, err := idle.Read(make([]byte, 1)); err != io.EOF || n != 0 {
					t.Errorf("the idle connection: %d, %v", n, err)
				}
				if err := <-returned; err != net.ErrClosed {
					t.Errorf("http.Serve: %v", err)
				}
				<-drained
				if took := time.Since(begin).Round(lameDuck / 2); took != tc.takes {
					t.Errorf("drained after %v, want %v", took, tc.takes)
				}
				if _, err := l.Accept(); err != net.ErrClosed {
					t.Errorf("Accept after it: %v", err)
				}
				l.Drain(t.Context())
			})
		})
	}
}

// TestDrainAsksToClose: clients learn that they shall go, once.
func TestDrainAsksToClose(t *testing.T) {
	plain := func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "ok") }
	for name, h := range map[string]http.HandlerFunc{
		"plain": plain, "instrumented": instrumented(plain),
		"large": func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", "100000")
			for range 100_000 / 10 {
				io.WriteString(w, "HTTP/1.1 \r")
			}
		},
	} {
		synctest.Test(t, func(t *testing.T) {
			mem, l, returned := serveHTTP(h)
			c := mem.dial()
			before, resp := body(t, get(c))
			if resp.Close || len(before) == 0 {
				t.Errorf("%s: before the end, the response asks to close: %v", name, resp.Header)
			}
			go l.Drain(t.Context())
			synctest.Wait()
			for range 2 {
				after, resp := body(t, get(c))
				if !resp.Close || after != before {
					t.Errorf("%s: while it drains, the response does not ask to close: %v", name, resp.Header)
				}
				if name == "instrumented" {
					break // the server itself closes it
				}
			}
			<-returned
		})
	}
}

// TestDrainUpgrade: what changes to another protocol is not asked to close.
func TestDrainUpgrade(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		mem, l, returned := serveHTTP(instrumented(func(w http.ResponseWriter, _ *http.Request) {
			time.Sleep(time.Second)
			w.Header().Add("Connection", "Upgrade")
			w.WriteHeader(http.StatusSwitchingProtocols)
		}))
		for _, c := range []net.Conn{mem.dial(), mem.dial()} {
			defer c.Close()
			fmt.Fprint(c, "GET / HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: chat\r\n\r\n")
			resp, err := http.ReadResponse(bufio.NewReader(c), nil)
			if err != nil {
				t.Fatal(err)
			}
			if got := resp.Header.Values("Connection"); len(got) != 1 || got[0] != "Upgrade" {
				t.Errorf("the connection is asked to %q", got)
			}
			go l.Drain(t.Context())
			synctest.Wait()
		}
		<-returned
	})
}

func TestClosing(t *testing.T) {
	for in, want := range map[string]string{
		"HTTP/1.1 200 OK\r\nA: b\r\n\r\nbody\r\n": "HTTP/1.1 200 OK\r\nConnection: close\r\nA: b\r\n\r\nbody\r\n",
		"HTTP/1.1 404 Not Found\r\n\r\n":          "HTTP/1.1 404 Not Found\r\nConnection: close\r\n\r\n",
		"HTTP/1.1 100 Continue\r\n\r\n":           "HTTP/1.1 100 Continue\r\n\r\n",
		"HTTP/1.1 101 Switching\r\n\r\n":          "HTTP/1.1 101 Switching\r\n\r\n",
		"HTTP/1.0 200 OK\r\n\r\n":                 "HTTP/1.0 200 OK\r\n\r\n",
		"HTTP/1.1 200 OK":                         "HTTP/1.1 200 OK",
		"\x16\x03\r\n":                            "\x16\x03\r\n",
		"":                                        "",
	} {
		if got := string(closing([]byte(in))); got != want {
			t.Errorf("%q becomes %q, want %q", in, got, want)
		}
	}
}

// TestDrainNewConnection: a connection that was being accepted when the drain began is served.
func TestDrainNewConnection(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		mem, l, returned := serveHTTP(func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "ok") })
		mem.late = func() { time.Sleep(time.Minute) }
		c := mem.dial()
		go l.Drain(t.Context())
		time.Sleep(time.Minute + lameDuck/2)
		if got, _ := body(t, get(c)); got != "ok" {
			t.Errorf("got %q", got)
		}
		select {
		case err := <-returned:
			t.Errorf("http.Serve returned before the connection had ended: %v", err)
		default:
		}
		<-returned
	})
}

// TestDrainTime: a connection that never ends is left when time is up.
// TestUnread: a request that the server has not come to read is not dropped, however long a drain has looked.
func TestUnread(t *testing.T) {
	inner, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l := New(inner, nil)
	defer l.Close()
	client, err := net.Dial("tcp", inner.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	server, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer server.Close()
	if _, err := client.Write([]byte("GET")); err != nil {
		t.Fatal(err)
	}
	waitFor(t, "what the client has sent", func() bool { return unread(server.(*conn).Conn) })

	for range looks + 1 {
		if left, _ := l.closeIdle(time.Now(), never); left != 1 {
			t.Fatal("a connection with a request was closed")
		}
	}
	if _, err := io.ReadFull(server, make([]byte, 3)); err != nil {
		t.Fatal(err)
	}
	if unread(server.(*conn).Conn) {
		t.Error("nothing is unread any more")
	}
}

func TestDrainTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		stuck := make(chan struct{})
		mem, l, returned := serveHTTP(func(http.ResponseWriter, *http.Request) { <-stuck })
		c := mem.dial()
		get(c)
		synctest.Wait()
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		begin := time.Now()
		l.Drain(ctx)
		if took := time.Since(begin); took != time.Minute {
			t.Errorf("drained after %v", took)
		}
		if err := <-returned; err != net.ErrClosed {
			t.Errorf("http.Serve: %v", err)
		}
		close(stuck)
		c.Close()
	})
}

// TestListenerClose: closed by the application, it ends like any other.
func TestListenerClose(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, l, returned := serveHTTP(nil)
		synctest.Wait()
		l.Close()
		if err := <-returned; err != net.ErrClosed {
			t.Errorf("http.Serve: %v", err)
		}
		l.Drain(t.Context())
		l.Close()
	})
	// An error of another kind is handed on.
	broken := New(brokenListener{newMemListener()}, nil)
	if _, err := broken.Accept(); err != errWrong {
		t.Errorf("Accept: %v", err)
	}
}

type brokenListener struct{ net.Listener }

var errWrong = errors.New("wrong")

func (brokenListener) Accept() (net.Conn, error) { return nil, errWrong }

// waitFor polls until cond, for at most half a minute.
func waitFor(t *testing.T, what string, cond func() bool) {
	t.Helper()
	for range 30_000 {
		if cond() {
			return
		}
		time.Sleep(time.Millisecond)
	}
	t.Errorf("no %s", what)
}

// sharedSocket returns two listeners of one socket, as two replicas have it.
func sharedSocket(t *testing.T) (one, other net.Listener) {
	one, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	file, err := one.(*net.TCPListener).File()
	if err != nil {
		t.Skipf("sockets cannot be shared here: %v", err)
	}
	defer file.Close()
	if other, err = net.FileListener(file); err != nil {
		t.Fatal(err)
	}
	return one, other
}

// TestPause: a replica that is not ready leaves connections to the other, and those that wait while
// no replica is ready are served later.
func TestPause(t *testing.T) {
	socket, other := sharedSocket(t)
	l, rest := New(socket, nil), New(other, nil)
	accepted := make(chan *Listener)
	var accepts sync.WaitGroup
	for _, l := range []*Listener{l, rest} {
		accepts.Go(func() {
			for {
				c, err := l.Accept()
				if err != nil {
					return
				}
				c.Close()
				accepted <- l
			}
		})
	}
	by := func() *Listener {
		t.Helper()
		c, err := net.Dial("tcp", socket.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		c.Close()
		return <-accepted
	}
	// An Accept that is under way while its listener is paused may yet return one connection.
	l.Pause(true)
	l.Pause(true)
	strays := 0
	for range 100 {
		if by() != rest {
			strays++
		}
	}
	if strays > 1 {
		t.Fatalf("a paused listener accepts %d of 100 connections", strays)
	}
	rest.Pause(true)
	waiting, err := net.Dial("tcp", socket.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer waiting.Close()
	l.Pause(false)
	l.Pause(false)
	strays = 0
	for range 100 {
		if <-accepted != l {
			strays++
		}
		if c, err := net.Dial("tcp", socket.Addr().String()); err == nil {
			c.Close()
		}
	}
	if <-accepted; strays > 1 {
		t.Fatalf("the other listener is paused, and accepts %d of 100 connections", strays)
	}
	l.Pause(true)
	rest.Close()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	l.Drain(ctx) // wakes what is paused
	l.Pause(true)
	accepts.Wait()
}

// TestDrainUnderLoad drains one of two servers of a socket, as two replicas have it, while
// clients with and without connections of their own send requests: none is lost.
func TestDrainUnderLoad(t *testing.T) {
	for name, wrap := range map[string]func(http.HandlerFunc) http.HandlerFunc{
		"plain":        func(h http.HandlerFunc) http.HandlerFunc { return h },
		"instrumented": instrumented,
	} {
		t.Run(name, func(t *testing.T) {
			socket, other := sharedSocket(t)
			var inFlight, first, second atomic.Int64
			handler := func(count *atomic.Int64) http.HandlerFunc {
				return func(w http.ResponseWriter, r *http.Request) {
					inFlight.Add(1)
					defer inFlight.Add(-1)
					count.Add(1)
					io.Copy(w, r.Body)
				}
			}
			draining := New(socket, nil)
			returned := make(chan error, 1)
			leaving := &http.Server{Handler: wrap(handler(&first))}
			go func() { returned <- leaving.Serve(draining) }()
			staying := &http.Server{Handler: handler(&second)}
			go staying.Serve(other)
			defer staying.Close()

			stop := make(chan struct{})
			var clients sync.WaitGroup
			for i := range 8 {
				clients.Go(func() {
					client := http.Client{Transport: &http.Transport{DisableKeepAlives: i%2 == 0}}
					defer client.CloseIdleConnections()
					for n := 0; ; n++ {
						select {
						case <-stop:
							return
						default:
						}
						want := fmt.Sprint(i, n)
						req, _ := http.NewRequest("PUT", "http://"+other.Addr().String(), strings.NewReader(want))
						resp, err := client.Do(req)
						if err != nil {
							t.Errorf("request %s is lost: %v", want, err)
							return
						}
						got, err := io.ReadAll(resp.Body)
						resp.Body.Close()
						if err != nil || string(got) != want {
							t.Errorf("request %s: %q, %v", want, got, err)
						}
					}
				})
			}
			waitFor(t, "requests", func() bool { return first.Load() >= 100 })
			draining.Drain(t.Context())
			if err := <-returned; err != net.ErrClosed {
				t.Errorf("Serve: %v", err)
			}
			served := first.Load()
			at := second.Load()
			waitFor(t, "requests of the other server", func() bool { return second.Load() >= at+100 })
			close(stop)
			clients.Wait()
			if first.Load() != served || inFlight.Load() != 0 {
				t.Errorf("%d requests after Serve had returned, %d never ended", first.Load()-served, inFlight.Load())
			}
		})
	}
}
