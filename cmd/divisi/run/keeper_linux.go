package run

import (
	"context"

	"github.com/divisi-go/divisi/internal/home"
	"github.com/divisi-go/divisi/internal/keeper"
	"github.com/divisi-go/divisi/internal/keeper/door"
)

// session is how an application uses the keeper.
type session = door.Client

// attach returns a session of the keeper of a home, which is a process of its own.
func attach(ctx context.Context, h home.Home, _ *home.Claim, c keeper.Claim) (*session, error) {
	return door.Attach(ctx, h, c)
}
