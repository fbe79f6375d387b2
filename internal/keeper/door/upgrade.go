//go:build linux

package door

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"syscall"
	"time"

	"github.com/divisi-go/divisi/internal/home"
	"github.com/divisi-go/divisi/internal/keeper"
	"github.com/divisi-go/divisi/internal/keeper/daemon"
	"github.com/divisi-go/divisi/internal/keeper/fork"
	"github.com/divisi-go/divisi/internal/keeper/frame"
	"github.com/divisi-go/divisi/internal/keeper/hold"
	"github.com/divisi-go/divisi/internal/keeper/link"
	"github.com/divisi-go/divisi/internal/keeper/record"
	"github.com/divisi-go/divisi/internal/keeper/store"
	"github.com/divisi-go/divisi/internal/keeper/successor"
	"github.com/divisi-go/divisi/internal/notify"
)

// Bounds of an upgrade.
const (
	lookTime = 500 * time.Millisecond // for those who look to have their answers
	restTime = 2 * time.Second        // for clients to have theirs
)

// handed is what a keeper hands over to the program that takes its place in the same process.
type handed struct {
	record.Handover
	Program string         `json:"program"` // that was to take over
	Lock    int            `json:"lock"`    // of the claim
	Door    int            `json:"door"`    // the listening socket
	Clients []handedClient `json:"clients"`

	failed error // why the program has not taken over
}

// handedClient is a connection that has upgraded.
type handedClient struct {
	frame.Paused
	FD      int `json:"fd"`
	Session int `json:"session"` // which claim is its; -1 for none
}

// outcome is what became of an upgrade.
type outcome struct {
	program string // that was to take over
	err     error  // why it has not
}

// upgrade has another program take over, which answers. If that cannot, this one does.
func (c *attached) upgrade(ctx context.Context, r *frame.Request) (any, error) {
	var a link.Ask
	if err := r.Decode(&a); err != nil {
		return nil, err
	}
	if before := c.server.before; r.Again && a.Program == before.program {
		return c.server.info(), before.err
	}

	if !filepath.IsAbs(a.Program) {
		return nil, fmt.Errorf("cannot upgrade to %q: %w: the path is not absolute", a.Program, keeper.ErrInvalid)
	}
	if err := successor.Ask(ctx, a.Program, Variable, record.HandoverFormat); err != nil {
		return nil, &frame.Error{
			Text: fmt.Sprintf("%s cannot take over the keeper, which goes on as it was: %v", a.Program, err), Code: "unable",
			Way: "name a program that can be a keeper, such as a newer divisi",
		}
	}
	if err := c.server.keeper.Writable(); err != nil {
		return nil, fmt.Errorf("cannot upgrade now: %w", err)
	}
	next, err := c.server.successor(a.Program)
	if err != nil {
		return nil, err
	}
	select {
	case c.server.next <- next:
		<-ctx.Done() // the answer is that of who goes on
	case <-ctx.Done():
		next.close()
	}
	return nil, context.Cause(ctx)
}

// heir is a program that is to take over, with what it can be given at any time.
type heir struct {
	*successor.Program
	door *os.File // the listening socket, which does not end with its listener
}

func (s *server) successor(path string) (heir, error) {
	door, err := s.listener.File()
	if err != nil {
		return heir{}, err
	}
	program, err := successor.New(path)
	if err != nil {
		return heir{}, errors.Join(err, door.Close())
	}
	return heir{program, door}, nil
}

func (n heir) close() {
	n.door.Close()
	n.Close()
}

// giveWay has a program take over in this process. It returns only if the keeper was shut down meanwhile,
// or if nobody can go on.
func (s *server) giveWay(h *http.Server, next heir) error {
	s.listener.SetUnlinkOnClose(false)
	look, cancel := context.WithTimeout(context.Background(), lookTime)
	defer cancel()
	_ = h.Shutdown(look) // who comes from now on waits for the next program
	given := &handed{Program: next.Path}
	sessions := s.pause(given)
	select {
	case <-s.ended:
		next.close()
		return nil
	default:
	}

	daemon.Say("hands over to %s", next.Path)
	held, err := s.keeper.HandOver(sessions)
	if err != nil {
		return err
	}
	given.Handover = *held
	s.kept.Settle()
	if given.Lock, err = fork.Descriptor(s.claim.Lock()); err != nil {
		return err
	}
	if given.Door, err = fork.Descriptor(next.door); err != nil {
		return err
	}

	defer runtime.KeepAlive([]any{s, next}) // whose descriptors are to be open
	return next.Execute([]string{"divisi", "keeper", s.home.Dir}, s.env, given, given.descriptors())
}

// pause pauses the connections of clients, and returns their sessions. Those that cannot rest end as if
// the keeper were killed: their clients come again.
func (s *server) pause(given *handed) []*hold.Session {
	s.mu.Lock()
	clients := slices.Collect(maps.Keys(s.clients))
	s.mu.Unlock()
	for _, a := range clients {
		_ = a.conn.Pause() // one that is over has nothing to hand over
	}

	var sessions []*hold.Session
	late := time.After(restTime)
	for _, a := range clients {
		select {
		case <-a.rested:
		case <-late:
			late = time.After(0)
			continue
		}
		socket, at := a.conn.Paused()
		fd, err := fork.Descriptor(socket)
		if err != nil {
			continue // it is over
		}
		client := handedClient{Paused: at, FD: fd, Session: -1}
		if a.session != nil {
			client.Session = len(sessions)
			sessions = append(sessions, a.session)
		}
		given.Clients = append(given.Clients, client)
	}
	return sessions
}

// descriptors returns those that the next program needs.
func (g *handed) descriptors() []int {
	all := append(g.Handover.Descriptors(), g.Lock, g.Door)
	for _, c := range g.Clients {
		all = append(append(all, c.FD), c.Files...)
	}
	return all
}

// handedOver returns what a former program of this process has handed over, nil if there was none.
func handedOver() (*handed, error) {
	g := &handed{}
	received, why, err := successor.Receive(g)
	if err != nil || !received {
		return nil, err
	}
	if _, err := record.Read(g.Journal); err != nil {
		return nil, fmt.Errorf("what was handed over is not understood: %w", err)
	}
	if why != "" {
		g.failed = fmt.Errorf("%s could not take over the keeper, which goes on as it was: %s", g.Program, why)
	}
	return g, nil
}

// secure keeps what was handed over from the processes that this one starts. What only the way back needs
// is closed as everything is that nobody knows.
func (g *handed) secure() {
	if g == nil {
		return
	}
	for _, fd := range g.descriptors() {
		syscall.CloseOnExec(fd)
	}
}

// open opens the keeper and the door that were handed over, or else new ones.
func (g *handed) open(h home.Home, supervisor notify.Supervisor, kept *store.Store) (*server, error) {
	if g == nil {
		return begin(h, supervisor, kept)
	}

	claim := h.Keeper().Inherited(os.NewFile(uintptr(g.Lock), "lock"))
	door := os.NewFile(uintptr(g.Door), "door")
	l, err := net.FileListener(door)
	door.Close() // the listener has a copy
	if err != nil {
		return nil, err
	}
	k, sessions, err := hold.TakeOver(kept, placeOf(claim), &g.Handover)
	if err != nil {
		return nil, err
	}
	s, err := newServer(h, claim, k, l.(*net.UnixListener))
	if err != nil {
		return nil, err
	}

	s.listener.SetUnlinkOnClose(true)
	s.before = outcome{g.Program, g.failed}
	if g.failed != nil {
		daemon.Say("%v", g.failed)
	}
	for _, c := range g.Clients {
		s.welcomeBack(c, sessions)
	}
	return s, nil
}

// welcomeBack goes on with the connection of a client.
func (s *server) welcomeBack(c handedClient, sessions []*hold.Session) {
	file := os.NewFile(uintptr(c.FD), "client")
	conn, err := net.FileConn(file)
	file.Close()
	socket, ok := conn.(*net.UnixConn)
	if err != nil || !ok {
		return // the client comes again
	}

	a := newAttached(s, frame.Resume(socket, c.Paused))
	if c.Session >= 0 && c.Session < len(sessions) {
		a.session = sessions[c.Session]
	}
	s.clients[a] = true
	s.open++
}
