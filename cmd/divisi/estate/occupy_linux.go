package estate

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"sync"
	"time"

	"github.com/divisi-go/divisi/internal/deployer"
	"github.com/divisi-go/divisi/internal/home"
	"github.com/divisi-go/divisi/internal/keeper"
	"github.com/divisi-go/divisi/internal/keeper/door"
	"github.com/divisi-go/divisi/internal/launch"
)

// Times that a claim waits for who has the domain: one that answers will not go, and any other begins or
// ends, or decides for a moment.
const (
	heldTime   = 100 * time.Millisecond
	endingTime = 2 * time.Second
	momentTime = 5 * time.Second
	slowTime   = 10 * time.Second // that a keeper may take to say anything
)

// Occupy claims the domain of an application at the keeper, which is a process of its own. If something runs
// there that was to outlive its deployer, so does what this one starts. The error is [home.ErrTaken] if
// another process has the domain whose application ends with it.
func Occupy(ctx context.Context, h home.Home, d home.Domain, c keeper.Claim) (*Estate, error) {
	if err := d.Make(); err != nil {
		return nil, err
	}
	gate, err := d.Gate(ctx)
	if err != nil {
		return nil, err
	}

	e, err := occupy(ctx, h, d, c)
	if err != nil {
		return nil, errors.Join(err, gate.Close())
	}
	e.gate = gate
	return e, nil
}

func occupy(ctx context.Context, h home.Home, d home.Domain, c keeper.Claim) (*Estate, error) {
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
	if slices.ContainsFunc(running, isReplica) {
		c.Ends = false
	}
	c.Take = !c.Ends

	limit := endingTime
	if c.Ends && answers(d.Door) {
		limit = heldTime
	}
	k, err := claim(ctx, h, c, limit)
	if errors.Is(err, keeper.ErrHeld) {
		return nil, fmt.Errorf("%w: %w", home.ErrTaken, err)
	}
	if err != nil {
		return nil, err
	}

	e, _, err := enter(d, k, !c.Ends)
	return e, err
}

// Attend claims the domain of an application that runs, unless somebody decides about it: then the error is
// [keeper.ErrHeld]. It returns what runs as well: the newest version. What it starts is started as the
// processes that run were, whatever the folder and the environment of this one.
func Attend(ctx context.Context, h home.Home, d home.Domain, c keeper.Claim) (*Estate, deployer.Spec, error) {
	gate, err := d.Gate(ctx)
	if errors.Is(err, fs.ErrNotExist) {
		err = ErrNothing
	}
	if err != nil {
		return nil, deployer.Spec{}, err
	}

	e, spec, err := attend(ctx, h, d, c)
	if err != nil {
		return nil, deployer.Spec{}, errors.Join(err, gate.Close())
	}
	e.gate = gate
	return e, spec, nil
}

func attend(ctx context.Context, h home.Home, d home.Domain, c keeper.Claim) (*Estate, deployer.Spec, error) {
	k, err := claim(ctx, h, c, momentTime)
	if err != nil {
		return nil, deployer.Spec{}, err
	}
	list, err := k.List(ctx, c.Domain)
	if err == nil && !slices.ContainsFunc(list, isReplica) {
		err = ErrNothing
	}
	if err == nil {
		err = d.Make()
	}
	if err != nil {
		return nil, deployer.Spec{}, errors.Join(err, k.Release())
	}

	e, s, err := enter(d, k, true)
	if err != nil {
		return nil, deployer.Spec{}, err
	}
	spec, err := inherit(ctx, k, s)
	if err != nil {
		return nil, deployer.Spec{}, errors.Join(err, e.Release(errors.Is(err, ErrNothing)))
	}
	return e, spec, nil
}

// inherit finds out what was decided before, and goes on in the same way.
func inherit(ctx context.Context, k *door.Client, s *launch.Succession) (deployer.Spec, error) {
	running, err := s.Running(ctx)
	if err != nil {
		return deployer.Spec{}, err
	}
	if len(running) == 0 {
		return deployer.Spec{}, ErrNothing
	}
	newest := running[len(running)-1].Version
	spec, err := s.Load(newest)
	if err != nil {
		return deployer.Spec{}, err
	}

	list, err := k.List(ctx, k.Holder().Domain)
	if err != nil {
		return deployer.Spec{}, err
	}
	i := slices.IndexFunc(list, func(p keeper.Proc) bool { return p.Labels[launch.LabelVersion] == newest })
	if i < 0 {
		return deployer.Spec{}, ErrNothing
	}
	like, err := k.Spec(ctx, list[i].ID)
	if err != nil {
		return deployer.Spec{}, err
	}
	s.StartLike(like)
	return spec, nil
}

// claim waits for a domain while somebody else has it, and not for long. A keeper that is slow to say so is
// given more time.
func claim(ctx context.Context, h home.Home, c keeper.Claim, limit time.Duration) (*door.Client, error) {
	for {
		limited, cancel := context.WithTimeout(ctx, limit)
		k, err := door.Attach(limited, h, c)
		cancel()
		slow := errors.Is(err, context.DeadlineExceeded) && ctx.Err() == nil
		if !slow || limit > slowTime {
			return k, err
		}
		limit *= 2
	}
}

// enter has processes reach this one.
func enter(d home.Domain, k *door.Client, stays bool) (*Estate, *launch.Succession, error) {
	s, err := launch.NewSuccession(k, stays, d)
	if err != nil {
		return nil, nil, errors.Join(err, k.Release())
	}

	vault := launch.NewVault(k, d.Path)
	keeping, end := context.WithCancel(context.Background())
	var kept sync.WaitGroup
	kept.Go(func() { vault.Serve(keeping) })
	return &Estate{
		Domain: d, Launcher: s, Succession: s, Vault: vault, Stays: stays,
		release: func(over bool) error {
			end()
			kept.Wait()
			err := s.Close()
			if over {
				d.Clear() // before somebody else can have the domain
			}
			return errors.Join(err, k.Release())
		},
	}, s, nil
}
