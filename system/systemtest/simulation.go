package systemtest

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/divisi-go/divisi/internal/keeper"
	"github.com/divisi-go/divisi/internal/lifecycle"
	"github.com/divisi-go/divisi/internal/server"
	"github.com/divisi-go/divisi/system"
)

// Programs are functions in the place of programs, by the words of [system.Spec.Program]. Their context ends
// when they are stopped; one that returns an error exits with code 1.
type Programs map[string]func(context.Context) error

// Simulate is [NewWith] on a host whose programs are functions. It takes no part of the system but time, so
// that in a bubble of testing/synctest what a nursery does in hours is seen at once.
func Simulate(t testing.TB, p system.Program, programs Programs) (context.Context, *system.Nursery, *system.Host) {
	t.Helper()
	s := &simulation{programs: programs, live: map[keeper.ID]*life{}}
	return begin(t, p, &server.Host{
		Keeper: s, Data: t.TempDir(), Logs: func(string) string { return "" }, Find: s.find,
	})
}

// simulation is a keeper of functions.
type simulation struct {
	programs Programs

	mu   sync.Mutex // guards what follows
	runs uint64
	live map[keeper.ID]*life // with the numbers of their starts
}

var _ server.Session = (*simulation)(nil)

// life is one start of a program.
type life struct {
	proc keeper.Proc
	spec keeper.Spec
	stop context.CancelFunc
	over chan struct{} // closed when it has ended
	exit keeper.Exit   // set before over is closed
}

func (s *simulation) find(word string) (server.Program, error) {
	if s.programs[word] == nil {
		return server.Program{}, fmt.Errorf("there is no program %s in the simulation", word)
	}
	return server.Program{Path: word, Sum: word}, nil
}

// Start implements [server.Session].
func (s *simulation) Start(_ context.Context, spec keeper.Spec) (keeper.Proc, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.runs++
	ctx, stop := context.WithCancel(context.Background())
	l := &life{spec: spec, stop: stop, over: make(chan struct{})}
	l.proc = keeper.Proc{ID: spec.ID(), Pid: int(s.runs), State: lifecycle.Ready, Started: time.Now(), Digest: spec.Digest}
	l.proc.Run = s.runs
	s.live[l.proc.ID] = l
	go func() {
		defer close(l.over)
		defer stop()
		err := s.programs[spec.Path](ctx)
		l.exit = keeper.Exit{How: keeper.Waited, Time: time.Now()}
		if err != nil {
			l.exit.Code = 1
		}
	}()
	return l.proc, nil
}

// named returns the lives that a name means.
func (s *simulation) named(id keeper.ID) (list []*life) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for at, l := range s.live {
		if at.Domain == id.Domain && at.Name == id.Name && (id.Run == 0 || id.Run == at.Run) {
			list = append(list, l)
		}
	}
	return list
}

// Stop implements [server.Session].
func (s *simulation) Stop(ctx context.Context, id keeper.ID) (exit keeper.Exit, err error) {
	found := s.named(id)
	if len(found) == 0 {
		return exit, fmt.Errorf("cannot stop %v: %w", id, keeper.ErrUnknown)
	}
	for _, l := range found {
		l.stop()
		if exit, err = s.Wait(ctx, l.proc.ID); err != nil {
			return exit, err
		}
		s.mu.Lock()
		delete(s.live, l.proc.ID)
		s.mu.Unlock()
	}
	return exit, nil
}

// Wait implements [server.Session].
func (s *simulation) Wait(ctx context.Context, id keeper.ID) (keeper.Exit, error) {
	for _, l := range s.named(id) {
		select {
		case <-l.over:
			return l.exit, nil
		case <-ctx.Done():
			return keeper.Exit{}, context.Cause(ctx)
		}
	}
	return keeper.Exit{}, fmt.Errorf("cannot wait for %v: %w", id, keeper.ErrUnknown)
}

// List implements [server.Session].
func (s *simulation) List(_ context.Context, domain string) (list []keeper.Proc, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for l := range maps.Values(s.live) {
		select {
		case <-l.over:
			continue
		default:
		}
		if keeper.Within(l.proc.Domain, domain) {
			list = append(list, l.proc)
		}
	}
	slices.SortFunc(list, func(a, b keeper.Proc) int { return a.ID.Compare(b.ID) })
	return list, nil
}

// Signal implements [server.Session].
func (s *simulation) Signal(_ context.Context, id keeper.ID, _ syscall.Signal) error {
	for _, l := range s.named(id) {
		l.stop()
	}
	return nil
}

// Spec implements [server.Session].
func (s *simulation) Spec(_ context.Context, id keeper.ID) (keeper.Spec, error) {
	for _, l := range s.named(id) {
		return l.spec, nil
	}
	return keeper.Spec{}, keeper.ErrUnknown
}

// Listen implements [server.Session]. Nobody listens.
func (s *simulation) Listen(_ context.Context, want keeper.Socket) (keeper.Socket, error) {
	want.Actual = want.Address
	return want, nil
}

// Next implements [server.Session]. Nothing happens that is not told otherwise.
func (s *simulation) Next(ctx context.Context, _ string, _ uint64) ([]keeper.Event, error) {
	<-ctx.Done()
	return nil, context.Cause(ctx)
}

// Unlisten implements [server.Session].
func (s *simulation) Unlisten(context.Context, string, string) error { return nil }

// Sockets implements [server.Session].
func (s *simulation) Sockets(context.Context, string) ([]keeper.Socket, error) { return nil, nil }

// Release implements [server.Session].
func (s *simulation) Release() error { return nil }

// Fenced implements [server.Session]. Nobody else ever comes.
func (s *simulation) Fenced(ctx context.Context) error {
	<-ctx.Done()
	return context.Cause(ctx)
}
