//go:build unix

package hold

import (
	"cmp"
	"path/filepath"
	"time"

	"github.com/divisi-go/divisi/internal/keeper"
	"github.com/divisi-go/divisi/internal/keeper/journal"
	"github.com/divisi-go/divisi/internal/keeper/record"
)

// record remembers the end of a process; the mutex is held.
func (k *Keeper) record(s *server, id keeper.ID, pid int, exit keeper.Exit) {
	last := exitEntry(k.exits.Add(keeper.ExitRecord{ID: id, Pid: pid, Exit: exit, Token: s.spec.Token}))
	last.Born = s.born
	k.note(last)
}

func exitEntry(r keeper.ExitRecord) record.Entry {
	return record.Entry{Event: record.Exited, ID: r.ID, Pid: r.Pid, Number: r.Number, Exit: &r.Exit, Token: r.Token}
}

// journaled returns what the journal has of a specification. The environment and the arguments, in
// which people leave secrets, are there only if the keeper itself may have to start the server again.
func journaled(s *keeper.Spec) *keeper.Spec {
	kept := *s
	if s.Policy == nil {
		kept.Env, kept.Args = nil, nil
	}
	return &kept
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
	list := []any{record.Entry{Event: record.Begun, Format: record.Format, Boot: k.boot, Mark: k.mark, Run: k.run, Number: k.exits.Number, Time: time.Now()}}
	for holder, ends := range k.claims.All() {
		list = append(list, claimed(holder, ends))
	}
	for _, s := range k.stock.Sockets("/") {
		list = append(list, s.Entry())
	}
	for _, r := range k.exits.List {
		list = append(list, exitEntry(r))
	}
	for _, all := range k.servers {
		for _, s := range all {
			list = append(list, s.entry())
			if p := s.process; p != nil {
				list = append(list, p.entry())
			}
		}
	}

	return list
}

// claimed returns what the journal has of a claim.
func claimed(h keeper.Holder, ends bool) record.Entry {
	return record.Entry{Event: record.Claimed, Holder: &h, Ends: ends}
}

// entry returns what the journal has of a server, but for its process.
func (s *server) entry() record.Entry {
	return record.Entry{Event: record.Wanted, Born: s.born, Spec: journaled(&s.spec)}
}

// entry returns what the journal has of a process that runs.
func (p *process) entry() record.Entry {
	return record.Entry{Event: record.Started, Born: p.server.born, ID: p.id, Pid: p.Pid, Ticks: p.Ticks, Time: p.Started}
}

// Left reports whether an earlier keeper of a folder, which does not run any more, has left servers or
// sockets to the next one.
func Left(dir string) (bool, error) {
	lines, err := journal.Read(filepath.Join(dir, journalFile))
	if err != nil {
		return false, err
	}
	before, err := record.Read(lines)
	if err != nil {
		return false, err
	}

	return len(before.Servers)+len(before.Sockets) > 0, nil
}

// journalFile is the name of the journal.
const journalFile = "journal.ndjson"

// recall takes over the numbers, the epochs and the ends that an earlier keeper has known.
func (k *Keeper) recall(before *record.Past) {
	k.run, k.exits.Number = before.Run, before.Exit
	k.mark = cmp.Or(before.Mark, k.mark)
	for _, c := range before.Claims {
		k.claims.Recall(c.Holder, c.Ends)
	}
	for _, r := range before.Exits {
		k.exits.Recall(r)
	}
}
