package drain

import (
	"bytes"
	"io"
	"math"
	"net"
	"net/http"
	"os"
	"slices"
	"sync"
	"time"
)

const never = time.Duration(math.MaxInt64)

// conn is a connection that knows whether somebody waits for an answer on it. The bytes do not say:
// a piece of a stream, an acknowledgement of HTTP/2, and half a TLS handshake are written like
// answers. But servers of net/http that wait for the next HTTP/1 request say so by what they call,
// encrypted or not:
//
//  1. The end of the last answer is written.
//  2. The read that watched for the client's leaving is ended by a deadline in the past.
//  3. The deadline is removed, or set for the next request.
//  4. A read begins.
//
// Other protocols and servers never do that. A connection of them is idle if nothing has ever passed
// on it. One that is encrypted, or of HTTP/2, is also taken to be idle after a third of the time to
// drain without a byte: its clients keep it open for a next request, for minutes. Where server and
// client take turns, a server that reads has answered.
type conn struct {
	net.Conn
	listener *Listener

	mu       sync.Mutex // guards what follows
	last     time.Time  // when something was read or written, or a request ended
	looks    int        // at which it has been idle since then
	turn     turn
	passed   bool // something was read or written
	asked    bool // something was read after the last write
	reads    int  // that are under way
	secret   bool // it began with a TLS handshake
	preface  int  // how many bytes of it are those with which HTTP/2 begins; -1 if others followed
	http1    bool // it has been between requests of HTTP/1
	http2    bool
	requests int  // that handlers serve, if they say so
	told     bool // the response says that the connection closes
}

// turn is how far a server of HTTP/1 has come on its way from an answer to the next request.
type turn int

const (
	answering turn = iota // step 1, or anything else
	ending                // step 2
	ready                 // step 3
	waiting               // step 4
)

// look returns whether nobody waits for an answer, and has not for some time, and whether it is known
// to speak HTTP/2. What nobody can see into, and its server does not end, is idle when it has been quiet
// for as long as opaque says. The listener's mutex is held.
func (c *conn) look(now time.Time, opaque time.Duration) (idle, http2 bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	quiet := now.Sub(c.last)
	waits := c.turn == waiting || !c.passed || c.listener.turns && c.reads > 0 && !c.asked
	switch {
	case c.requests > 0:
		return false, c.http2
	case waits:
		c.looks++
		return c.looks > looks, c.http2
	case c.listener.goodbye.Any:
		return false, c.http2 // the server ends it
	case c.http2 || c.secret && !c.http1:
		return quiet >= opaque, c.http2
	}
	return false, false
}

func (c *conn) Read(b []byte) (int, error) {
	c.mu.Lock()
	c.reads++
	if c.turn == ready {
		c.turn = waiting
		c.http1 = true
	}
	c.mu.Unlock()

	n, err := c.Conn.Read(b)
	c.heard(b[:n])
	return n, err
}

// heard notes that a read has ended, with these bytes.
func (c *conn) heard(b []byte) {
	const (
		handshake = 0x16  // the type of a TLS record
		preface   = "PRI" // no method of HTTP/1 begins like this
	)
	c.mu.Lock()
	defer c.mu.Unlock()
	c.reads--
	if len(b) == 0 {
		return
	}

	if !c.passed {
		c.secret = b[0] == handshake
	}
	for _, next := range b[:min(len(b), len(preface))] {
		if c.preface < 0 || c.preface == len(preface) {
			break
		}
		if next == preface[c.preface] {
			c.preface++
		} else {
			c.preface = -1
		}
	}
	c.http2 = c.http2 || c.preface == len(preface)
	c.happened()
	c.passed, c.asked, c.turn = true, true, answering
}

func (c *conn) Write(b []byte) (int, error) {
	c.mu.Lock()
	closes := c.listener.draining.Load() && c.asked && !c.told
	c.mu.Unlock()
	sent := b
	if closes {
		sent = closing(b)
	}

	n, err := c.Conn.Write(sent)
	c.wrote()
	return min(n, len(b)), err
}

// wrote notes that something was written.
func (c *conn) wrote() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.happened()
	c.passed, c.asked, c.turn = true, false, answering
}

// ReadFrom has the kernel send a file. What comes from elsewhere passes through Write, for it may be several answers, and so
// does what may be the beginning of one.
func (c *conn) ReadFrom(r io.Reader) (int64, error) {
	source := r
	if limited, ok := r.(*io.LimitedReader); ok {
		source = limited.R
	}
	_, isFile := source.(*os.File)
	to, sends := c.Conn.(io.ReaderFrom)
	c.mu.Lock()
	begins := c.asked
	c.mu.Unlock()
	if !isFile || !sends || begins {
		return io.Copy(struct{ io.Writer }{c}, r)
	}
	n, err := to.ReadFrom(r)
	c.wrote()
	return n, err
}

// SetReadDeadline implements net.Conn.
func (c *conn) SetReadDeadline(t time.Time) error {
	c.deadline(t)
	return c.Conn.SetReadDeadline(t)
}

// SetDeadline implements net.Conn.
func (c *conn) SetDeadline(t time.Time) error {
	c.deadline(t)
	return c.Conn.SetDeadline(t)
}

// deadline notes that the deadline of reads was set.
func (c *conn) deadline(t time.Time) {
	past := !t.IsZero() && !t.After(time.Now())
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case c.asked:
	case past:
		c.turn = ending
	case c.turn == ending:
		c.turn = ready
	}
}

func (c *conn) Close() error {
	c.listener.forget(c)
	return c.Conn.Close()
}

// closing returns the beginning of an HTTP/1.1 response with a header that asks the client to close
// the connection, and anything else as it is. The connections of busy clients would never be idle,
// and handlers that are not instrumented cannot know.
func closing(b []byte) []byte {
	const status, interim = "HTTP/1.1 ", "HTTP/1.1 1"
	end := bytes.Index(b, []byte("\r\n"))
	if end < 0 || !bytes.HasPrefix(b, []byte(status)) || bytes.HasPrefix(b, []byte(interim)) {
		return b
	}
	return slices.Concat(b[:end], []byte("\r\nConnection: close"), b[end:])
}

// Addr is the local address of a connection. Handlers of HTTP find it in the contexts of their
// requests, under [http.LocalAddrContextKey].
type Addr struct {
	net.Addr
	conn *conn
}

// LocalAddr implements net.Conn. The address is an [Addr].
func (c *conn) LocalAddr() net.Addr { return Addr{c.Conn.LocalAddr(), c} }

// Owner returns what the listener was made for.
func (a Addr) Owner() any { return a.conn.listener.owner }

// Request is told of a request, and of the header of its response, which asks the client to close the
// connection while the listener drains. That of a connection that becomes one of another protocol does
// not. The function that is returned is told that the request has been served.
func (a Addr) Request(r *http.Request, header http.Header) (done func()) {
	c := a.conn
	c.mu.Lock()
	defer c.mu.Unlock()
	c.requests++
	c.http2 = c.http2 || r.ProtoMajor == 2
	if c.listener.draining.Load() && r.Header.Get("Upgrade") == "" {
		c.told = true
		header.Set("Connection", "close")
	}
	return c.requestEnded
}

func (c *conn) requestEnded() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.requests--
	c.happened()
}

// happened notes, under the mutex, that something has just happened.
func (c *conn) happened() {
	c.last = time.Now()
	c.looks = 0
}
