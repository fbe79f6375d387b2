package system

import (
	"context"
	"fmt"
	"time"

	"github.com/divisi-go/divisi/internal/operator"
	"github.com/divisi-go/divisi/internal/server"
	"github.com/divisi-go/divisi/internal/tree"
	"github.com/divisi-go/divisi/internal/ward"
)

// Proc is a server: a program that a host runs, with the processes that it has one after the other.
type Proc struct{ server *ward.Server }

// Outcome says what Ensure has done.
type Outcome = server.Outcome

// The outcomes.
const (
	Adopted  = server.Adopted  // it ran as wanted
	Upgraded = server.Upgraded // it ran in another way, or could not be used, and was replaced
	Started  = server.Started  // it did not run
)

// ID returns the full name of the server, such as positiond@/orderd/eu, as commands and logs have it.
func (p *Proc) ID() string { return p.server.ID() }

// Outcome returns what Ensure has done.
func (p *Proc) Outcome() Outcome { return p.server.Outcome() }

// Pid returns the number of the process that was started last. It may have ended.
func (p *Proc) Pid() int { return p.server.Pid() }

// Ensure has a server run in a nursery, and returns when it can be used. One that runs as wanted, whoever
// has started it, is left as it is. One that runs in another way is replaced: the next one starts on the
// same sockets, and the one before stops when the next one is ready; if it is not in time, it is stopped,
// the one before has never left, and the error has the last lines of its log. One that runs as wanted, and
// does not become ready in time, is replaced in the same way. From then on the nursery supervises it.
//
// The context bounds the start. The server ends with the nursery.
func (h *Host) Ensure(ctx context.Context, n *Nursery, s Spec) (*Proc, error) {
	site := caller()
	w := &ward.Server{Hangs: h.hangs, Asked: h.asked, In: n.program.ward()}
	w.Again = func() (*server.Wanted, error) {
		wanted, err := h.wanted(n.Path(), s)
		if err != nil {
			return nil, fmt.Errorf("cannot start %s in %s (%s): %w", s.Name, n.Path(), site, err)
		}
		wanted.Spec.Policy, wanted.Spec.Yields = s.Policy.keeper(), true
		wanted.Turn, wanted.Warn = n.program.upgrades, w.Warn
		return wanted, nil
	}
	wanted, err := w.Again()
	if err != nil {
		return nil, err
	}

	member := n.member(operator.KindServer, s.Name, site)
	member.Spec = tree.Spec{Policy: s.Policy.lifecycle(Permanent), Host: h.name}
	member.Spec.Policy.StopTime = wanted.Spec.Grace + stopMargin // the keeper kills after the grace
	w.Wanted, w.Member = wanted, member
	member.Run, member.Renew = w.Run, w.Renew
	if err := n.start(ctx, member); err != nil {
		return nil, err
	}
	return &Proc{w}, nil
}

// stopMargin is how much longer than its grace a server may take to stop.
const stopMargin = 15 * time.Second

// ward returns the run as those that look after servers have it.
func (p *program) ward() ward.Run {
	return ward.Run{Life: p.life, Settled: p.settled.Load, Supervisor: p.supervisor, Log: p.log}
}
