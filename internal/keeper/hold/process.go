//go:build unix

package hold

import (
	"fmt"
	"path/filepath"
	"slices"
	"strconv"
	"time"

	"github.com/divisi-go/divisi/internal/keeper"
	"github.com/divisi-go/divisi/internal/keeper/child"
	"github.com/divisi-go/divisi/internal/keeper/fork"
	"github.com/divisi-go/divisi/internal/keeper/record"
	"github.com/divisi-go/divisi/internal/keeper/stock"
)

// process is one start of a server.
type process struct {
	*child.Child
	id     keeper.ID
	server *server
	logged chan struct{} // closed when all of its log is written
	exit   keeper.Exit   // set before logged is closed
	synced chan error    // has whether it survives the end of the machine that the server is wanted; nil if it need not
}

// spawn starts a process of a server, as the leader of a process group of its own. The caller has
// the keeper accompany it.
func (k *Keeper) spawn(s *server, files []keeper.File) (*process, error) {
	p, program, err := k.plan(s)
	if err != nil {
		return nil, err
	}

	defer program.Close()
	for _, f := range files {
		program.Files, program.Vars = append(program.Files, f.File), append(program.Vars, f.Var)
	}
	k.ledger.Settle(false)
	if s.spec.Policy != nil { // it is started again after that, whatever became of this process
		p.synced = make(chan error, 1)
		k.wait.Go(func() { p.synced <- k.ledger.Promise(true) })
	}
	p.Child, err = child.Start(&k.starter, program, k.ledger.MarkOf(p.id.Run), s.spec.Grouped)
	if err != nil {
		k.mu.Lock()
		defer k.mu.Unlock()
		k.ledger.Note(record.Entry{Event: record.Refused, Born: s.born, ID: p.id})
		return nil, fmt.Errorf("cannot start %s as %v: %w", s.spec.Path, p.id, err)
	}
	k.openLog(p)

	k.mu.Lock()
	defer k.mu.Unlock()
	k.processes[p.id.Run] = p
	k.ledger.Note(p.entry())

	return p, nil
}

// plan gives the process its number, and returns what is to run, with the descriptors of what it
// inherits. The keeper cannot be closed meanwhile, so that they stay what they are; each is a copy of
// its own, which Unlisten does not take away.
func (k *Keeper) plan(s *server) (*process, fork.Program, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.closed {
		return nil, fork.Program{}, keeper.ErrClosed
	}

	program := fork.Program{
		Path: s.spec.Path, Arg0: s.spec.Arg0, Args: s.spec.Args, Dir: s.spec.Dir, User: s.spec.User, Env: s.spec.Env, Limits: s.spec.Limits,
	}
	if err := k.pass(s, &program); err != nil {
		program.Close()
		return nil, fork.Program{}, fmt.Errorf("cannot start %v: %w", s.spec.ID(), err)
	}

	k.ledger.Run++
	p := &process{server: s, id: s.spec.ID(), logged: make(chan struct{})}
	p.id.Run = k.ledger.Run
	if s.born == 0 {
		s.born = p.id.Run
		k.ledger.Note(record.Want(s.born, 0, &s.spec))
	}
	s.next = p.id.Run
	k.ledger.Note(s.starts())

	program.More = s.variables()
	return p, program, nil
}

// pass gives the program what a server inherits; the mutex is held.
func (k *Keeper) pass(s *server, program *fork.Program) error {
	if err := k.stock.Pass(&s.spec, program); err != nil {
		return err
	}

	// Behind the sockets, which have the same descriptors at every start.
	fds, names, err := s.shelf.Copies()
	program.Sockets, program.Names = append(program.Sockets, fds...), append(program.Names, names...)
	return err
}

// variables returns those by which a process finds the keeper.
func (s *server) variables() []string {
	if !s.spec.Notify || s.k.ear == nil {
		return nil
	}

	list := []string{"NOTIFY_SOCKET=" + s.k.ear.Path()}
	if s.spec.Watch > 0 {
		list = append(list, "WATCHDOG_USEC="+strconv.FormatInt(s.spec.Watch.Microseconds(), 10))
	}
	return list
}

// openLog opens the log of a process.
func (k *Keeper) openLog(p *process) {
	p.Log(k.output.Open(filepath.Join(k.LogDir(p.id.Domain), p.id.Name+".log")), p.id.String())
}

// headStart is how long a process goes unaccompanied, so that whoever has started it knows of it first: on a
// machine with few processors it would wait for that as well, which is a twentieth of a start.
const headStart = time.Millisecond

// accompany writes the log of a process and waits for its end.
func (k *Keeper) accompany(p *process) {
	k.wait.Go(func() {
		time.Sleep(headStart)
		k.mu.Lock()
		p.Collect(p.server.spec.LogKey)
		unwatch := k.watch(p)
		k.mu.Unlock()

		k.reap(p)
		defer k.whole.RUnlock()
		unwatch()
		p.Release()

		k.mu.Lock()
		defer k.mu.Unlock()
		close(p.logged)
		delete(k.processes, p.id.Run)
		p.server.writing--
		p.server.settle()
	})
}

// reapAgain is how long to wait before looking again whether a process can be reaped, where the
// system says that it has ended a moment before it can.
const reapAgain = time.Millisecond

// reap waits for the end of a process, ends what it has started, and records it. When it returns, whole is
// read.
func (k *Keeper) reap(p *process) {
	for {
		if p.Wait() {
			p.EndFamily()
		}
		k.whole.RLock()
		if k.tryReap(p) {
			k.ledger.Settle(false)
			return
		}
		k.whole.RUnlock()
		time.Sleep(reapAgain)
	}
}

// tryReap reaps a process, forgets it and records its end, all under the mutex, so that no signal
// reaches a number that may be another's. It reports false if the process cannot be reaped yet.
func (k *Keeper) tryReap(p *process) bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	exit, ok := p.Reap()
	if !ok {
		return false
	}

	exit.Hung = p.server.hung
	p.exit = exit
	p.Leave(p.logged)
	k.record(p.server, p.id, p.Pid, exit)
	p.server.exited(p)
	if p.Foreign() {
		k.stock.Retry(k.living())
	}

	return true
}

// Inherits reports whether the process was given a socket by an earlier keeper.
func (p *process) Inherits(s keeper.Socket) bool {
	given := slices.ContainsFunc(p.server.spec.Sockets, func(i keeper.Inherit) bool {
		domain, key := i.Of(p.server.spec.Domain)
		return domain == s.Domain && key == s.Key
	})
	return p.Foreign() && !p.Reaped() && given
}

// living returns the processes that may have sockets which the keeper does not have; the mutex is held.
func (k *Keeper) living() []stock.Heir {
	var heirs []stock.Heir
	for _, p := range k.processes {
		heirs = append(heirs, p)
	}
	return heirs
}

// lookUp returns the process with a number, unless its log is written already: then how it has
// ended. Without a number it is the one of the name that runs, or the last one.
func (k *Keeper) lookUp(id keeper.ID) (*process, keeper.Exit, error) {
	k.mu.Lock()
	defer k.mu.Unlock()

	if id.Run == 0 {
		id.Run = k.ledger.Exits.LastRun(id)
		for _, s := range k.servers.Named(id) {
			if s.process != nil {
				id.Run = s.process.id.Run
			}
		}
	}
	if p, ok := k.processes[id.Run]; ok && p.id == id {
		return p, keeper.Exit{}, nil
	}
	if exit, ok := k.ledger.Exits.Of(id); ok {
		return nil, exit, nil
	}

	return nil, keeper.Exit{}, fmt.Errorf("cannot wait for %v: %w", id, keeper.ErrUnknown)
}
