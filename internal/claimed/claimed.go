// Package claimed knows which servers and sockets of a host a run of a program has asked for. What there is
// besides in its domain was asked for by a run before: it is reported, and goes once the program has settled.
package claimed

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/divisi-go/divisi/internal/keeper"
	"github.com/divisi-go/divisi/internal/server"
)

// Set is what was asked for on a host. It is safe for concurrent use.
type Set struct {
	host *server.Host
	log  *slog.Logger

	mu  sync.Mutex // guards all
	all map[keeper.ID]bool
}

// New returns an empty set.
func New(host *server.Host, log *slog.Logger) *Set {
	return &Set{host: host, log: log, all: map[keeper.ID]bool{}}
}

// Add takes note that a server or a socket was asked for; without a name, all that is in the domain.
func (s *Set) Add(id keeper.ID) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.all[id] = true
}

func (s *Set) has(domain, name string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.all[keeper.ID{Domain: domain, Name: name}] || s.all[keeper.ID{Domain: domain}]
}

// Report says what runs in a domain that nobody has asked for, and returns it.
func (s *Set) Report(ctx context.Context, domain string, grace time.Duration) []keeper.Proc {
	list, err := s.host.Keeper.List(ctx, domain)
	if err != nil {
		s.log.Error("nobody knows what runs that was not asked for", "why", err)
	}
	var left []keeper.Proc
	for _, p := range list {
		if !s.has(p.Domain, p.Name) {
			left = append(left, p)
			s.log.Warn("unclaimed: it runs, and the program has not asked for it", "server", p.ID.String(), "pid", p.Pid,
				"is", p.Labels[server.LabelProgram], "stops in", grace)
		}
	}
	return left
}

// Clear stops what nobody has asked for meanwhile, and closes the sockets of a domain that nobody has asked
// for.
func (s *Set) Clear(ctx context.Context, domain string, left []keeper.Proc) {
	for _, p := range left {
		if s.has(p.Domain, p.Name) {
			continue
		}
		s.log.Info("unclaimed: stopped", "server", p.ID.String(), "pid", p.Pid)
		if err := server.Undo(s.host.Keeper, p.ID); err != nil {
			s.log.Error("unclaimed: cannot be stopped", "server", p.ID.String(), "why", err)
		}
	}
	sockets, err := s.host.Keeper.Sockets(ctx, domain)
	for _, socket := range sockets {
		if !s.has(socket.Domain, socket.Key) {
			err = errors.Join(err, s.host.Keeper.Unlisten(ctx, socket.Domain, socket.Key))
		}
	}
	if err != nil {
		s.log.Error("unclaimed: sockets cannot be closed", "why", err)
	}
}

// StopWaiting stops what the run has asked for in a domain and has no process, for it waits for its next start. When the run
// ends, its keeper would start it after all.
func (s *Set) StopWaiting(ctx context.Context, domain string) error {
	list, err := s.host.Keeper.List(ctx, domain)
	for _, p := range list {
		if p.Pid == 0 && s.has(p.Domain, p.Name) {
			err = errors.Join(err, server.Undo(s.host.Keeper, p.ID))
		}
	}
	return err
}

// CloseUnused closes the sockets of a domain that no server has inherited, on which nobody would answer.
func (s *Set) CloseUnused(ctx context.Context, domain string) error {
	list, err := s.host.Keeper.List(ctx, domain)
	used := map[keeper.ID]bool{}
	for _, p := range list {
		spec, failed := s.host.Keeper.Spec(ctx, p.ID)
		if !errors.Is(failed, keeper.ErrUnknown) { // it has just ended
			err = errors.Join(err, failed)
		}
		for _, inherited := range spec.Sockets {
			in, key := inherited.Of(p.Domain)
			used[keeper.ID{Domain: in, Name: key}] = true
		}
	}
	sockets, failed := s.host.Keeper.Sockets(ctx, domain)
	if err = errors.Join(err, failed); err != nil {
		return fmt.Errorf("sockets stay open: %w", err)
	}

	for _, socket := range sockets {
		if !used[keeper.ID{Domain: socket.Domain, Name: socket.Key}] {
			err = errors.Join(err, s.host.Keeper.Unlisten(ctx, socket.Domain, socket.Key))
		}
	}
	return err
}
