//go:build !linux

package estate

import (
	"context"
	"errors"

	"github.com/divisi-go/divisi/internal/deployer"
	"github.com/divisi-go/divisi/internal/home"
	"github.com/divisi-go/divisi/internal/keeper"
	"github.com/divisi-go/divisi/internal/keeper/hold"
	"github.com/divisi-go/divisi/internal/launch"
)

var errLinux = errors.New("processes that outlive divisi run need a keeper in a process of its own, which there is on Linux only")

// Occupy claims the domain of an application, and opens a keeper in this process for it. The error is
// [home.ErrTaken] if another process has it.
func Occupy(ctx context.Context, h home.Home, d home.Domain, c keeper.Claim) (*Estate, error) {
	if !c.Ends {
		return nil, errLinux
	}
	claim, err := d.Claim()
	if err != nil {
		return nil, err
	}
	k, err := hold.Open(d.State, h.Logs(), "")
	if err != nil {
		return nil, errors.Join(err, claim.Release())
	}
	s, err := k.Attach(ctx, c)
	if err != nil {
		return nil, errors.Join(err, k.Close(), claim.Release())
	}

	return &Estate{
		Domain: d, Launcher: launch.NewLauncher(s),
		release: func(bool) error { return errors.Join(s.Release(), k.Close(), claim.Release()) },
	}, nil
}

// Attend fails on this system.
func Attend(context.Context, home.Home, home.Domain, keeper.Claim) (*Estate, deployer.Spec, error) {
	return nil, deployer.Spec{}, errLinux
}
