package call

import (
	"fmt"
	"net"
	"slices"
	"sync"
	"sync/atomic"
)

// arrivals are the connections of a server that have not said yet who they are. There is room for
// a number of them. When all of it is taken, the next one takes the place of the oldest one from
// which nothing was heard, or else of the oldest one: silence costs nobody else a connection.
type arrivals struct {
	most int

	mu    sync.Mutex // guards what follows
	conns []*arrival // by age, the oldest first
}

// arrival is a connection of which it is known whether anything was heard.
type arrival struct {
	net.Conn
	heard  atomic.Bool
	ousted atomic.Bool // it had to make room
}

var _ net.Conn = (*arrival)(nil)

func (a *arrival) Read(b []byte) (int, error) {
	n, err := a.Conn.Read(b)
	if n > 0 && !a.heard.Load() {
		a.heard.Store(true)
	}
	return n, err
}

// why returns the error of a handshake, or why that was cut off.
func (a *arrival) why(err error) error {
	if err != nil && a.ousted.Load() {
		return fmt.Errorf("newer connections have taken the place of one that has not said who it is: %w", err)
	}
	return err
}

// enter finds room for a connection.
func (as *arrivals) enter(nc net.Conn) *arrival {
	a := &arrival{Conn: nc}
	as.mu.Lock()
	defer as.mu.Unlock()

	if len(as.conns) >= as.most {
		silent := slices.IndexFunc(as.conns, func(other *arrival) bool { return !other.heard.Load() })
		i := max(silent, 0)
		as.conns[i].ousted.Store(true)
		as.conns[i].Close()
		as.conns = slices.Delete(as.conns, i, i+1)
	}
	as.conns = append(as.conns, a)
	return a
}

// leave gives the room of a connection to others.
func (as *arrivals) leave(a *arrival) {
	as.mu.Lock()
	defer as.mu.Unlock()
	if i := slices.Index(as.conns, a); i >= 0 {
		as.conns = slices.Delete(as.conns, i, i+1)
	}
}
