//go:build unix

package hold

import (
	"encoding/json"
	"fmt"
	"path/filepath"
	"time"

	"github.com/divisi-go/divisi/internal/keeper"
	"github.com/divisi-go/divisi/internal/keeper/journal"
)

// entry is a line of the journal: a part of the state, or what has changed it. Readers skip members
// and events that they do not know.
type entry struct {
	Event  change         `json:"event"`
	Format int            `json:"format,omitempty"`
	Boot   string         `json:"boot,omitempty"`
	Mark   string         `json:"mark,omitempty"`
	Run    uint64         `json:"last_run,omitempty"`
	Born   uint64         `json:"born,omitempty"` // the number of the first start of a server, which names it
	ID     keeper.ID      `json:"id,omitzero"`
	Pid    int            `json:"pid,omitempty"`
	Ticks  uint64         `json:"ticks,omitempty"` // when the process started, as the kernel counts it
	Number uint64         `json:"number,omitempty"`
	Exit   *keeper.Exit   `json:"exit,omitempty"`
	Ends   bool           `json:"ends,omitempty"` // everything in the domain ends with the claim
	Holder *keeper.Holder `json:"holder,omitempty"`
	Socket *keeper.Socket `json:"socket,omitempty"`
	Inode  uint64         `json:"inode,omitempty"` // of the socket
	Spec   *keeper.Spec   `json:"spec,omitempty"`
	Time   time.Time      `json:"time,omitzero"`
}

// change says what an entry is about.
type change string

const (
	begun      change = "keeper"     // the first entry: who writes, and in which format
	claimed    change = "claimed"    // Holder has the domain
	released   change = "released"   // Holder has it no longer
	listened   change = "listened"   // Socket is kept
	unlistened change = "unlistened" // Socket is not kept any more
	wanted     change = "wanted"     // the server Born is to run as Spec says
	starts     change = "starts"     // ID is about to start, for the server Born
	refused    change = "refused"    // it could not be started
	started    change = "started"    // it is process Pid
	exited     change = "exited"     // it has ended, which is the exit with Number
	left       change = "left"       // nobody wants the server Born any more, and it has ended
)

// format is that of the entries.
const format = 1

// record remembers the end of a process; the mutex is held.
func (k *Keeper) record(born uint64, id keeper.ID, pid int, exit keeper.Exit) {
	last := exitEntry(k.exits.Add(id, pid, exit))
	last.Born = born
	k.note(last)
}

func exitEntry(r keeper.ExitRecord) entry {
	return entry{Event: exited, ID: r.ID, Pid: r.Pid, Number: r.Number, Exit: &r.Exit}
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

	list := []any{entry{Event: begun, Format: format, Boot: k.boot, Mark: k.mark, Run: k.run, Number: k.exits.Number, Time: time.Now()}}
	for domain, epoch := range k.epochs {
		if session, held := k.claims[domain]; held {
			list = append(list, session.entry())
		} else {
			list = append(list, entry{Event: claimed, Holder: &keeper.Holder{Domain: domain, Epoch: epoch}, Ends: k.bound[domain]})
		}
	}
	for _, s := range k.sockets {
		list = append(list, s.entry())
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

// entry returns what the journal has of a server, but for its process.
func (s *server) entry() entry {
	return entry{Event: wanted, Born: s.born, Spec: journaled(&s.spec)}
}

// entry returns what the journal has of a process that runs.
func (p *process) entry() entry {
	return entry{Event: started, Born: p.server.born, ID: p.id, Pid: p.pid, Ticks: p.ticks, Time: p.started}
}

// past is what an earlier keeper has left.
type past struct {
	boot    string
	mark    string
	servers map[uint64]*pastServer // by born
	sockets map[key]*socket
	bound   map[string]bool // domains in which everything ends with the claim
}

// pastServer is a server that somebody wanted when the earlier keeper ended.
type pastServer struct {
	spec    keeper.Spec
	process *entry // its start that had not ended: starts or started; nil without one
}

// Left reports whether an earlier keeper of a folder, which does not run any more, has left servers or
// sockets to the next one.
func Left(dir string) (bool, error) {
	lines, err := journal.Read(filepath.Join(dir, journalFile))
	if err != nil {
		return false, err
	}
	k := &Keeper{epochs: map[string]uint64{}}
	before, err := k.recall(lines)
	if err != nil {
		return false, err
	}

	return len(before.servers)+len(before.sockets) > 0, nil
}

// journalFile is the name of the journal.
const journalFile = "journal.ndjson"

// recall reads what an earlier keeper has written.
func (k *Keeper) recall(lines [][]byte) (*past, error) {
	before := &past{servers: map[uint64]*pastServer{}, sockets: map[key]*socket{}, bound: map[string]bool{}}
	for n, line := range lines {
		var e entry
		if err := json.Unmarshal(line, &e); err != nil {
			continue // a full disk has cut it, and the state was written after it
		}

		switch e.Event {
		case begun:
			if e.Format != format {
				return nil, fmt.Errorf("line %d: format %d is not known here, only %d: use the divisi that wrote it, "+
					"or move the file away when nothing of it runs", n+1, e.Format, format)
			}
			before.boot, before.mark = e.Boot, e.Mark
			k.run, k.exits.Number = max(k.run, e.Run), max(k.exits.Number, e.Number)
		case claimed:
			if e.Holder != nil {
				k.epochs[e.Holder.Domain] = max(k.epochs[e.Holder.Domain], e.Holder.Epoch)
				before.bound[e.Holder.Domain] = e.Ends
			}
		case released:
			if e.Holder != nil {
				delete(before.bound, e.Holder.Domain)
			}
		case listened, unlistened:
			if e.Socket != nil {
				before.listened(e)
			}
		case exited:
			if e.Exit != nil && e.Number > 0 {
				k.exits.Recall(keeper.ExitRecord{Number: e.Number, ID: e.ID, Pid: e.Pid, Exit: *e.Exit})
			}
			before.ran(e)
		default:
			k.run = max(k.run, e.ID.Run, e.Born)
			before.ran(e)
		}
	}

	return before, nil
}

// listened takes what happened to a socket.
func (b *past) listened(e entry) {
	at := key{e.Socket.Domain, e.Socket.Key}
	if e.Event == unlistened {
		delete(b.sockets, at)
		return
	}
	b.sockets[at] = &socket{Socket: *e.Socket, inode: e.Inode, fd: -1}
}

// ran takes what happened to a server.
func (b *past) ran(e entry) {
	s := b.servers[e.Born]
	switch {
	case e.Event == wanted && e.Spec != nil:
		b.servers[e.Born] = &pastServer{spec: *e.Spec}
	case s == nil:
	case e.Event == starts || e.Event == started:
		s.process = &e
	case e.Event == refused || e.Event == exited:
		s.process = nil
	case e.Event == left:
		delete(b.servers, e.Born)
	}
}
