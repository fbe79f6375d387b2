//go:build !linux

package run

import (
	"context"
	"errors"

	"github.com/divisi-go/divisi/internal/home"
	"github.com/divisi-go/divisi/internal/keeper"
	"github.com/divisi-go/divisi/internal/keeper/hold"
)

// session is how an application uses the keeper: one in this process, which ends with the session.
type session struct {
	*hold.Session
	keeper *hold.Keeper
}

// attach opens a keeper in this process for the domain alone.
func attach(ctx context.Context, h home.Home, domain *home.Claim, c keeper.Claim) (*session, error) {
	k, err := hold.Open(domain.State, h.Logs(), "")
	if err != nil {
		return nil, err
	}
	s, err := k.Attach(ctx, c)
	if err != nil {
		return nil, errors.Join(err, k.Close())
	}
	return &session{s, k}, nil
}

// Release ends the session and the keeper.
func (s *session) Release() error { return errors.Join(s.Session.Release(), s.keeper.Close()) }
