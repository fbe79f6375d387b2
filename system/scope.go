package system

import (
	"cmp"
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/divisi-go/divisi/internal/lifecycle"
	"github.com/divisi-go/divisi/internal/operator"
	"github.com/divisi-go/divisi/internal/supervision"
	"github.com/divisi-go/divisi/internal/tree"
)

// Scope is a nursery within another one.
type Scope struct {
	Name     string
	Strategy Strategy // what the failure of one does to the others in it; default that of the nursery around it
	Policy   Policy   // what follows in the nursery around it when the scope has failed
}

// Strategy says what the failure of something in a nursery does to the rest of it.
type Strategy = tree.Strategy

// The strategies. What starts again does so in the order of its start, each when the one before is ready,
// after a wait that is random and grows.
const (
	AllFail    = tree.Together   // all of them stop, in the reverse order of their start, and the nursery has failed
	OneForOne  = tree.OneForOne  // none of them: it alone starts again
	RestForOne = tree.RestForOne // those that were started after it stop, and start again after it
	OneForAll  = tree.OneForAll  // all of them stop, and start again
)

// Policy is what follows when something ends. What fails more often than Intensity allows within Window
// takes its nursery with it, about which the one around it decides; in the outermost one it stays down,
// which is said, and is tried again after MaxBackoff. Zero fields have the defaults.
type Policy struct {
	Restart    Restart       // default permanent for servers, transient for the rest
	Intensity  int           // default 5
	Window     time.Duration // default 60 s
	Backoff    time.Duration // bound of the first wait, doubled by every further one; default 100 ms
	MaxBackoff time.Duration // largest bound; default 30 s
}

// Restart says after which ends something starts again.
type Restart = lifecycle.Restart

// The choices.
const (
	Permanent Restart = lifecycle.Permanent // after any
	Transient Restart = lifecycle.Transient // after failures
	Temporary Restart = lifecycle.Temporary // after none
)

const transient = Transient

func (p Policy) lifecycle(restart Restart) lifecycle.Policy {
	return lifecycle.Policy{
		Restart: cmp.Or(p.Restart, restart), Intensity: p.Intensity, Window: p.Window, Backoff: p.Backoff, MaxBackoff: p.MaxBackoff,
	}
}

// Start runs a start function in a nursery of its own, which is a member of n, and returns its result. When
// the scope fails, all in it is stopped; when it is to start again, the function is run again, and what it
// returns then is dropped: whoever has the first result goes on with that, for sockets and folders are the
// same.
//
// The context of the function ends with that of the caller, and when the function returns: it is for the
// start alone. What goes on is the nursery's, see [Nursery.Go].
func Start[T any](ctx context.Context, n *Nursery, s Scope, f func(context.Context, *Nursery) (T, error)) (T, error) {
	var result T
	var once sync.Once
	err := n.scope(ctx, s, caller(), func(ctx context.Context, in *Nursery) error {
		got, err := f(ctx, in)
		if err == nil {
			once.Do(func() { result = got })
		}
		return err
	})
	return result, err
}

// scope starts a nursery in n.
func (n *Nursery) scope(ctx context.Context, s Scope, site string, body func(context.Context, *Nursery) error) error {
	for around := n; around.parent != nil; around = around.parent {
		if around.site == site && around.scopeName() == s.Name {
			return fmt.Errorf("a cycle: the start of %s, at %s, comes to itself again", around.Path(), site)
		}
	}
	m := n.member(operator.KindScope, s.Name, site)
	m.Spec = tree.Spec{Group: true, Strategy: cmp.Or(s.Strategy, n.strategy()), Policy: s.Policy.lifecycle(transient)}
	m.Run = func(ctx context.Context) (func() (bool, error), error) {
		in := newNursery(n.program, n, m.Path, site)
		in.scopeStrategy, in.name = m.Spec.Strategy, s.Name
		m.WhenOver(in.end)
		return nil, in.run(ctx, body)
	}
	return n.start(ctx, m)
}

func (n *Nursery) scopeName() string { return n.name }

func (n *Nursery) strategy() Strategy { return n.scopeStrategy }

// patience is how long a start function may take to return once its context has ended.
const patience = 2 * time.Second

// run runs the function that starts what is in the nursery. The error of one that does not return although
// its time is over says where it was called.
func (n *Nursery) run(ctx context.Context, body func(context.Context, *Nursery) error) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	returned := make(chan error, 1)
	go func() { returned <- supervision.Protect(func() error { return body(ctx, n) }) }()

	var err error
	select {
	case err = <-returned:
	case <-ctx.Done():
		select {
		case err = <-returned:
		case <-time.After(patience):
			err = fmt.Errorf("the start of %s (%s) hangs: it has not returned %v after the end of its context: %w",
				n.Path(), n.site, patience, context.Cause(ctx))
		}
	}
	if err == nil {
		err = n.keys.Unfinished()
	}
	if err != nil {
		n.cancel(fmt.Errorf("its start has failed: %w", err)) // what is in it is yet to stop
	}
	return err
}

// Together runs functions at the same time, and returns when all have returned, with their errors. When one
// fails, the context of the others ends.
func Together(ctx context.Context, functions ...func(context.Context) error) error {
	return supervision.Together(ctx, functions...)
}
