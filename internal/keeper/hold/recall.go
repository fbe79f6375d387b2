//go:build unix

package hold

import (
	"github.com/divisi-go/divisi/internal/keeper"
	"github.com/divisi-go/divisi/internal/keeper/record"
)

// record remembers the end of a process; the mutex is held.
func (k *Keeper) record(s *server, id keeper.ID, pid int, exit keeper.Exit) {
	k.ledger.End(s.born, keeper.ExitRecord{ID: id, Pid: pid, Exit: exit, Token: s.spec.Token})
}

// state returns the whole state for the journal.
func (k *Keeper) state(forget func()) []any {
	k.mu.Lock()
	defer k.mu.Unlock()
	forget()

	return k.entries()
}

// entries returns the whole state; the mutex is held.
func (k *Keeper) entries() []any {
	list := []any{k.ledger.Begun()}
	for c := range k.claims.All() {
		list = append(list, record.Decides(c))
	}
	for _, s := range k.stock.Sockets("/") {
		list = append(list, s.Entry())
	}
	for _, r := range k.ledger.Exits.List {
		list = append(list, record.End(r))
	}
	for s := range k.servers.All() {
		if s.born == 0 {
			continue // it is about to be noted
		}
		list = append(list, record.Want(s.born, s.run, &s.spec))
		switch {
		case s.process != nil:
			list = append(list, s.process.entry())
		case s.next != 0:
			list = append(list, s.starts())
		}
	}

	return list
}

// entry returns what the journal has of a process that runs.
func (p *process) entry() record.Entry {
	return record.Entry{Event: record.Started, Born: p.server.born, ID: p.id, Pid: p.Pid, Ticks: p.Ticks, Time: p.Started}
}

// starts returns what the journal has of a process that is being started: by its mark, a keeper that comes
// later finds it.
func (s *server) starts() record.Entry {
	id := s.spec.ID()
	id.Run = s.next
	return record.Entry{Event: record.Starts, Born: s.born, ID: id}
}
