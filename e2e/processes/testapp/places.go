package main

import (
	"context"
	"errors"
	"os"
	"sync"
	"time"

	"github.com/divisi-go/divisi"
	"github.com/divisi-go/divisi/metrics"
)

// A calls B and C.
type A interface {
	// Where returns the processes of A, and of n calls to B and C each.
	Where(ctx context.Context, n int) (Found, error)

	// Once calls C.Once.
	Once(ctx context.Context) (int, error)

	// Chain calls B.Chain.
	Chain(ctx context.Context) (string, error)

	// Bump calls C.Count n times.
	Bump(ctx context.Context, n int) error
}

// Found are numbers of processes.
type Found struct {
	Here int
	B, C []int
}

// B calls C.
type B interface {
	// Pid returns the process.
	Pid(ctx context.Context) (int, error)

	// Chain returns the way from here.
	Chain(ctx context.Context) (string, error)

	// Bump calls C.Count n times.
	Bump(ctx context.Context, n int) error
}

// C is what others call.
type C interface {
	// Pid returns the process.
	Pid(ctx context.Context) (int, error)

	// Once returns the process, and is never executed twice.
	Once(ctx context.Context) (int, error)

	// Count counts one.
	Count(ctx context.Context) error

	// Burn computes for some milliseconds.
	Burn(ctx context.Context, millis int) (int, error)
}

var _ divisi.NotRetriable = C.Once

var counted = metrics.NewCounter("testapp_counted", "Calls of C.Count")

type a struct {
	divisi.Implements[A]
	b divisi.Ref[B]
	c divisi.Ref[C]
}

func (a *a) Where(ctx context.Context, n int) (Found, error) {
	found := Found{Here: os.Getpid()}
	for range n {
		b, errB := a.b.Get().Pid(ctx)
		c, errC := a.c.Get().Pid(ctx)
		if err := errors.Join(errB, errC); err != nil {
			return found, err
		}
		found.B, found.C = append(found.B, b), append(found.C, c)
	}
	return found, nil
}

func (a *a) Once(ctx context.Context) (int, error) { return a.c.Get().Once(ctx) }

func (a *a) Chain(ctx context.Context) (string, error) {
	rest, err := a.b.Get().Chain(ctx)
	return "A " + rest, err
}

func (a *a) Bump(ctx context.Context, n int) error { return bump(ctx, a.c.Get(), n) }

type b struct {
	divisi.Implements[B]
	c divisi.Ref[C]
}

func (b *b) Pid(context.Context) (int, error) { return os.Getpid(), nil }

func (b *b) Chain(context.Context) (string, error) { return "B", nil }

func (b *b) Bump(ctx context.Context, n int) error { return bump(ctx, b.c.Get(), n) }

func bump(ctx context.Context, c C, n int) error {
	for range n {
		if err := c.Count(ctx); err != nil {
			return err
		}
	}
	return nil
}

type c struct{ divisi.Implements[C] }

func (c *c) Pid(context.Context) (int, error) { return os.Getpid(), nil }

func (c *c) Once(context.Context) (int, error) { return os.Getpid(), nil }

func (c *c) Count(context.Context) error {
	counted.Inc()
	return nil
}

func (c *c) Burn(_ context.Context, millis int) (int, error) {
	rounds, x := 0, uint64(1)
	for end := time.Now().Add(time.Duration(millis) * time.Millisecond); time.Now().Before(end); rounds++ {
		x = burnCycles(x)
	}
	if x == 0 {
		return 0, errors.New("a xorshift of 1 never becomes 0")
	}
	return rounds, nil
}

// burnCycles is the function that a profile must name.
//
//go:noinline
func burnCycles(x uint64) uint64 {
	for range 1_000_000 {
		x ^= x << 13
		x ^= x >> 7
		x ^= x << 17
	}
	return x
}

// Crash ends its process if it is configured to.
type Crash interface {
	// Touch does nothing.
	Touch(ctx context.Context) error
}

type crash struct {
	divisi.Implements[Crash]
	divisi.WithConfig[struct {
		ExitCode int `toml:"exit_code"`
	}]
}

func (c *crash) Init(context.Context) error {
	if code := c.Config().ExitCode; code != 0 {
		os.Exit(code)
	}
	return nil
}

func (c *crash) Touch(context.Context) error { return nil }

// Loner may be called, and has no reference to anybody.
type Loner interface {
	// Touch does nothing.
	Touch(ctx context.Context) error

	// Jam takes a lock, and keeps it: the second call waits for ever.
	Jam(ctx context.Context) error
}

type loner struct {
	divisi.Implements[Loner]
	lock sync.Mutex
}

func (l *loner) Touch(context.Context) error { return nil }

func (l *loner) Jam(context.Context) error {
	l.lock.Lock()
	return nil
}
