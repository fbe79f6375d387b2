//go:build unix

package keeper

import (
	"encoding/json"
	"fmt"
	"slices"
	"time"
)

// entry is a line of the journal: a part of the state, or what has changed it. Readers skip members
// and events that they do not know.
type entry struct {
	Event  change    `json:"event"`
	Format int       `json:"format,omitempty"`
	Boot   string    `json:"boot,omitempty"`
	Mark   string    `json:"mark,omitempty"`
	Run    uint64    `json:"last_run,omitempty"`
	ID     ID        `json:"id,omitzero"`
	Pid    int       `json:"pid,omitempty"`
	Ticks  uint64    `json:"ticks,omitempty"` // when the process started, as the kernel counts it
	Number uint64    `json:"number,omitempty"`
	Exit   *Exit     `json:"exit,omitempty"`
	Holder *Holder   `json:"holder,omitempty"`
	Socket *Socket   `json:"socket,omitempty"`
	Spec   *Spec     `json:"spec,omitempty"`
	Time   time.Time `json:"time,omitzero"`
}

// change says what an entry is about.
type change string

const (
	begun      change = "keeper"     // the first entry: who writes, and in which format
	claimed    change = "claimed"    // Holder has the domain
	listened   change = "listened"   // Socket is kept
	unlistened change = "unlistened" // Socket is not kept any more
	starts     change = "starts"     // ID is about to start; Spec says how
	refused    change = "refused"    // it could not be started
	started    change = "started"    // it is process Pid
	exited     change = "exited"     // it has ended, which is the exit with Number
)

// format is that of the entries.
const format = 1

// maxExits bounds how many ends are remembered.
const maxExits = 10_000

// record remembers the end of a process; the mutex is held.
func (k *Keeper) record(id ID, pid int, exit Exit) {
	k.exit++
	k.exits = append(k.exits, ExitRecord{Number: k.exit, ID: id, Pid: pid, Exit: exit})
	if len(k.exits) > maxExits {
		k.exits = slices.Delete(k.exits, 0, maxExits/10)
	}
	k.journal.Add(exitEntry(k.exits[len(k.exits)-1]))
}

func exitEntry(r ExitRecord) entry {
	return entry{Event: exited, ID: r.ID, Pid: r.Pid, Number: r.Number, Exit: &r.Exit}
}

// journaled returns what the journal has of a specification. The environment and the arguments, in
// which people leave secrets, are there only if the keeper itself may have to start the server again.
func (s *Spec) journaled() *Spec {
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

	list := []any{entry{Event: begun, Format: format, Boot: k.boot, Mark: k.mark, Run: k.run, Number: k.exit, Time: time.Now()}}
	for domain, epoch := range k.epochs {
		holder := Holder{Domain: domain, Epoch: epoch}
		if session, held := k.claims[domain]; held {
			holder = session.holder
		}
		list = append(list, entry{Event: claimed, Holder: &holder})
	}
	for _, s := range k.sockets {
		socket := s.Socket
		list = append(list, entry{Event: listened, Socket: &socket})
	}
	for _, r := range k.exits {
		list = append(list, exitEntry(r))
	}
	for _, p := range k.processes {
		if p.reaped {
			continue
		}
		list = append(list, entry{Event: starts, ID: p.id, Spec: p.server.spec.journaled()},
			entry{Event: started, ID: p.id, Pid: p.pid, Ticks: p.ticks, Time: p.started})
	}

	return list
}

// recall takes over what an earlier keeper has written. Processes of which it has not seen the end
// have ended in a way that nobody knows.
func (k *Keeper) recall(lines [][]byte) error {
	var boot string
	open := map[ID]entry{}
	for n, line := range lines {
		var e entry
		if err := json.Unmarshal(line, &e); err != nil {
			continue // a full disk has cut it, and the state was written after it
		}

		switch e.Event {
		case begun:
			if e.Format != format {
				return fmt.Errorf("line %d: format %d is not known here, only %d: use the divisi that wrote it, "+
					"or move the file away when nothing of it runs", n+1, e.Format, format)
			}
			boot = e.Boot
			k.run, k.exit = max(k.run, e.Run), max(k.exit, e.Number)
		case claimed:
			if e.Holder != nil {
				k.epochs[e.Holder.Domain] = max(k.epochs[e.Holder.Domain], e.Holder.Epoch)
			}
		case starts, started:
			k.run = max(k.run, e.ID.Run)
			open[e.ID] = e
		case refused:
			delete(open, e.ID)
		case exited:
			delete(open, e.ID)
			if e.Exit != nil && e.Number > 0 {
				k.exit = max(k.exit, e.Number)
				k.exits = append(k.exits, ExitRecord{Number: e.Number, ID: e.ID, Pid: e.Pid, Exit: *e.Exit})
			}
		}
	}

	how := Unknown
	if boot != k.boot {
		how = Reboot
	}
	for id, e := range open {
		k.exit++
		k.exits = append(k.exits, ExitRecord{Number: k.exit, ID: id, Pid: e.Pid, Exit: Exit{Code: -1, How: how, Time: time.Now()}})
	}
	if len(k.exits) > maxExits {
		k.exits = slices.Delete(k.exits, 0, len(k.exits)-maxExits)
	}

	return nil
}
