package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// scripted is a server that treats every connection as a function says, which gets a reader of
// requests. It counts what comes.
type scripted struct {
	listener    net.Listener
	connections atomic.Int32
	requests    atomic.Int32
}

func serve(t *testing.T, talk func(c net.Conn, next func() *http.Request)) *scripted {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { listener.Close() })
	s := &scripted{listener: listener}
	go func() {
		for {
			c, err := listener.Accept()
			if err != nil {
				return
			}
			s.connections.Add(1)
			go func() {
				defer c.Close()
				reader := bufio.NewReader(c)
				talk(c, func() *http.Request {
					r, err := http.ReadRequest(reader)
					if err != nil {
						return nil
					}
					if _, err := io.Copy(io.Discard, r.Body); err != nil {
						return nil
					}
					s.requests.Add(1)
					return r
				})
			}()
		}
	}()
	return s
}

func (s *scripted) client(t *testing.T, once bool) *client {
	t.Helper()
	to, err := parseTarget("http://"+s.listener.Addr().String(), 10*time.Second)
	if err != nil {
		t.Fatal(err)
	}
	c := &client{target: to, once: once, cookies: map[string]string{}}
	t.Cleanup(c.close)
	return c
}

const ok = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"

// polite answers every request.
func polite(c net.Conn, next func() *http.Request) {
	for next() != nil {
		fmt.Fprint(c, ok)
	}
}

func TestConnectionsAreKeptOrNot(t *testing.T) {
	for once, want := range map[bool]int32{false: 1, true: 5} {
		s := serve(t, polite)
		c := s.client(t, once)
		for i := range 5 {
			a, x, err := c.do("GET", "/", nil)
			if err != nil || string(a.body) != "ok" || x.reused != (!once && i > 0) || !x.written || !x.firstByte {
				t.Fatalf("once %v: %+v, %+v, %v", once, a, x, err)
			}
			if x.remote != s.listener.Addr().String() || x.local == "" {
				t.Errorf("from %s to %s", x.local, x.remote)
			}
		}
		if got := s.connections.Load(); got != want {
			t.Errorf("once %v: %d connections, want %d", once, got, want)
		}
	}
}

func TestRequest(t *testing.T) {
	got := make(chan *http.Request, 1)
	s := serve(t, func(c net.Conn, next func() *http.Request) {
		r := next()
		if err := r.ParseForm(); err != nil {
			t.Error(err)
		}
		got <- r
		fmt.Fprint(c, "HTTP/1.1 303 See Other\r\nLocation: /cart\r\nSet-Cookie: a=3; Path=/\r\nContent-Length: 0\r\n\r\n")
	})
	c := s.client(t, false)
	c.cookies = map[string]string{"b": "2", "a": "1"}
	a, _, err := c.do("POST", "/x?y=z", url.Values{"q": {"ä b"}})
	if err != nil || a.status != 303 || a.header.Get("Location") != "/cart" || c.cookies["a"] != "3" {
		t.Errorf("%+v, cookies %v, %v", a, c.cookies, err)
	}
	r := <-got
	if r.Method != "POST" || r.URL.String() != "/x?y=z" || r.Header.Get("Cookie") != "a=1; b=2" ||
		r.ContentLength != int64(len("q=%C3%A4+b")) || r.Host != s.listener.Addr().String() {
		t.Errorf("request %+v", r)
	}
}

// TestNothingIsSentTwice breaks connections at every moment. Each time exactly one request has
// come to the server, and the client knows how far it got.
func TestNothingIsSentTwice(t *testing.T) {
	for _, test := range []struct {
		name      string
		talk      func(c net.Conn, next func() *http.Request)
		before    int // requests that go well
		kind      string
		firstByte bool
	}{
		{
			name: "closed at the first request",
			talk: func(_ net.Conn, next func() *http.Request) { next() },
			kind: kindSilent,
		},
		{
			name: "closed at the second request",
			talk: func(c net.Conn, next func() *http.Request) {
				next()
				fmt.Fprint(c, ok)
				next()
			},
			before: 1, kind: kindSilent,
		},
		{
			name: "closed within the header",
			talk: func(c net.Conn, next func() *http.Request) {
				next()
				fmt.Fprint(c, "HTTP/1.1 200 OK\r\nConte")
			},
			kind: kindCut, firstByte: true,
		},
		{
			name: "closed within the body",
			talk: func(c net.Conn, next func() *http.Request) {
				next()
				fmt.Fprint(c, "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf")
			},
			kind: kindCut, firstByte: true,
		},
		{
			name: "not HTTP",
			talk: func(c net.Conn, next func() *http.Request) {
				next()
				fmt.Fprint(c, "SSH-2.0-OpenSSH_9.2\r\n")
			},
			kind: kindCut, firstByte: true,
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			s := serve(t, test.talk)
			c := s.client(t, false)
			for range test.before {
				if _, _, err := c.do("GET", "/", nil); err != nil {
					t.Fatal(err)
				}
			}
			_, x, err := c.do("GET", "/", nil)
			var f *failure
			if !errors.As(err, &f) || f.kind != test.kind {
				t.Errorf("error %v, want %q", err, test.kind)
			}
			if !x.written || x.firstByte != test.firstByte || x.reused != (test.before > 0) {
				t.Errorf("exchange %+v", x)
			}
			if got := s.requests.Load(); got != int32(test.before+1) {
				t.Errorf("%d requests were sent, want %d", got, test.before+1)
			}
		})
	}
}

// TestClosedBetweenRequests lets the server close an idle connection: no request was lost, so
// the next one goes well on a new connection.
func TestClosedBetweenRequests(t *testing.T) {
	s := serve(t, func(c net.Conn, next func() *http.Request) {
		if next() != nil {
			fmt.Fprint(c, ok)
		}
	})
	c := s.client(t, false)
	for i := range 3 {
		if _, x, err := c.do("GET", "/", nil); err != nil || x.reused {
			t.Fatalf("request %d: %+v, %v", i, x, err)
		}
		c.conn.first <- <-c.conn.first // the end has come
	}
	if got := s.requests.Load(); got != 3 {
		t.Errorf("%d requests, want 3", got)
	}
}

func TestTimeout(t *testing.T) {
	s := serve(t, func(_ net.Conn, next func() *http.Request) {
		for next() != nil {
		}
	})
	c := s.client(t, false)
	c.target.timeout = 50 * time.Millisecond
	_, x, err := c.do("GET", "/", nil)
	var f *failure
	if !errors.As(err, &f) || f.kind != kindTimeout || !x.written || x.firstByte {
		t.Errorf("error %v after %+v, want a time-out", err, x)
	}
}

func TestNobodyListens(t *testing.T) {
	s := serve(t, polite)
	c := s.client(t, false)
	s.listener.Close()
	_, x, err := c.do("GET", "/", nil)
	var f *failure
	if !errors.As(err, &f) || f.kind != kindConnect || x.written || x.remote != "" {
		t.Errorf("error %v after %+v, want one of connecting", err, x)
	}
}

func TestTargets(t *testing.T) {
	for text, ok := range map[string]bool{
		"http://localhost:9000":              true,
		"http://127.0.0.1:9000/":             true,
		"http://127.1.2.3":                   true,
		"http://[::1]:80":                    true,
		"":                                   false,
		"localhost:9000":                     false,
		"https://localhost:9000":             false,
		"http://example.com":                 false,
		"http://localhost.evil.example:9000": false,
		"http://127.0.0.1.nip.io":            false,
		"http://10.0.0.1:9000":               false,
		"http://0.0.0.0:9000":                false,
		"http://[::]:9000":                   false,
		"http://[fe80::1]:9000":              false,
		"http://169.254.169.254":             false,
		"http://user@localhost:9000":         false,
		"http://localhost:9000/path":         false,
		"http://localhost:9000?q":            false,
	} {
		if _, err := parseTarget(text, time.Second); (err == nil) != ok {
			t.Errorf("%q: %v", text, err)
		} else if err != nil && !strings.Contains(err.Error(), "-url") {
			t.Errorf("%q: the error does not name the flag: %v", text, err)
		}
	}
	for address, ok := range map[string]bool{
		"127.0.0.1:80": true, "[::1]:80": true, "[::ffff:127.0.0.1]:80": true,
		"93.184.216.34:80": false, "[2001:db8::1]:80": false, "nonsense": false,
	} {
		if err := onlyLoopback("tcp", address, nil); (err == nil) != ok {
			t.Errorf("%q: %v", address, err)
		}
	}
}
