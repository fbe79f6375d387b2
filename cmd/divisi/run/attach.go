package run

import (
	"context"
	"errors"
	"fmt"
	"os"

	"github.com/divisi-go/divisi/cmd/divisi/dashboard"
	"github.com/divisi-go/divisi/cmd/divisi/estate"
	"github.com/divisi-go/divisi/internal/home"
	"github.com/divisi-go/divisi/internal/keeper"
	"github.com/divisi-go/divisi/internal/name"
)

// Attach decides about an application that runs while nobody else does, until ctx ends, and then leaves it
// running. The error is [ErrTaken] if somebody else decides, or has taken over, and [estate.ErrNothing] if
// nothing of the application runs.
func Attach(ctx context.Context, app string, o Options, view View) (err error) {
	where, err := home.Find()
	if err != nil {
		return err
	}
	if err := dashboard.Check(o.Admin); err != nil {
		return err
	}

	domain := name.Domain(app)
	who := fmt.Sprintf("divisi attach %s (process %d)", app, os.Getpid())
	a := &application{view: view, options: o, home: where, attached: true}
	a.ran.Store(true) // that nothing of it gets ready is no failure of a start
	a.estate, a.spec, err = estate.Attend(ctx, where, where.Domain(domain), keeper.Claim{Domain: domain, Who: who})
	if errors.Is(err, keeper.ErrHeld) {
		return fmt.Errorf("%w: %w", ErrTaken, err)
	}
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, a.estate.Release(a.over)) }()
	a.logDir = a.estate.Logs

	return a.decide(ctx)
}

// leave has this process decide no longer, and everything run on.
func (a *application) leave() {
	a.left.Store(true)
	a.deployer.Leave()
}

// ErrTaken is the error when somebody else decides about the application.
var ErrTaken = errors.New("somebody else decides about it")

// taken is the error when somebody else has taken over the application from this process.
func (a *application) taken(err error) error {
	return &Error{
		text:  fmt.Sprintf("%s runs on, and somebody else decides about it: %v", a.spec.Name, err),
		hint:  "follow it: divisi attach " + a.spec.Name,
		cause: ErrTaken,
	}
}
