package agent

import (
	"context"
	"errors"

	"github.com/divisi-go/divisi/internal/keeper/door"
	"github.com/divisi-go/divisi/internal/lifecycle"
)

// Left is what there is on a machine.
type Left struct {
	State   string   // its state folder
	Servers []string // that run, or may start again
}

// Look returns what there is on a machine. The program is brought there for that.
func Look(ctx context.Context, m Machine) (Left, error) {
	return manage(ctx, m, "look")
}

// Remove stops what runs on a machine and removes the state folder there, with all programs, logs and data.
func Remove(ctx context.Context, m Machine) (Left, error) {
	return manage(ctx, m, "remove")
}

// manage asks for something about a machine as a whole.
func manage(ctx context.Context, m Machine, verb string) (Left, error) {
	c, err := newClient(m, "")
	if err != nil {
		return Left{}, err
	}
	defer c.Close()
	if _, err := c.current(ctx); err != nil {
		return Left{}, err
	}
	done, err := c.call(ctx, verb, ask{})
	return Left{done.Text, done.Own}, err
}

// look returns what there is on this machine.
func (s *service) look(ctx context.Context) (answer, error) {
	done := answer{Text: s.home.Dir}
	k, err := door.Find(ctx, s.home)
	if errors.Is(err, door.ErrNone) {
		return done, nil
	}
	if err != nil {
		return done, err
	}
	defer k.Release()
	servers, err := k.List(ctx, "/")
	for _, p := range servers {
		if p.State != lifecycle.Stopped {
			done.Own = append(done.Own, p.ID.String())
		}
	}
	return done, err
}

// remove stops what runs on this machine, and removes the state folder.
func (s *service) remove(ctx context.Context) (answer, error) {
	done, err := s.look(ctx)
	if err != nil {
		return done, err
	}
	k, err := door.Find(ctx, s.home)
	if err == nil {
		err = k.Shutdown(ctx)
	}
	if err != nil && !errors.Is(err, door.ErrNone) {
		return done, err
	}
	return done, s.home.Remove(ctx)
}
