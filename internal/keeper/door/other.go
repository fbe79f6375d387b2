//go:build !linux

package door

import (
	"context"
	"errors"

	"github.com/divisi-go/divisi/internal/home"
	"github.com/divisi-go/divisi/internal/keeper"
	"github.com/divisi-go/divisi/internal/keeper/hold"
	"github.com/divisi-go/divisi/internal/keeper/link"
)

// Enter does nothing on this system.
func Enter() {}

// Client is a session of a keeper in another process.
type Client struct{ *hold.Session }

// Find finds none.
func Find(context.Context, home.Home) (*Client, error) { return nil, ErrNone }

// Info says nothing.
func (*Client) Info(context.Context) (link.Info, error) { return link.Info{}, ErrNone }

// Shutdown ends nothing.
func (*Client) Shutdown(context.Context) error { return ErrNone }

// Upgrade finds none.
func (*Client) Upgrade(context.Context, string) (link.Info, error) { return link.Info{}, ErrNone }

// Attach fails on this system.
func Attach(context.Context, home.Home, keeper.Claim) (*Client, error) {
	return nil, errElsewhere
}

// AttachBy fails on this system.
func AttachBy(context.Context, Way, keeper.Claim) (*Client, error) { return nil, errElsewhere }

var errElsewhere = errors.New("the keeper is a process of its own on Linux only, and servers that outlive commands need one")
