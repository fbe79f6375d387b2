//go:build linux

package door

import (
	"context"
	"fmt"

	"github.com/divisi-go/divisi/internal/home"
	"github.com/divisi-go/divisi/internal/keeper"
	"github.com/divisi-go/divisi/internal/keeper/link"
)

// way is how a client comes to a keeper.
type way interface {
	reach(context.Context, keeper.Claim) (*link.Link, error)
	missing(error) bool // the error of reach may be that there is no keeper
	start(context.Context) error
	log() string // where the keeper says what happens to it
	String() string
}

// here is the way to the keeper of this host.
type here struct{ home home.Home }

var _ way = here{}

func (w here) reach(ctx context.Context, c keeper.Claim) (*link.Link, error) {
	return link.Reach(ctx, w.home, c)
}

func (w here) missing(err error) bool          { return refuses(err) }
func (w here) start(ctx context.Context) error { return start(ctx, w.home) }
func (w here) log() string                     { return logOf(w.home) }

// String returns the state folder.
func (w here) String() string { return w.home.Dir }

// far is the way to the keeper of another host.
type far struct{ Way }

var _ way = far{}

// reach attaches. Why a connection cannot be had is known on the other host only: there may be no keeper.
func (w far) reach(ctx context.Context, c keeper.Claim) (*link.Link, error) {
	conn, err := w.Dial(ctx)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", link.ErrAbsent, err)
	}
	return link.ReachOver(ctx, conn, c)
}

func (w far) missing(error) bool              { return true }
func (w far) start(ctx context.Context) error { return w.Start(ctx) }
func (w far) log() string                     { return "keeper/keeper.log in the state folder of " + w.String() }
