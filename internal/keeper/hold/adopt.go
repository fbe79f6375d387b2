//go:build unix

package hold

import (
	"maps"
	"slices"
	"time"

	"github.com/divisi-go/divisi/internal/keeper"
	"github.com/divisi-go/divisi/internal/keeper/child"
	"github.com/divisi-go/divisi/internal/keeper/record"
	"github.com/divisi-go/divisi/internal/lifecycle"
)

// adopt takes over what an earlier keeper has left, which was killed or has lost the machine: its
// processes, as far as they live, its sockets, and the servers that are to start again. Nobody uses
// this keeper yet.
func (k *Keeper) adopt(before *record.Past) {
	for _, born := range slices.Sorted(maps.Keys(before.Servers)) {
		k.adoptServer(before, born)
	}
	for at, old := range before.Sockets {
		k.stock.Recover(k.stock.Recall(at, old), before.Boot == k.ledger.Boot, k.living())
	}
	for _, old := range before.Servers {
		if old.Spec.Ends {
			k.abandon(&old.Spec) // its last process may have ended with the keeper
		}
	}
}

// adoptServer takes over one server, if its process lives or it is to start again.
func (k *Keeper) adoptServer(before *record.Past, born uint64) {
	old := before.Servers[born]
	s := k.newServer(old.Spec)
	s.born, s.run = born, max(old.Run, born)
	s.life.Step(lifecycle.Start, time.Now()) // it was started; what follows is the same as then

	if old.Process != nil {
		p := k.findAgain(before, *old.Process)
		if p != nil {
			p.server, s.process, s.started, s.writing = s, p, p.Started, 1
			k.processes[p.id.Run] = p
			s.life.Step(lifecycle.Answered, time.Now())
		}
	}
	if s.process == nil {
		exit := k.lastExit(before, old)
		if e := old.Process; e != nil {
			k.record(s, e.ID, e.Pid, exit)
		}
		s.lastExit = &exit
		s.life.Step(exit.Event(), time.Now())
	}

	if s.life.State != lifecycle.Stopped {
		s.shelf.Recall(k.store, born)
		k.servers.Add(s)
	}
}

// lastExit returns how the last process of a server has ended that has none.
func (k *Keeper) lastExit(before *record.Past, old *record.Server) keeper.Exit {
	how := keeper.Unknown
	if before.Boot != k.ledger.Boot {
		how = keeper.Reboot
	}
	id := old.Spec.ID()
	id.Run = old.Run
	exit, known := k.ledger.Exits.Of(id)
	if !known {
		exit = keeper.Exit{Code: -1, How: how, Time: time.Now()}
	}
	return exit
}

// findAgain returns the process of a start, if it lives, and what can be had of its output.
func (k *Keeper) findAgain(before *record.Past, e record.Entry) *process {
	if before.Boot != k.ledger.Boot {
		return nil
	}
	known := child.Child{Pid: e.Pid, Ticks: e.Ticks, Started: e.Time} // nothing if it was killed before it knew more
	found, err := child.Find(known, k.ledger.MarkOf(e.ID.Run))
	if err != nil {
		return nil
	}

	p := &process{Child: found, id: e.ID, logged: make(chan struct{})}
	k.openLog(p)
	p.Reopen()

	return p
}

// resume goes on with what was adopted.
func (k *Keeper) resume() {
	k.mu.Lock()
	defer k.mu.Unlock()
	for _, p := range k.processes {
		k.accompany(p)
	}
	for s := range k.servers.All() {
		s.goOn()
	}

	// Clients that live renew their claims at once. One that has ended with the earlier keeper does not:
	// what ends with its claim does so then, and what waits for it starts again.
	k.forgo = time.AfterFunc(renewTime, func() {
		k.mu.Lock()
		defer k.mu.Unlock()
		if k.closed {
			return
		}
		for _, c := range k.claims.Forgo() {
			if c.Ends {
				k.end(c.Holder.Domain)
			}
			k.ledger.Note(record.Decides(c))
		}
		k.rearm("/")
	})
}

// renewTime is how long clients of an earlier keeper may take to renew their claims.
const renewTime = 5 * time.Second
