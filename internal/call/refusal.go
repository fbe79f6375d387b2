package call

import (
	"log/slog"
	"net"
	"sync"
	"time"
)

const (
	refusalEvery = time.Minute
	refusalPeers = 1024
)

// refusals logs connections that are turned away or end badly: a line for each peer host and
// minute, however often it comes back.
type refusals struct {
	log *slog.Logger

	mu    sync.Mutex
	peers map[string]*refusal
	count uint64 // in all
}

type refusal struct {
	since  time.Time // of the last line
	unsaid int       // refusals since then
}

// hostOf is the peer that refusals are counted by. Unix sockets have no names for theirs.
func hostOf(remote net.Addr) string {
	if host, _, err := net.SplitHostPort(remote.String()); err == nil {
		return host
	}
	return remote.Network()
}

// add notes a refusal. The table of peers is bounded: when it is full of peers of the last
// minute, further ones share a line.
func (r *refusals) add(host, what string, err error) {
	now := time.Now()
	r.mu.Lock()
	r.count++
	if r.peers == nil {
		r.peers = map[string]*refusal{}
	}
	if r.peers[host] == nil && len(r.peers) >= refusalPeers {
		for h, p := range r.peers {
			if now.Sub(p.since) >= refusalEvery {
				delete(r.peers, h)
			}
		}
		if len(r.peers) >= refusalPeers {
			host = "others"
		}
	}
	p := r.peers[host]
	if p == nil {
		p = &refusal{since: now.Add(-refusalEvery)}
		r.peers[host] = p
	}
	say, unsaid := now.Sub(p.since) >= refusalEvery, p.unsaid
	p.unsaid++
	if say {
		p.since, p.unsaid = now, 0
	}
	r.mu.Unlock()
	if say {
		r.log.Warn(what, "peer", host, "err", err, "unlogged", unsaid)
	}
}

func (r *refusals) total() uint64 {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.count
}
