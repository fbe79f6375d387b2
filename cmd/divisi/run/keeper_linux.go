package run

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"time"

	"github.com/divisi-go/divisi/internal/home"
	"github.com/divisi-go/divisi/internal/keeper"
	"github.com/divisi-go/divisi/internal/keeper/door"
	"github.com/divisi-go/divisi/internal/launch"
)

// Times that a claim waits for who has the domain: one that answers will not go, and any other begins or ends.
const (
	heldTime   = 100 * time.Millisecond
	endingTime = 2 * time.Second
)

// occupy claims the domain of an application at the keeper, which is a process of its own. If something runs
// there that was to outlive its deployer, so does what this one starts. The error is [home.ErrTaken] if
// another process has the domain whose application ends with it.
func occupy(ctx context.Context, h home.Home, d home.Domain, c keeper.Claim) (*estate, error) {
	if err := d.Make(); err != nil {
		return nil, err
	}
	// The keeper has started before the time counts.
	looker, err := door.Attach(ctx, h, keeper.Claim{})
	if err != nil {
		return nil, err
	}
	defer looker.Release()

	running, err := looker.List(ctx, c.Domain)
	if err != nil {
		return nil, err
	}
	if slices.ContainsFunc(running, func(p keeper.Proc) bool { return p.Labels[launch.LabelVersion] != "" }) {
		c.Ends = false
	}
	c.Take = !c.Ends

	limit := endingTime
	if answers(d.Door) {
		limit = heldTime
	}
	waiting, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	k, err := door.Attach(waiting, h, c)
	switch {
	case errors.Is(err, keeper.ErrHeld):
		return nil, fmt.Errorf("%w: %w", home.ErrTaken, err)
	case err != nil:
		return nil, err
	}

	succession, err := launch.NewSuccession(k, !c.Ends, d.Deployer, d.Versions)
	if err != nil {
		return nil, errors.Join(err, k.Release())
	}
	return &estate{
		Domain: d, launcher: succession, succession: succession, stays: !c.Ends,
		release: func(over bool) error {
			err := errors.Join(succession.Close(), k.Release())
			if over {
				d.Clear()
			}
			return err
		},
	}, nil
}

func answers(door string) bool {
	conn, err := net.Dial("unix", door)
	if err == nil {
		conn.Close()
	}
	return err == nil
}
