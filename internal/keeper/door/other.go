//go:build !linux

package door

import (
	"context"
	"errors"

	"github.com/divisi-go/divisi/internal/home"
	"github.com/divisi-go/divisi/internal/keeper"
	"github.com/divisi-go/divisi/internal/keeper/hold"
)

// Enter does nothing on this system.
func Enter() {}

// Client is a session of a keeper in another process.
type Client struct{ *hold.Session }

// Attach fails on this system.
func Attach(context.Context, home.Home, keeper.Claim) (*Client, error) {
	return nil, errors.New("the keeper is a process of its own on Linux only: use hold.Open here")
}
