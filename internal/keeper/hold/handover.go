//go:build unix

package hold

import (
	"encoding/json"

	"github.com/divisi-go/divisi/internal/keeper"
	"github.com/divisi-go/divisi/internal/keeper/child"
	"github.com/divisi-go/divisi/internal/keeper/ear"
	"github.com/divisi-go/divisi/internal/keeper/recent"
	"github.com/divisi-go/divisi/internal/keeper/record"
	"github.com/divisi-go/divisi/internal/keeper/store"
	"github.com/divisi-go/divisi/internal/lifecycle"
)

// Writable says why the journal cannot be written, which is the first that another program does.
func (k *Keeper) Writable() error { return k.ledger.Promise(true) }

// HandOver ends the keeper for this program, and returns what the next one takes over. Nothing is closed,
// and no process ends for it; those that end from now on are waited for by the next program. Every
// call of the keeper waits for ever. The sessions go on there.
func (k *Keeper) HandOver(sessions []*Session) (*record.Handover, error) {
	k.ear.Deafen()
	k.whole.Lock() // what was being done is done, and nothing more is begun
	k.ledger.Settle(true)
	k.mu.Lock()
	if k.closed {
		return nil, keeper.ErrClosed
	}

	h := &record.Handover{}
	for _, s := range sessions {
		h.Claims = append(h.Claims, *s.claim)
	}
	h.Events, h.Event = k.events.All()
	for _, e := range k.entries() {
		line, err := json.Marshal(e)
		if err != nil {
			return nil, err
		}
		h.Journal = append(h.Journal, line)
	}
	for s := range k.servers.All() {
		handed, err := s.handOver()
		if err != nil {
			return nil, err
		}
		h.Servers = append(h.Servers, handed)
	}

	if err := k.stock.HandOver(h); err != nil {
		return nil, err
	}

	var err error
	h.Ear, h.EarPath, err = k.ear.HandOver()
	return h, err
}

// handOver returns what the next program takes over of a server; the mutex is held.
func (s *server) handOver() (record.HandedServer, error) {
	h := record.HandedServer{
		Born: s.born, Run: s.run, Spec: s.spec, Life: s.life, Started: s.started, Status: s.status,
		Watchdog: s.pulse.Every, LastExit: s.lastExit, Hung: s.hung,
	}
	fds, names := s.shelf.All()
	for i, fd := range fds {
		h.Shelf = append(h.Shelf, record.HandedFile{Key: names[i], FD: fd})
	}
	p := s.process
	if p == nil {
		return h, nil
	}

	var err error
	if h.Process, err = p.HandOver(); err == nil {
		h.Process.ID = p.id
	}
	return h, err
}

// TakeOver opens a keeper that goes on with what the former program of this process has handed over, and
// returns its sessions as well. The store and the place are those of [OpenWith].
func TakeOver(kept *store.Store, at Place, h *record.Handover) (*Keeper, []*Session, error) {
	before, err := record.Read(h.Journal)
	if err != nil {
		return nil, nil, err
	}
	k, err := open(kept, at, before, h)
	if err != nil {
		return nil, nil, err
	}

	var sessions []*Session
	for i := range h.Claims {
		sessions = append(sessions, &Session{k: k, claim: &h.Claims[i]})
	}
	return k, sessions, nil
}

// takeOver takes over all that was handed over. Nobody uses this keeper yet.
func (k *Keeper) takeOver(before *record.Past, h *record.Handover) error {
	for i := range h.Claims {
		k.claims.Restore(&h.Claims[i])
	}
	for _, s := range h.Servers {
		k.takeServer(s)
	}
	for at, old := range before.Sockets {
		k.stock.Recall(at, old)
	}
	k.stock.TakeOver(h)
	k.events = recent.From(h.Events, h.Event)
	if h.Ear < 0 {
		return nil
	}

	var err error
	k.ear, err = ear.TakeOver(h.Ear, h.EarPath)
	return err
}

// takeServer takes over a server, with its process.
func (k *Keeper) takeServer(h record.HandedServer) {
	s := k.newServer(h.Spec)
	s.born, s.run, s.started = h.Born, max(h.Run, h.Born), h.Started
	s.status, s.hung, s.lastExit = h.Status, h.Hung, h.LastExit
	h.Life.Policy, h.Life.Rand = s.life.Policy, s.life.Rand
	s.life = h.Life
	for _, f := range h.Shelf {
		s.shelf.Keep(f.Key, f.FD)
	}
	k.servers.Add(s)
	if h.Process == nil {
		return
	}

	p := &process{id: h.Process.ID, server: s, logged: make(chan struct{})}
	p.Child = child.TakeOver(h.Process, k.ledger.MarkOf(p.id.Run))
	k.openLog(p)
	s.process, s.run, s.writing = p, p.id.Run, 1
	k.processes[p.id.Run] = p
	s.pulse.Every = h.Watchdog
	if s.life.State != lifecycle.Starting { // it has been heard
		s.pulse.Beat()
	}
}

// goOn does what the former program was about to do for a server; the mutex is held.
func (s *server) goOn() {
	state := s.life.State
	killed := state == lifecycle.Hung || state == lifecycle.Stopping && s.life.Wake.IsZero()
	switch {
	case s.process != nil && killed:
		s.destroy()
	case s.process != nil:
	case state == lifecycle.Starting:
		s.k.wait.Go(s.respawn)
	case s.life.Runs():
		s.step(lifecycle.Exited) // it was to end before it was started
	}
	s.arm()
}
