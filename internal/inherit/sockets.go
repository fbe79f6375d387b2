package inherit

import (
	"net"
	"slices"
	"strings"
	"sync"
)

// Socket is an inherited listening socket.
type Socket struct {
	Name     string // by which its parent calls it; may be empty
	Listener net.Listener
}

// Sockets are inherited sockets, each until somebody claims it. A nil pointer has none.
type Sockets struct {
	alone bool // there was only one

	mu        sync.Mutex // guards what follows
	unclaimed []Socket
}

// NewSockets returns the given sockets.
func NewSockets(list ...Socket) *Sockets {
	return &Sockets{alone: len(list) == 1, unclaimed: slices.Clone(list)}
}

// unit is how the name of a socket ends that systemd calls by its unit, for want of another.
const unit = ".socket"

// Claim returns the socket with a name. If only is set, the only socket is that of any name.
func (s *Sockets) Claim(name string, only bool) (net.Listener, bool) {
	return s.claim(name, func(string) bool { return only })
}

// ClaimFirst returns the socket with a name, or the only one, if its parent gave it no name of its own.
func (s *Sockets) ClaimFirst(name string) (net.Listener, bool) {
	return s.claim(name, func(theirs string) bool {
		return theirs == "" || theirs == "unknown" || strings.HasSuffix(theirs, unit)
	})
}

// claim claims the socket with a name, or the only one, if that matches by the name that it has.
func (s *Sockets) claim(name string, matches func(theirs string) bool) (net.Listener, bool) {
	if s == nil {
		return nil, false
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	at := slices.IndexFunc(s.unclaimed, func(have Socket) bool {
		return have.Name == name || have.Name == name+unit || s.alone && matches(have.Name)
	})
	if at < 0 {
		return nil, false
	}

	l := s.unclaimed[at].Listener
	s.unclaimed = slices.Delete(s.unclaimed, at, at+1)
	return l, true
}

// Unclaimed returns the names of the sockets that nobody has claimed.
func (s *Sockets) Unclaimed() []string {
	if s == nil {
		return nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	var names []string
	for _, socket := range s.unclaimed {
		names = append(names, socket.Name)
	}
	return names
}
