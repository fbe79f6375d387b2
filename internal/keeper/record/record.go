// Package record is what a keeper's journal has, entry by entry, and what the entries amount to: what an
// earlier keeper has left.
package record

import (
	"encoding/json"
	"fmt"
	"time"

	"github.com/divisi-go/divisi/internal/keeper"
	"github.com/divisi-go/divisi/internal/keeper/claim"
)

// Entry is a line of the journal: a part of the state, or what has changed it. Readers skip members
// and events that they do not know.
type Entry struct {
	Event  Change         `json:"event"`
	Format int            `json:"format,omitempty"`
	Boot   string         `json:"boot,omitempty"`
	Mark   string         `json:"mark,omitempty"`
	Run    uint64         `json:"last_run,omitempty"`
	State  uint64         `json:"state,omitempty"` // the number of the state that begins here, which grows
	Spare  string         `json:"spare,omitempty"` // where the journal goes on while this file cannot be written
	Born   uint64         `json:"born,omitempty"`  // the number of the first start of a server, which names it
	ID     keeper.ID      `json:"id,omitzero"`
	Pid    int            `json:"pid,omitempty"`
	Ticks  uint64         `json:"ticks,omitempty"` // when the process started, as the kernel counts it
	Number uint64         `json:"number,omitempty"`
	Exit   *keeper.Exit   `json:"exit,omitempty"`
	Token  string         `json:"token,omitempty"` // of the server that has ended
	Ends   bool           `json:"ends,omitempty"`  // everything in the domain ends with the claim
	Holder *keeper.Holder `json:"holder,omitempty"`
	Socket *keeper.Socket `json:"socket,omitempty"`
	Inode  uint64         `json:"inode,omitempty"` // of the socket
	Spec   *keeper.Spec   `json:"spec,omitempty"`
	Time   time.Time      `json:"time,omitzero"`
}

// Change says what an entry is about.
type Change string

// The changes.
const (
	Begun      Change = "keeper"     // the first entry: who writes, and in which format
	Claimed    Change = "claimed"    // Holder has the domain
	Released   Change = "released"   // Holder has it no longer
	Listened   Change = "listened"   // Socket is kept
	Unlistened Change = "unlistened" // Socket is not kept any more
	Wanted     Change = "wanted"     // the server Born is to run as Spec says
	Starts     Change = "starts"     // ID is about to start, for the server Born
	Refused    Change = "refused"    // it could not be started
	Started    Change = "started"    // it is process Pid
	Exited     Change = "exited"     // it has ended, which is the exit with Number
	Left       Change = "left"       // nobody wants the server Born any more, and it has ended
)

// Format is that of the entries.
const Format = 1

// Key names what is kept for a domain.
type Key struct{ Domain, Name string }

// Past is what an earlier keeper has left.
type Past struct {
	Boot    string // which start of the machine it was
	Mark    string
	Run     uint64                 // the last number of a start
	Exit    uint64                 // the last number of an end
	State   uint64                 // the number of the last state
	Spare   string                 // where the journal would have gone on; "" for nowhere
	Claims  map[string]claim.Claim // by domain, the last one: held, or over
	Servers map[uint64]*Server     // by born
	Sockets map[Key]Socket
	Exits   []keeper.ExitRecord // the oldest first
}

// Server is a server that somebody wanted when the keeper ended.
type Server struct {
	Spec    keeper.Spec
	Run     uint64 // the number of its last start; 0 if nobody knows
	Process *Entry // its start that had not ended: Starts or Started; nil without one
}

// Socket is a socket that was kept.
type Socket struct {
	keeper.Socket
	Inode uint64 // 0 if nobody knows
}

// Read returns what the entries in the lines of a journal amount to.
func Read[L ~[]byte](lines []L) (*Past, error) {
	p := &Past{
		Claims: map[string]claim.Claim{}, Servers: map[uint64]*Server{}, Sockets: map[Key]Socket{},
	}
	for n, line := range lines {
		var e Entry
		if err := json.Unmarshal(line, &e); err != nil {
			continue // a full disk has cut it, and the state was written after it
		}
		if e.Event == Begun && e.Format != Format {
			return nil, fmt.Errorf("line %d: format %d is not known here, only %d: use the divisi that wrote it, "+
				"or move the file away when nothing of it runs", n+1, e.Format, Format)
		}
		p.add(&e)
	}

	return p, nil
}

// add takes what has happened.
func (p *Past) add(e *Entry) {
	switch {
	case e.Event == Begun:
		p.Boot, p.Mark, p.Spare = e.Boot, e.Mark, e.Spare
		p.Run, p.Exit, p.State = max(p.Run, e.Run), max(p.Exit, e.Number), max(p.State, e.State)
	case e.Event == Claimed && e.Holder != nil:
		p.Claims[e.Holder.Domain] = claim.Claim{Holder: *e.Holder, Ends: e.Ends, State: claim.Held}
	case e.Event == Released && e.Holder != nil:
		p.Claims[e.Holder.Domain] = claim.Claim{Holder: *e.Holder, State: claim.Over}
	case e.Event == Listened && e.Socket != nil:
		p.Sockets[Key{e.Socket.Domain, e.Socket.Key}] = Socket{*e.Socket, e.Inode}
	case e.Event == Unlistened && e.Socket != nil:
		delete(p.Sockets, Key{e.Socket.Domain, e.Socket.Key})
	case e.Event == Exited && e.Exit != nil && e.Number > 0:
		p.Exit = max(p.Exit, e.Number)
		p.Exits = append(p.Exits, keeper.ExitRecord{Number: e.Number, ID: e.ID, Pid: e.Pid, Exit: *e.Exit, Token: e.Token})
		p.ran(e)
	default:
		p.Run = max(p.Run, e.ID.Run, e.Born)
		p.ran(e)
	}
}

// ran takes what happened to a server.
func (p *Past) ran(e *Entry) {
	s := p.Servers[e.Born]
	switch {
	case e.Event == Wanted && e.Spec != nil:
		p.Servers[e.Born] = &Server{Spec: *e.Spec, Run: e.ID.Run}
	case s == nil:
	case e.Event == Starts || e.Event == Started:
		s.Process, s.Run = e, e.ID.Run
	case e.Event == Refused || e.Event == Exited:
		s.Process = nil
	case e.Event == Left:
		delete(p.Servers, e.Born)
	}
}
