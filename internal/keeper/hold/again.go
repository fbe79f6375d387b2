//go:build unix

package hold

import (
	"context"

	"github.com/divisi-go/divisi/internal/keeper"
	"github.com/divisi-go/divisi/internal/lifecycle"
)

// Again starts a server for a client that has asked for the same start before, with the same token, and
// has lost the answer. What was begun then, also by an earlier keeper, is not begun twice: the answer is
// what became of it, with the end of its process if that has ended.
func (s *Session) Again(ctx context.Context, spec keeper.Spec) (keeper.Proc, error) {
	p, begun, err := s.k.begun(ctx, spec.Token)
	if !begun && err == nil {
		return s.Start(ctx, spec)
	}

	for _, f := range spec.Files {
		f.File.Close()
	}
	s.k.ledger.Settle(spec.Policy != nil)
	return p, err
}

// begun returns what became of the start with a token, once it has a process or there will be none. It
// reports false if there was no such start.
func (k *Keeper) begun(ctx context.Context, token string) (keeper.Proc, bool, error) {
	for {
		k.mu.Lock()
		s := k.byToken(token)
		end, ended := k.ledger.Exits.ByToken(token)
		if s == nil {
			k.mu.Unlock()
			return keeper.Proc{ID: end.ID, Pid: end.Pid, State: lifecycle.Stopped, LastExit: &end.Exit}, ended, nil
		}
		p := s.proc()
		if ended && s.process == nil {
			p.ID = end.ID
		}
		// Its first process, or the first one under this keeper, may be yet to come.
		coming := s.process == nil && (s.life.Runs() || s.started.IsZero() && s.life.State != lifecycle.Failed)
		waits := s.waits()
		_, more := k.events.After("", 0)
		k.mu.Unlock()
		switch {
		case waits && !ended: // as it did before its client asked
			return keeper.Proc{}, false, nil
		case waits || !coming:
			return p, true, nil
		}

		select {
		case <-more:
		case <-s.over: // it could not be started
		case <-ctx.Done():
			return keeper.Proc{}, false, context.Cause(ctx)
		}
	}
}

// byToken returns the server whose first start had a token, nil if there is none; the mutex is held.
func (k *Keeper) byToken(token string) *server {
	for s := range k.servers.All() {
		if s.spec.Token == token && token != "" {
			return s
		}
	}
	return nil
}
