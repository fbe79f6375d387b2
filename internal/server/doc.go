// Package server is what a client of a keeper does with a server that takes more than one request: it
// waits until a start of it is ready, has the next one take the place of the one before, and says how one
// ended that was not to.
package server

import (
	"context"
	"fmt"

	"github.com/divisi-go/divisi/internal/keeper"
)

// Keeper is what holds servers: a session of one.
type Keeper interface {
	Start(context.Context, keeper.Spec) (keeper.Proc, error)
	Stop(context.Context, keeper.ID) (keeper.Exit, error)
	Wait(context.Context, keeper.ID) (keeper.Exit, error)
	List(ctx context.Context, domain string) ([]keeper.Proc, error)
}

// EndedError is the error of a start that has ended before it was ready.
type EndedError struct {
	ID       keeper.ID
	Exit     keeper.Exit
	Finished bool // it has done what it had to do, and does not start again
}

func (e *EndedError) Error() string { return fmt.Sprintf("%v %v before it was ready", e.ID, e.Exit) }
