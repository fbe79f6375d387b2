//go:build linux

package frame

import (
	"errors"
	"net"
	"time"
)

// ErrPaused is what has a connection end for this program that another one goes on with. It is the cause
// of the end of a handler's context as well: a request whose handler fails for it is not answered here.
var ErrPaused = errors.New("another program goes on with the connection")

// Paused is where a connection stands that nobody serves: its socket has what follows.
type Paused struct {
	Line  []byte  `json:"line,omitempty"`  // the beginning of a frame
	Files []int   `json:"files,omitempty"` // the descriptors that came with it
	Cut   bool    `json:"cut,omitempty"`   // there were more
	Open  []frame `json:"open,omitempty"`  // requests without an answer
	Plain bool    `json:"plain,omitempty"` // the peer is on another host, see NewPlain
}

// take returns the requests, which are answered from now on.
func (p *Paused) take() []frame {
	open := p.Open
	p.Open = nil
	return open
}

// Resume returns a connection that goes on where another program has paused it.
func Resume(socket *net.UnixConn, at Paused) *Conn {
	c := New(socket)
	c.paused, c.plain = at, at.Plain
	return c
}

// Pause has Serve return, without an answer to the requests that wait for something. The connection is
// not over: its peer notices nothing.
func (c *Conn) Pause() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.pausing = true
	return c.socket.SetReadDeadline(time.Unix(1, 0))
}

// Paused returns the socket of a connection that is paused, and where it stands. Both are to be used
// until the connection is closed.
func (c *Conn) Paused() (*net.UnixConn, Paused) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.socket, c.paused
}

// interrupt keeps what the reader has read, and ends what handlers wait for, if the connection is to be
// paused.
func (c *Conn) interrupt(r *reader) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.pausing {
		return false
	}

	c.paused.Plain = c.plain
	c.paused.Line, c.paused.Files, c.paused.Cut = r.line, r.own.descriptors, r.own.cut
	r.own = passed{}
	for _, cancel := range c.answering {
		cancel(ErrPaused)
	}
	return true
}
