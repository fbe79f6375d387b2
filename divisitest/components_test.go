package divisitest_test

import (
	"context"
	"errors"
	"os"

	"github.com/divisi-go/divisi"
)

// shelf has a method that is marked //divisi:shared.
type shelf interface {
	//divisi:shared
	Put(ctx context.Context, list []string) ([]string, error)
}

type shelfImpl struct {
	divisi.Implements[shelf]
	spoil bool
	last  []string
}

func (s *shelfImpl) Put(_ context.Context, list []string) ([]string, error) {
	if s.spoil {
		s.last[0] = "spoilt by the callee" // what it returned before
	}
	s.last = append([]string(nil), list...)
	return s.last, nil
}

// tally counts how often its methods are executed.
type tally interface {
	Again(ctx context.Context) (int, error)
	Once(ctx context.Context) (int, error)
}

var _ divisi.NotRetriable = tally.Once

type tallyImpl struct {
	divisi.Implements[tally]
	again, once int // one call at a time
}

func (c *tallyImpl) Again(ctx context.Context) (int, error) {
	c.again++
	c.Logger(ctx).Info("executed", "times", c.again)
	return c.again, nil
}

func (c *tallyImpl) Once(context.Context) (int, error) {
	c.once++
	return c.once, nil
}

// broken cannot be started.
type broken interface {
	Use(ctx context.Context) error
}

type brokenImpl struct {
	divisi.Implements[broken]
}

func (*brokenImpl) Init(context.Context) error { return errors.New("the disk is missing") }

func (*brokenImpl) Use(context.Context) error { return nil }

// clerk says where it is.
type clerk interface {
	Pid(ctx context.Context) (int, error)
}

type clerkImpl struct {
	divisi.Implements[clerk]
}

func (*clerkImpl) Pid(context.Context) (int, error) { return os.Getpid(), nil }

// desk is a main component.
type desk struct {
	divisi.Implements[divisi.Main]
	clerk divisi.Ref[clerk]
	bell  divisi.Listener
}

// unlinked is no component.
type unlinked interface {
	Use(ctx context.Context) error
}
