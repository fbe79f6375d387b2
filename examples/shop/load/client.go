package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"net/url"
	"os"
	"slices"
	"strings"
	"time"
)

// maxBody bounds what is read of an answer, in bytes.
const maxBody = 4 << 20

// client is a browser of one customer. It is not net/http's client, because that one sends a
// request again when a connection breaks before the answer, and nobody gets to know.
type client struct {
	target  *target
	once    bool // use every connection for one request
	conn    *conn
	cookies map[string]string
}

// conn is a connection, and whether something has come from the other side.
type conn struct {
	net.Conn
	reader *bufio.Reader
	first  chan error // gets one value when a byte of the next answer, or the end, has come
}

// answer is what came back.
type answer struct {
	status int
	header http.Header
	body   []byte
}

// exchange is what happened on the way to an answer, or to none.
type exchange struct {
	took      time.Duration
	local     string
	remote    string
	reused    bool // the connection had served a request before
	written   bool // all bytes of the request went out
	firstByte bool // a byte of the answer came in
}

// Kinds of errors, in the words of the report.
const (
	kindConnect = "cannot connect"
	kindWrite   = "cannot send"
	kindSilent  = "no answer"
	kindCut     = "answer cut off"
	kindTimeout = "time-out"
	kindPage    = "wrong page"
)

// failure is an error with its kind.
type failure struct {
	kind string
	err  error
}

func (f *failure) Error() string { return f.kind + ": " + f.err.Error() }
func (f *failure) Unwrap() error { return f.err }

func failed(kind string, err error) *failure {
	if errors.Is(err, os.ErrDeadlineExceeded) {
		kind = kindTimeout
	}
	return &failure{kind, err}
}

// do sends one request, once, and reads the answer.
func (c *client) do(method, path string, form url.Values) (*answer, exchange, error) {
	began := time.Now()
	var x exchange
	a, err := c.attempt(method, path, form, &x)
	x.took = time.Since(began)
	if err != nil {
		c.close()
	}
	return a, x, err
}

func (c *client) attempt(method, path string, form url.Values, x *exchange) (*answer, error) {
	deadline := time.Now().Add(c.target.timeout)
	if x.reused = c.usable(); !x.reused {
		inner, err := c.target.dialer.Dial("tcp", c.target.host)
		if err != nil {
			return nil, failed(kindConnect, err)
		}
		c.conn = &conn{Conn: inner, reader: bufio.NewReader(inner)}
		c.conn.listen()
	}
	x.local, x.remote = c.conn.LocalAddr().String(), c.conn.RemoteAddr().String()
	if err := c.conn.SetDeadline(deadline); err != nil {
		return nil, failed(kindWrite, err)
	}
	if _, err := c.conn.Write(c.request(method, path, form)); err != nil {
		return nil, failed(kindWrite, err)
	}
	x.written = true
	if err := <-c.conn.first; err != nil {
		return nil, failed(kindSilent, err)
	}
	x.firstByte = true
	response, err := http.ReadResponse(c.conn.reader, &http.Request{Method: method})
	if err != nil {
		return nil, failed(kindCut, err)
	}
	body, err := io.ReadAll(io.LimitReader(response.Body, maxBody))
	response.Body.Close()
	if err != nil {
		return nil, failed(kindCut, err)
	}
	for _, cookie := range response.Cookies() {
		c.cookies[cookie.Name] = cookie.Value
	}
	if c.once || response.Close {
		c.close()
	} else if err := c.conn.SetDeadline(time.Time{}); err != nil {
		c.close()
	} else {
		c.conn.listen()
	}
	return &answer{response.StatusCode, response.Header, body}, nil
}

// listen begins to wait for the next byte.
func (c *conn) listen() {
	first := make(chan error, 1)
	c.first = first
	go func() {
		_, err := c.reader.Peek(1)
		first <- err
	}()
}

// usable reports whether there is a connection that the other side has not closed, and forgets
// it otherwise. Nothing of the next request was sent on it, so that to use another one is not to
// send it again.
func (c *client) usable() bool {
	if c.conn == nil {
		return false
	}
	select {
	case <-c.conn.first:
		c.close()
		return false
	default:
		return true
	}
}

// close ends the connection, and with it the goroutine that listens.
func (c *client) close() {
	if c.conn != nil {
		c.conn.Close()
		c.conn = nil
	}
}

func (c *client) request(method, path string, form url.Values) []byte {
	var b strings.Builder
	fmt.Fprintf(&b, "%s %s HTTP/1.1\r\nHost: %s\r\nUser-Agent: divisi-shop-load\r\n", method, path, c.target.host)
	if len(c.cookies) > 0 {
		var pairs []string
		for _, name := range slices.Sorted(maps.Keys(c.cookies)) {
			pairs = append(pairs, name+"="+c.cookies[name])
		}
		fmt.Fprintf(&b, "Cookie: %s\r\n", strings.Join(pairs, "; "))
	}
	if c.once {
		b.WriteString("Connection: close\r\n")
	}
	if method == http.MethodPost {
		body := form.Encode()
		fmt.Fprintf(&b, "Content-Type: application/x-www-form-urlencoded\r\nContent-Length: %d\r\n\r\n%s", len(body), body)
	} else {
		b.WriteString("\r\n")
	}
	return []byte(b.String())
}
