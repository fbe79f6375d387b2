package call

import (
	"context"
	"net"

	"github.com/divisi-go/divisi/internal/call/link"
	"github.com/divisi-go/divisi/internal/wire"
)

// RefusalPeers is how many peers the table of refusals has room for.
const RefusalPeers = refusalPeers

// Peer returns what the server has said about itself, for a test to change.
func (c *Client) Peer() *wire.Hello { return &c.link.Peer }

// Options returns the client's own bounds, for a test to change.
func (c *Client) Options() *link.Options { return c.link.Options }

// Pending returns how many calls have no answer.
func (c *Client) Pending() int { return c.pendingCalls() }

// Exceed lets a client make more calls at a time than the server takes.
func (c *Client) Exceed(limit int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.limit = limit
}

// Ignore lets a client go on that has been told to go elsewhere.
func (c *Client) Ignore() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.draining = false
}

// Held returns how many bytes of elements nobody has taken.
func (f *Feed) Held() (n int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, e := range f.queue {
		n += int(e.cost)
	}
	return n
}

// Credit returns how much the server may still send.
func (f *Feed) Credit() int64 {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.rx.Left
}

// ServeConn serves one connection until it has ended.
func (s *Server) ServeConn(ctx context.Context, nc net.Conn) {
	ended := make(chan struct{})
	s.serve(ctx, nc, func() { close(ended) })
	<-ended
}

// Callers returns what the callers have said about themselves, for a test to change.
func (s *Server) Callers() (hellos []*wire.Hello) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for ss := range s.sessions {
		hellos = append(hellos, &ss.link.Peer)
	}
	return hellos
}

// Unanswered returns how many calls have no answer.
func (s *Server) Unanswered() (calls int) {
	calls, _, _ = s.inFlight()
	return calls
}

// Arrivals returns how many connections have not said who they are, which came last, and whether
// anything was heard from that.
func (s *Server) Arrivals() (n int, last net.Addr, heard bool) {
	s.arrivals.mu.Lock()
	defer s.arrivals.mu.Unlock()
	if n = len(s.arrivals.conns); n == 0 {
		return 0, nil, false
	}
	a := s.arrivals.conns[n-1]
	return n, a.RemoteAddr(), a.heard.Load()
}

// Refuse notes a refusal.
func (s *Server) Refuse(host, what string, err error) { s.refused.add(host, what, err) }

// RefusedPeers returns how many peers the table of refusals has.
func (s *Server) RefusedPeers() int {
	s.refused.mu.Lock()
	defer s.refused.mu.Unlock()
	return len(s.refused.peers)
}

// Unfinished returns how much memory messages take of which chunks are missing.
func (s *Server) Unfinished() int64 { return s.unfinished.Load() }
