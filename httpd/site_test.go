package httpd

import (
	"bufio"
	"bytes"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// listen serves a site at a loopback address until the test ends.
func listen(t *testing.T, s *Site) (address string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server := s.Server()
	var serving sync.WaitGroup
	serving.Go(func() { server.Serve(l) })
	t.Cleanup(func() {
		server.Close()
		serving.Wait()
	})
	return l.Addr().String()
}

// says sends a text as it is, and returns all that comes back until the server closes the connection.
func says(t *testing.T, address, text string) string {
	t.Helper()
	c, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	c.SetDeadline(time.Now().Add(30 * time.Second))
	_, _ = io.WriteString(c, text) // the server may have answered before it has read all
	reply, _ := io.ReadAll(c)
	return string(reply)
}

func text(s string) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { fmt.Fprint(w, s+" "+r.URL.Path) })
}

// TestHandlers: the longest path that fits has a request.
func TestHandlers(t *testing.T) {
	_, files := www(t, map[string]string{"index.html": "home", "apis": "file"})
	s := &Site{Files: files, Name: "httpd-0@/test", Handlers: map[string]http.Handler{
		"/api": text("api"), "/api/v2/": text("v2"), "/panics": http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path == "/panics/late" {
				fmt.Fprint(w, "half")
				w.(http.Flusher).Flush()
			}
			panic("no")
		}),
	}}
	for target, want := range map[string]string{
		"/": "home", "/apis": "file", "/api": "api /api", "/api/": "api /api/", "/api/v1": "api /api/v1",
		"/api/v2": "v2 /api/v2", "/api/v2/x": "v2 /api/v2/x", "/api/v22": "api /api/v22",
	} {
		w := ask(s, "GET", target)
		if w.Body.String() != want || w.Header().Get("X-Served-By") != "httpd-0@/test" {
			t.Errorf("%s: %q %v, want %q", target, w.Body, w.Header(), want)
		}
	}

	address := listen(t, s)
	if reply := says(t, address, "GET /panics/late HTTP/1.1\r\nHost: x\r\n\r\n"); !strings.HasSuffix(reply, "\r\n4\r\nhalf\r\n") {
		t.Errorf("a handler that panics in the middle: %q", reply)
	}
	reply := says(t, address, "GET / HTTP/1.1\r\nHost: x\r\n\r\nGET /panics HTTP/1.1\r\nHost: x\r\n\r\nGET /api HTTP/1.0\r\n\r\n")
	if !strings.Contains(reply, "home") || !strings.Contains(reply, " 500 ") || !strings.HasSuffix(reply, "api /api") {
		t.Errorf("three requests on one connection: %q", reply)
	}
	if w := ask(&Site{}, "GET", "/"); w.Code != 404 {
		t.Errorf("a site without anything: %d", w.Code)
	}
}

// TestHostile: a client that sends too much, too slowly, or takes nothing costs its own connection only.
func TestHostile(t *testing.T) {
	_, files := www(t, map[string]string{"index.html": "home", "large": strings.Repeat("x", 32<<20)})
	read := make(chan error, 10)
	s := &Site{Files: files, Patience: 300 * time.Millisecond, BodyMax: 1000, Handlers: map[string]http.Handler{
		"/read": http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			_, err := io.Copy(io.Discard, r.Body)
			read <- err
		}),
	}}
	address := listen(t, s)

	for name, c := range map[string]struct{ send, want string }{
		"a header of 1 MB":             {"GET / HTTP/1.1\r\nHost: x\r\nX: " + strings.Repeat("x", 1<<20) + "\r\n\r\n", "431 "},
		"a header that does not end":   {"GET / HTTP/1.1\r\nHost: x\r\nX: ", ""},
		"no header":                    {"", ""},
		"no request":                   {"\x16\x03\x01\r\n\r\n", "400 "},
		"two lengths":                  {"POST /read HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nxx", "400 "},
		"a length that is not written": {"POST /read HTTP/1.1\r\nHost: x\r\nContent-Length: 500\r\n\r\nxx", "200 "},
		"a body that is too long":      {"POST /read HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: 2000\r\n\r\n" + strings.Repeat("x", 2000), "200 "},
	} {
		reply := says(t, address, c.send)
		if !strings.Contains(reply, c.want) || c.want == "" && strings.Contains(reply, " 200 ") {
			t.Errorf("%s: %.100q, want %q", name, reply, c.want)
		}
	}
	var tooLarge *http.MaxBytesError
	failed := []error{<-read, <-read}
	if !errors.As(errors.Join(failed...), &tooLarge) || failed[0] == nil || failed[1] == nil {
		t.Errorf("the handlers have read %v", failed)
	}

	// One that takes nothing of a large file is given up.
	slow, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	defer slow.Close()
	fmt.Fprint(slow, "GET /large HTTP/1.1\r\nHost: x\r\n\r\n")
	given := make(chan int64)
	go func() {
		<-slowAnswer(t, address) // others are answered meanwhile
		time.AfterFunc(4*s.Patience, func() {
			n, _ := io.Copy(io.Discard, slow)
			given <- n
		})
	}()
	if n := <-given; n >= 32<<20 {
		t.Errorf("a client that took nothing for a long time was sent %d bytes", n)
	}
}

// slowAnswer asks for the home page, and closes the channel when it has come.
func slowAnswer(t *testing.T, address string) <-chan struct{} {
	done := make(chan struct{})
	go func() {
		defer close(done)
		reply, err := http.Get("http://" + address + "/")
		if err != nil {
			t.Error(err)
			return
		}
		reply.Body.Close()
	}()
	return done
}

// pipes is a listener whose connections are pipes, for bubbles.
type pipes struct {
	incoming chan net.Conn
	closed   chan struct{}
	once     sync.Once
}

func (l *pipes) Accept() (net.Conn, error) {
	select {
	case c := <-l.incoming:
		return c, nil
	case <-l.closed:
		return nil, net.ErrClosed
	}
}

func (l *pipes) Close() error {
	l.once.Do(func() { close(l.closed) })
	return nil
}

func (l *pipes) Addr() net.Addr { return &net.TCPAddr{} }

// TestPatient: a client that is slow, but takes or sends something all the time, is served; one that does not is not.
func TestPatient(t *testing.T) {
	_, files := www(t, map[string]string{"large": strings.Repeat("x", 8<<20)})
	synctest.Test(t, func(t *testing.T) {
		s := &Site{Files: files, Patience: 30 * time.Second, Handlers: map[string]http.Handler{
			"/echo": http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				words, err := io.ReadAll(r.Body)
				if err != nil {
					panic(http.ErrAbortHandler)
				}
				_, _ = w.Write(words)
			}),
		}}
		l := &pipes{incoming: make(chan net.Conn), closed: make(chan struct{})}
		server := s.Server()
		go server.Serve(l)
		defer synctest.Wait()
		defer server.Close()
		dial := func() net.Conn {
			ours, theirs := net.Pipe()
			l.incoming <- theirs
			return ours
		}

		for _, c := range []struct {
			pause time.Duration
			want  bool
		}{{20 * time.Second, true}, {40 * time.Second, false}} {
			slow := dial()
			go func() {
				fmt.Fprint(slow, "POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 60\r\n\r\n")
				for range 12 {
					time.Sleep(c.pause)
					if _, err := fmt.Fprint(slow, "word "); err != nil {
						return
					}
				}
			}()
			var body []byte
			reply, err := http.ReadResponse(bufio.NewReader(slow), nil)
			if err == nil {
				body, err = io.ReadAll(reply.Body)
			}
			if whole := err == nil && string(body) == strings.Repeat("word ", 12); whole != c.want {
				t.Errorf("a word every %v: %q, %v", c.pause, body, err)
			}
			slow.Close()

			taker := dial()
			fmt.Fprint(taker, "GET /large HTTP/1.1\r\nHost: x\r\n\r\n")
			reply, err = http.ReadResponse(bufio.NewReader(taker), nil)
			if err != nil {
				t.Fatal(err)
			}
			var all int64
			for err == nil && all < 8<<20 {
				time.Sleep(c.pause)
				var n int64
				n, err = io.CopyN(io.Discard, reply.Body, 1<<20)
				all += n
			}
			if whole := all == 8<<20; whole != c.want {
				t.Errorf("a MB every %v: %d bytes, %v", c.pause, all, err)
			}
			taker.Close()
		}
	})
}

// TestPrograms: Defect 14: what a program answers passes unchanged, and what it does not is an answer as well.
func TestPrograms(t *testing.T) {
	socket := filepath.Join(t.TempDir(), "s")
	l, err := net.Listen("unix", socket)
	if err != nil {
		t.Skipf("there are no Unix sockets here: %v", err)
	}
	hang := make(chan struct{})
	program := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/p/hang":
			<-hang
		case "/p/stream":
			fmt.Fprint(w, "first ")
			w.(http.Flusher).Flush()
			<-hang
		}
		body, _ := io.ReadAll(r.Body)
		w.Header().Set("X-Own", "yes")
		w.WriteHeader(http.StatusTeapot)
		fmt.Fprint(w, r.Method, r.RequestURI, r.Host, r.Header.Get("X-Forwarded-For"), r.Header.Get("X-Forwarded-Proto"), string(body))
	}))
	program.Listener.Close()
	program.Listener = l
	program.Start()

	handler, err := Program("unix:"+socket, 500*time.Millisecond)
	if err != nil {
		t.Fatal(err)
	}
	away, err := Program("unix:"+socket+".away", 0)
	if err != nil {
		t.Fatal(err)
	}
	s := &Site{Handlers: map[string]http.Handler{"/p": handler, "/away": away}, BodyMax: 10}
	address := listen(t, s)

	reply := says(t, address, "POST /p/a%2fb?x=%20 HTTP/1.1\r\nHost: site.example\r\nX-Forwarded-For: 9.9.9.9\r\nConnection: close\r\nContent-Length: 4\r\n\r\nbody")
	if !strings.Contains(reply, " 418 ") || !strings.Contains(reply, "X-Own: yes") ||
		!strings.HasSuffix(reply, "POST/p/a%2fb?x=%20site.example127.0.0.1httpbody") && !strings.Contains(reply, "POST/p/a%2fb?x=%20site.example127.0.0.1httpbody") {
		t.Errorf("%q", reply)
	}
	for request, want := range map[string]string{
		"GET /away HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n":                                                 " 502 ",
		"GET /p/hang HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n":                                               " 504 ",
		"POST /p/x HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: 11\r\n\r\n" + strings.Repeat("x", 11): " 413 ",
	} {
		if reply := says(t, address, request); !strings.Contains(reply, want) {
			t.Errorf("%.20q: %.60q, want %q", request, reply, want)
		}
	}

	c, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	fmt.Fprint(c, "GET /p/stream HTTP/1.1\r\nHost: x\r\n\r\n")
	stream, err := http.ReadResponse(bufio.NewReader(c), nil)
	if err != nil {
		t.Fatal(err)
	}
	first := make([]byte, 6)
	if _, err := io.ReadFull(stream.Body, first); err != nil || string(first) != "first " {
		t.Errorf("a stream begins with %q, %v", first, err)
	}
	close(hang)
	program.Close()

	for _, bad := range []string{"", "unix:", "unix:relative", "localhost:80", "ftp://x", "http://", "http://x/path", "http://u:p@x", "http://x?y", "::"} {
		if _, err := Program(bad, 0); err == nil {
			t.Errorf("%q is an address", bad)
		}
	}
}

// slowWriter takes nothing until it may.
type slowWriter struct {
	may  chan struct{}
	mu   sync.Mutex
	text bytes.Buffer
}

func (w *slowWriter) Write(p []byte) (int, error) {
	<-w.may
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.text.Write(p)
}

// TestAccessLog: a line for each request, that a client cannot break; a log that stands still holds nobody up.
func TestAccessLog(t *testing.T) {
	_, files := www(t, map[string]string{"index.html": "home"})
	out := &slowWriter{may: make(chan struct{})}
	s := &Site{Files: files, Log: out}
	ask(s, "GET", "/?q=1", "User-Agent: a\"b\nc\\d\x7fé", "Referer: http://x/")
	s.log.most = 10_000
	for range 500 {
		ask(s, "GET", "/")
	}
	if n := s.LogLost(); n == 0 || n > 500 {
		t.Errorf("%d lines are lost", s.LogLost())
	}
	close(out.may)
	s.Flush()
	ask(s, "HEAD", "/none")
	s.Flush()

	lines := strings.Split(strings.TrimSuffix(out.text.String(), "\n"), "\n")
	if n := len(lines) + int(s.LogLost()); n != 502 {
		t.Errorf("%d lines are written or lost", n)
	}
	if got := lines[0]; !strings.HasPrefix(got, "192.0.2.1 - - [") ||
		!strings.HasSuffix(got, `] "GET /?q=1 HTTP/1.1" 200 4 "http://x/" "a\x22b\x0Ac\x5Cd\x7F\xC3\xA9"`) {
		t.Errorf("line %q", got)
	}
	if got := lines[len(lines)-1]; !strings.Contains(got, `"HEAD /none HTTP/1.1" 404 `) {
		t.Errorf("line %q", got)
	}
}

// TestStoppedLog: a log that stands still holds up nobody who ends, and one that fails loses what it is given.
func TestStoppedLog(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		out := &slowWriter{may: make(chan struct{})}
		s := &Site{Log: out}
		ask(s, "GET", "/")
		begin := time.Now()
		s.Flush()
		if took := time.Since(begin); took != flushTime {
			t.Errorf("it has waited for %v", took)
		}
		close(out.may)
		synctest.Wait()
		s.Flush()
		if took := time.Since(begin); took != flushTime || out.text.Len() == 0 {
			t.Errorf("then after %v, with %q", took, out.text.String())
		}
	})
	s := &Site{Log: failing{}}
	ask(s, "GET", "/")
	s.Flush()
	if s.LogLost() != 1 {
		t.Errorf("%d lines are lost", s.LogLost())
	}
}

// failing takes nothing.
type failing struct{}

func (failing) Write([]byte) (int, error) { return 0, io.ErrShortWrite }

var idle = flag.Int("idle", 1000, "how many connections there are on which nothing is asked")

// TestIdle: connections on which nothing is asked keep nobody out: beyond the bound, the longest of them make room. One on
// which something is asked is not cut for that.
func TestIdle(t *testing.T) {
	_, files := www(t, map[string]string{"index.html": "home"})
	begun, end := make(chan bool), make(chan bool)
	s := &Site{Files: files, ConnectionsMax: *idle / 2, Handlers: map[string]http.Handler{
		"/waits": http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			close(begun)
			<-end
			fmt.Fprint(w, "waited")
		}),
	}}
	address := listen(t, s)
	waited := make(chan string, 1)
	go func() { waited <- says(t, address, "GET /waits HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n") }()
	<-begun

	for i := range *idle {
		c, err := net.Dial("tcp", address)
		if err != nil {
			t.Fatalf("with %d connections: %v", i, err)
		}
		defer c.Close()
	}
	if reply := says(t, address, "GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"); !strings.HasSuffix(reply, "home") {
		t.Errorf("beside them: %q", reply)
	}
	if open := s.Status().Connections; open > *idle/2+1 {
		t.Errorf("%d connections, more than %d", open, *idle/2)
	}
	close(end)
	if reply := <-waited; !strings.HasSuffix(reply, "waited") {
		t.Errorf("what was asked before: %q", reply)
	}
}

// TestAllBusy: while something is asked on all connections, a new one is closed.
func TestAllBusy(t *testing.T) {
	c := newConnections(2)
	a, b := net.Pipe()
	d, e := net.Pipe()
	for _, busy := range []net.Conn{a, b} {
		c.note(busy, http.StateNew)
		c.note(busy, http.StateActive)
	}
	if closing := c.note(d, http.StateNew); closing != d {
		t.Errorf("%v is closed for the new one", closing)
	}
	c.note(d, http.StateClosed)
	c.note(a, http.StateIdle)
	if closing := c.note(e, http.StateNew); closing != a || c.count() != 3 {
		t.Errorf("%v is closed, of %d", closing, c.count())
	}
	for _, one := range []net.Conn{a, b, e} {
		c.note(one, http.StateClosed)
	}
	if c.count() != 0 || len(c.waiting) != 0 || c.order.Len() != 0 {
		t.Errorf("left are %d, %d and %d", c.count(), len(c.waiting), c.order.Len())
	}
}

// TestGone: a client that hangs up costs its own request, at whatever point of it that is.
func TestGone(t *testing.T) {
	_, files := www(t, map[string]string{"index.html": "home", "large": strings.Repeat("x", 32<<20)})
	begun, ended := make(chan bool), make(chan bool, 1)
	s := &Site{Files: files, Handlers: map[string]http.Handler{
		"/waits": http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
			begun <- true
			<-r.Context().Done()
		}),
		"/reads": http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
			begun <- true
			_, _ = io.Copy(io.Discard, r.Body)
		}),
	}}
	server := s.Server()
	site := server.Handler
	server.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		defer func() { ended <- true }()
		site.ServeHTTP(w, r)
	})
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var serving sync.WaitGroup
	serving.Go(func() { server.Serve(l) })
	defer serving.Wait()
	defer server.Close()

	for _, c := range []struct{ what, ask string }{
		{"while a handler works", "GET /waits HTTP/1.1\r\nHost: x\r\n\r\n"},
		{"in the middle of a body", "POST /reads HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\nhalf"},
		{"in the middle of an answer", "GET /large HTTP/1.1\r\nHost: x\r\n\r\n"},
	} {
		client, err := net.Dial("tcp", l.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprint(client, c.ask)
		if strings.HasPrefix(c.ask, "GET /large") {
			_, err = io.CopyN(io.Discard, client, 1<<20)
		} else {
			<-begun
		}
		if err != nil {
			t.Fatal(err)
		}
		client.Close()
		<-ended
		reply := says(t, l.Addr().String(), "GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
		<-ended
		if !strings.HasSuffix(reply, "home") || s.Status().Busy != 0 {
			t.Errorf("after a client has gone %s: %q, and %d requests are busy", c.what, reply, s.Status().Busy)
		}
	}
}
