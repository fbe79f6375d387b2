//go:build unix

package hold

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"syscall"
	"time"

	"github.com/divisi-go/divisi/internal/family"
	"github.com/divisi-go/divisi/internal/keeper"
	"github.com/divisi-go/divisi/internal/keeper/claim"
	"github.com/divisi-go/divisi/internal/keeper/record"
	"github.com/divisi-go/divisi/internal/lifecycle"
)

// Session is how one client uses a keeper. It may look at everything, and change what belongs to the
// domain that it has claimed, or to one below. What it is told is in the journal: a keeper that comes later
// says nothing else. It is safe for concurrent use.
type Session struct {
	k     *Keeper
	claim *claim.Claim // guarded by the keeper's mutex
}

// Attach returns a session. While somebody else has the claim it waits, until ctx ends; the error
// then is [keeper.ErrHeld]. What a claim takes, so that it does not wait, is at [keeper.Claim.Take].
func (k *Keeper) Attach(ctx context.Context, c keeper.Claim) (*Session, error) {
	s := &Session{k: k, claim: &claim.Claim{Holder: keeper.Holder{Who: c.Who}}}
	if c.Domain == "" {
		return s, nil
	}
	if err := keeper.CheckDomain(c.Domain); err != nil {
		return nil, err
	}

	for {
		held, changed, err := s.decide(c)
		if err != nil {
			return nil, err
		}
		if held == nil {
			break
		}

		select {
		case <-changed:
		case <-ctx.Done():
			return nil, held
		}
	}

	// An epoch that is forgotten would be given twice.
	k.ledger.Settle(true)

	return s, nil
}

// decide gives the session the domain that its client wishes, or says who has it, and returns a channel
// that is closed when that may have changed.
func (s *Session) decide(wish keeper.Claim) (held error, changed <-chan struct{}, err error) {
	s.k.mu.Lock()
	defer s.k.mu.Unlock()
	if s.k.closed {
		return nil, nil, keeper.ErrClosed
	}

	granted, other, err := s.k.claims.Grant(wish, time.Now())
	switch {
	case err != nil:
		return nil, nil, err
	case other != nil:
		return other.Refusal(wish.Domain), s.k.claims.Changed(), nil
	}
	s.claim = granted
	if wish.Ends && wish.Epoch == 0 {
		s.k.end(wish.Domain)
	}
	s.k.ledger.Note(record.Decides(granted))
	s.k.rearm(wish.Domain)

	return nil, nil, nil
}

// Holder returns the claim of the session.
func (s *Session) Holder() keeper.Holder { return s.claim.Holder }

// Release ends the session: the client has gone. Nothing of what it has started ends, unless its claim
// says so.
func (s *Session) Release() error {
	s.release()
	s.k.store.Settle()
	return nil
}

func (s *Session) release() {
	s.k.mu.Lock()
	defer s.k.mu.Unlock()

	if s.k.claims.Release(s.claim) {
		if s.claim.Ends {
			s.k.end(s.claim.Holder.Domain)
		}
		s.k.ledger.Note(record.Decides(s.claim))
		s.k.rearm(s.claim.Holder.Domain)
	}
	for _, spec := range s.claim.Left {
		s.k.abandon(spec)
	}
	s.claim.Left = nil
}

// end ends everything in a domain and below it; the mutex is held.
func (k *Keeper) end(domain string) {
	for _, s := range k.servers.Within(domain) {
		s.step(lifecycle.Kill)
	}
	k.stock.End(domain)
}

// may says why the session may not change something of a domain; the mutex is held.
func (s *Session) may(domain string) error {
	if s.k.closed {
		return keeper.ErrClosed
	}
	return s.claim.May(domain)
}

// mayStart says why the session may not start a server that inherits what it names; the mutex is held.
func (s *Session) mayStart(spec *keeper.Spec) error {
	err := s.may(spec.Domain)
	for _, i := range slices.Concat(spec.Sockets, spec.Secrets) {
		domain, _ := i.Of(spec.Domain)
		err = cmp.Or(err, s.may(domain))
	}
	return err
}

// Fenced returns once the session may change nothing any more, with the error of a change:
// [keeper.ErrFenced] when somebody else has taken the domain, [keeper.ErrClosed] when the session is over.
// The error is that of ctx when that ends first.
func (s *Session) Fenced(ctx context.Context) error {
	for {
		s.k.mu.Lock()
		err := s.may(s.claim.Holder.Domain)
		changed := s.k.claims.Changed()
		s.k.mu.Unlock()
		if err != nil {
			return err
		}

		select {
		case <-changed:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// Listen opens a listening socket and keeps it under a key, whoever comes and goes. If the key has
// one, that is returned; asked for with another address it is [keeper.ErrDiffers].
func (s *Session) Listen(_ context.Context, want keeper.Socket) (keeper.Socket, error) {
	socket, isNew, err := s.k.listen(s, want)
	if err != nil || !isNew {
		return socket, err
	}

	err = s.k.ledger.Promise(false)
	if err != nil {
		err = errors.Join(fmt.Errorf("cannot open %s in %s: %w", want.Key, want.Domain, err), s.unlisten(want.Domain, want.Key))
	}
	s.k.store.Settle()
	return socket, err
}

// Unlisten closes a socket. Processes that have inherited it keep their copies.
func (s *Session) Unlisten(_ context.Context, domain, name string) error {
	err := s.unlisten(domain, name)
	if err == nil {
		s.k.ledger.Settle(false)
		s.k.store.Settle()
	}
	return err
}

func (s *Session) unlisten(domain, name string) error {
	s.k.mu.Lock()
	defer s.k.mu.Unlock()
	if err := s.may(domain); err != nil {
		return err
	}
	return s.k.stock.Unlisten(record.Key{Domain: domain, Name: name})
}

// Take returns a copy of a listening socket.
func (s *Session) Take(_ context.Context, domain, name string) (*os.File, error) {
	s.k.mu.Lock()
	defer s.k.mu.Unlock()
	if err := s.may(domain); err != nil {
		return nil, err
	}

	return s.k.stock.Take(record.Key{Domain: domain, Name: name})
}

// Sockets returns the sockets of a domain and of those below it.
func (s *Session) Sockets(_ context.Context, domain string) ([]keeper.Socket, error) {
	defer s.k.ledger.Settle(false)
	s.k.mu.Lock()
	defer s.k.mu.Unlock()

	var list []keeper.Socket
	for _, socket := range s.k.stock.Sockets(domain) {
		list = append(list, socket.Socket)
	}

	return list, nil
}

// Put keeps a file in a slot of a domain, in place of what is there, or nothing if the file is nil. It
// becomes the keeper's.
func (s *Session) Put(_ context.Context, domain, slot string, f *os.File) error {
	s.k.mu.Lock()
	defer s.k.mu.Unlock()
	if err := s.may(domain); err != nil {
		f.Close()
		return err
	}

	s.k.stock.Put(record.Key{Domain: domain, Name: slot}, f)
	return nil
}

// Get returns a copy of the file in a slot.
func (s *Session) Get(_ context.Context, domain, slot string) (*os.File, error) {
	s.k.mu.Lock()
	defer s.k.mu.Unlock()
	if err := s.may(domain); err != nil {
		return nil, err
	}

	return s.k.stock.Get(record.Key{Domain: domain, Name: slot})
}

// Start starts a server, and returns once its process is there: it may not be ready yet. A name that
// runs is [keeper.ErrRuns], unless the server is to start beside it.
func (s *Session) Start(ctx context.Context, spec keeper.Spec) (keeper.Proc, error) {
	defer func() {
		for _, f := range spec.Files {
			f.File.Close()
		}
	}()

	return s.k.start(ctx, s, spec)
}

// Signal sends a signal to a process and its children.
func (s *Session) Signal(_ context.Context, id keeper.ID, number syscall.Signal) error {
	s.k.mu.Lock()
	defer s.k.mu.Unlock()
	if err := s.may(id.Domain); err != nil {
		return err
	}

	found := s.k.find(id)
	if len(found) == 0 {
		return fmt.Errorf("cannot signal %v: %w", id, keeper.ErrUnknown)
	}
	for _, server := range found {
		if server.process == nil || id.Run != 0 && server.process.id.Run != id.Run {
			return fmt.Errorf("cannot signal %v: %w", id, os.ErrProcessDone)
		}
		if err := server.process.Signal(number); err != nil {
			return fmt.Errorf("cannot signal %v (process %d): %w", id, server.process.Pid, err)
		}
	}

	return nil
}

// Stop ends a server that nobody wants any more: by SIGTERM, and after its grace by SIGKILL. It
// returns when the server has ended and its log is written. What it has begun goes on when ctx ends.
func (s *Session) Stop(ctx context.Context, id keeper.ID) (keeper.Exit, error) {
	s.remember(id)
	s.k.mu.Lock()
	err := s.may(id.Domain)
	found := s.k.find(id)
	if err == nil {
		for _, server := range found {
			server.step(lifecycle.Stop)
		}
	}
	s.k.mu.Unlock()
	switch {
	case err != nil:
		return keeper.Exit{}, err
	case len(found) == 0:
		return keeper.Exit{}, fmt.Errorf("cannot stop %v: %w", id, keeper.ErrUnknown)
	}

	var exit keeper.Exit
	for _, server := range found {
		select {
		case <-server.over:
			exit = server.last()
		case <-ctx.Done():
			return keeper.Exit{}, context.Cause(ctx)
		}
	}
	s.k.ledger.Settle(slices.ContainsFunc(found, func(server *server) bool { return server.spec.Policy != nil }))

	return exit, nil
}

// remember looks at the families of servers while their first processes live: once those have ended,
// what they have started may have nothing that tells whose it is.
func (s *Session) remember(id keeper.ID) {
	s.k.mu.Lock()
	var families []*family.Family
	if s.may(id.Domain) == nil {
		for _, server := range s.k.find(id) {
			if server.process != nil {
				families = append(families, server.process.Family)
			}
		}
	}
	s.k.mu.Unlock()

	for _, f := range families {
		_, _ = f.Find() // that it cannot be looked is said when they are ended
	}
}

// Wait returns how one start of a server has ended, once it has, and its log is written. Of a server
// without the number of a start it is the start that runs now, or the last one.
func (s *Session) Wait(ctx context.Context, id keeper.ID) (keeper.Exit, error) {
	process, exit, err := s.k.lookUp(id)
	if process == nil || err != nil {
		return exit, err
	}

	select {
	case <-process.logged:
		s.k.ledger.Settle(false)
		return process.exit, nil
	case <-ctx.Done():
		return keeper.Exit{}, context.Cause(ctx)
	}
}

// List returns the servers of a domain and of those below it, by name.
func (s *Session) List(_ context.Context, domain string) ([]keeper.Proc, error) {
	defer s.k.ledger.Settle(false)
	s.k.mu.Lock()
	defer s.k.mu.Unlock()

	var list []keeper.Proc
	for _, server := range s.k.servers.Within(domain) {
		list = append(list, server.proc())
	}

	return list, nil
}

// Spec returns how a server was asked for, without the files that its first process was given. Of
// several of one name it is the newest one.
func (s *Session) Spec(_ context.Context, id keeper.ID) (keeper.Spec, error) {
	s.k.mu.Lock()
	defer s.k.mu.Unlock()

	found := s.k.find(id)
	if len(found) == 0 {
		return keeper.Spec{}, fmt.Errorf("no server %v: %w", id, keeper.ErrUnknown)
	}
	return found[len(found)-1].spec, nil
}

// Exits returns the ends of the processes of a domain and of those below it, behind a number, the
// oldest first. A bounded number is remembered.
func (s *Session) Exits(_ context.Context, domain string, after uint64) ([]keeper.ExitRecord, error) {
	defer s.k.ledger.Settle(false)
	s.k.mu.Lock()
	defer s.k.mu.Unlock()

	return s.k.ledger.Exits.After(domain, after), nil
}

// Next returns the events of a domain and of those below it, behind a number. If there are none it
// waits for the next one. Of those that are forgotten by then it says how many they were, those of
// other domains included.
func (s *Session) Next(ctx context.Context, domain string, after uint64) ([]keeper.Event, error) {
	for {
		s.k.mu.Lock()
		list, more := s.k.events.After(domain, after)
		s.k.mu.Unlock()
		if len(list) > 0 {
			s.k.ledger.Settle(false)
			return list, nil
		}

		select {
		case <-more:
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		}
	}
}
