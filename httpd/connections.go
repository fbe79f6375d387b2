package httpd

import (
	"container/list"
	"net"
	"net/http"
	"sync"
)

// connections bounds those of a server. Beyond the bound, a new one takes the place of that on which nothing has been asked
// for the longest time, which may be itself.
//
//   - open are those that have begun and not ended.
//   - waiting and order have the same ones: those on which nothing is asked. The longest is at the front of order.
type connections struct {
	max int

	mu      sync.Mutex // guards what follows
	open    int
	waiting map[net.Conn]*list.Element
	order   list.List // of net.Conn
}

func newConnections(max int) *connections {
	return &connections{max: max, waiting: map[net.Conn]*list.Element{}}
}

// changed is told what becomes of a connection.
func (c *connections) changed(conn net.Conn, to http.ConnState) {
	closing := c.note(conn, to)
	if tls, ok := closing.(interface{ NetConn() net.Conn }); ok {
		closing = tls.NetConn() // nothing is said to who may not listen
	}
	if closing != nil {
		_ = closing.Close() // it may have ended meanwhile
	}
}

// note takes note of a change, and returns the connection whose place is needed, if one is.
func (c *connections) note(conn net.Conn, to http.ConnState) (closing net.Conn) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if e := c.waiting[conn]; e != nil {
		c.leave(e)
	}
	switch to {
	case http.StateClosed, http.StateHijacked:
		c.open--
	case http.StateNew:
		c.open++
		c.waiting[conn] = c.order.PushBack(conn)
		if c.open > c.max {
			closing = c.leave(c.order.Front())
		}
	case http.StateIdle:
		c.waiting[conn] = c.order.PushBack(conn)
	}
	return closing
}

// leave takes a connection from those on which nothing is asked.
func (c *connections) leave(e *list.Element) net.Conn {
	conn := c.order.Remove(e).(net.Conn)
	delete(c.waiting, conn)
	return conn
}

func (c *connections) count() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.open
}
