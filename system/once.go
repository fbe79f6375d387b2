package system

import (
	"context"
	"fmt"

	stored "github.com/divisi-go/divisi/internal/program"
)

// Exit is how a program ended that was to run once.
type Exit struct {
	Code   int    // -1 if a signal ended it
	Signal string // "" if none did
	Output string // the last mebibyte of what it has printed
}

// Run runs a program to its end, such as one that makes a database. The error of one that does not exit
// with 0 has the last lines that it has printed. When ctx ends first, it is killed, with all that it has
// started; what still runs of it from an earlier run of this program is killed before it starts.
func (h *Host) Run(ctx context.Context, n *Nursery, s Spec) (Exit, error) {
	site := caller()
	exit, err := h.once(ctx, n, s, site)
	if err != nil {
		return exit, fmt.Errorf("cannot run %s in %s (%s): %w", s.Name, n.Path(), site, err)
	}
	return exit, nil
}

func (h *Host) once(ctx context.Context, n *Nursery, s Spec, site string) (Exit, error) {
	wanted, err := h.wanted(n.Path(), s)
	if err != nil {
		return Exit{}, err
	}
	key := "the program " + s.Name
	if err := n.keys.Reserve(key, s.Name, site); err != nil {
		return Exit{}, err
	}
	defer n.keys.Release(key)
	defer n.keys.Begin(key, site)()
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	defer context.AfterFunc(n.ctx, func() { cancel(context.Cause(n.ctx)) })()

	run, end, err := wanted.Once(ctx, stored.Explain)
	if err != nil {
		return Exit{}, err
	}
	exit := Exit{Code: end.Code, Signal: end.Signal, Output: run.Output()}
	if end.Code != 0 {
		err = fmt.Errorf("it %v%s", end, run.LastWords())
	}
	return exit, err
}
