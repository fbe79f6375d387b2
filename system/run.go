package system

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"path"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/divisi-go/divisi/internal/agent"
	"github.com/divisi-go/divisi/internal/event"
	"github.com/divisi-go/divisi/internal/hosts"
	"github.com/divisi-go/divisi/internal/keeper/door"
	"github.com/divisi-go/divisi/internal/local"
	"github.com/divisi-go/divisi/internal/logger"
	"github.com/divisi-go/divisi/internal/name"
	"github.com/divisi-go/divisi/internal/operator"
	"github.com/divisi-go/divisi/internal/role"
	"github.com/divisi-go/divisi/internal/sandbox"
	"github.com/divisi-go/divisi/internal/server"
	"github.com/divisi-go/divisi/internal/supervision"
	"github.com/divisi-go/divisi/internal/tree"
)

// Body is a program: it starts what the system consists of, on a host, in a nursery, and returns when all
// of it can be used. Its context is for that alone, and ends when it returns.
type Body func(ctx context.Context, n *Nursery, h *Host) error

// Program is a system as a program.
type Program struct {
	Name     string        // such as orderd; its servers are in the domain /orderd
	Strategy Strategy      // of the outermost nursery; default OneForOne
	Grace    time.Duration // before what no function has asked for is stopped, once the program has settled; default 30 s
	Log      *slog.Logger  // of what happens; default slog.Default

	// Builds is a folder with builds of this program for other systems, such as orderd-linux-arm64 for a program orderd, and
	// archives of artifacts, such as exampled-1.0.tar.gz; default that of the program.
	Builds string

	// Operator answers what [Ask] asks, in place of whoever operates the program, as in a test. An empty
	// answer is to retry, and [ErrGivenUp] to give up.
	Operator func(Asked) (answer string, err error)
}

// graceDefault is the default of Program.Grace.
const graceDefault = 30 * time.Second

// Exit codes besides 0.
const (
	exitFailed = 1
	exitTaken  = 3 // somebody else decides about the program by now
)

// ErrTaken is the error of a program whose next run decides by now.
var ErrTaken = errors.New("another run of the program decides by now")

// Run is all of main. It does not return: see [Program.Run] for when it ends. The exit code is 1 after an
// error, 2 after arguments that are no flags of package flag, and 3 after [ErrTaken].
func Run(name string, body Body) {
	door.Enter()
	sandbox.Enter()
	role.Become()
	if code, ok := operator.Arguments(name, os.Stdout, os.Stderr); !ok {
		os.Exit(code)
	}
	err := Program{Name: name}.Run(context.Background(), body)
	switch {
	case err == nil:
		os.Exit(0)
	case errors.Is(err, ErrTaken):
		fmt.Fprintln(os.Stderr, name+":", err)
		os.Exit(exitTaken)
	}
	fmt.Fprintln(os.Stderr, name+":", err)
	os.Exit(exitFailed)
}

// Run runs the program. What it starts outlives it: whoever runs it again, in this version or in the next
// one, finds it. Only one run of a program decides; an earlier one ends with [ErrTaken].
//
// It comes first in main, for the program is its own keeper: the process that holds what runs is this
// program, started once more, which goes no further than to here.
//
// Run returns with an error when the body returns one; what this run itself has started is stopped then, and
// nothing else is. Else it supervises until ctx ends, or somebody interrupts it (SIGINT, Ctrl-C), which stops
// everything in order, or it is asked to end by SIGTERM, which leaves everything as it is. It needs Linux.
func (p Program) Run(ctx context.Context, body Body) error {
	if opened := server.Opened(ctx); opened != nil {
		return p.runOn(ctx, opened, nil, body)
	}
	door.Enter()
	sandbox.Enter()
	role.Become()
	domain := domainOf(p.Name)
	agent.Enter(domain)
	if err := errors.Join(name.CheckDomain(domain), checkName(p.Name)); err != nil {
		return err
	}
	below, err := local.Open(ctx, p.Name, domain, p.logger())
	if err != nil {
		return err
	}

	signals := make(chan os.Signal, 2)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	defer signal.Stop(signals)
	err = p.runOn(ctx, below, signals, body)
	_ = below.Keeper.Release() // what it holds stays
	if next := (*operator.Replacement)(nil); errors.As(err, &next) {
		return operator.Become(next.Binary)
	}
	return err
}

// checkName says why a program cannot have a name.
func checkName(name string) error {
	if name == "" {
		return errors.New("the program has no name: give it one, such as orderd")
	}
	return nil
}

// program is a run of a program.
type program struct {
	Program
	domain     string
	log        *slog.Logger
	supervisor *supervision.Supervisor
	life       context.Context // ends with the run; what runs may go on
	settled    atomic.Bool     // the body has returned
	upgrades   chan struct{}   // has room for the upgrade that goes on
	desk       *operator.Desk
	shelf      *operator.Shelf
	front      *operator.Front
	here       *server.Host
	hosts      *hosts.Set
	known      sync.Map // *Host by *hosts.Host
}

func (p Program) runOn(ctx context.Context, below *server.Host, signals <-chan os.Signal, body Body) error {
	run := &program{Program: p, domain: domainOf(p.Name), log: p.logger(), upgrades: make(chan struct{}, 1), here: below}
	if run.Strategy == "" {
		run.Strategy = OneForOne
	}
	if run.Grace == 0 {
		run.Grace = graceDefault
	}
	return run.serve(ctx, below, signals, body)
}

func (p Program) logger() *slog.Logger {
	return slog.New(logger.Lines{Handler: cmp.Or(p.Log, slog.Default()).Handler()})
}

// domainOf returns the domain of a program.
func domainOf(name string) string { return path.Join("/", name) }

// serve is the run of a program.
func (p *program) serve(ctx context.Context, below *server.Host, signals <-chan os.Signal, body Body) error {
	life, end := context.WithCancelCause(context.WithoutCancel(ctx))
	defer end(nil)
	p.life = life
	p.supervisor = supervision.New(life, p.domain, p.log)
	var lost error
	p.supervisor.Failed = func(m *supervision.Member, err error) {
		if m.Path == "/" {
			lost = err
			return
		}
		p.log.Error("failed too often", "what", m.What(), "in", path.Join(p.domain, path.Dir(m.Path)), "at", m.Site, "why", err)
		p.askAbout(m, err)
	}
	err := p.open(below)
	if err != nil {
		return err
	}

	var serving sync.WaitGroup
	serving.Go(p.supervisor.Serve)
	var here *hosts.Host
	p.hosts, here = hosts.New(hosts.Run{
		Name: p.Name, Domain: p.domain, Builds: p.Builds, Log: p.log, Life: life, Go: serving.Go, Tell: p.supervisor.Tell,
		Taken: func(err error) { end(fmt.Errorf("%w: %w", ErrTaken, err)) },
	}, below)
	defer p.hosts.Leave()
	h := p.host(here)
	if below.Door != "" {
		serving.Go(func() { p.front.Record(life) })
		serving.Go(func() {
			if err := p.front.Serve(life, below.Door); err != nil {
				p.log.Error("nobody can operate the program", "why", err)
			}
		})
	}
	root := &supervision.Member{Kind: "program", Name: p.Name, Site: "its main function", Path: "/"}
	root.Spec = tree.Spec{Group: true, Strategy: p.Strategy}
	root.Run = func(ctx context.Context) (func() (bool, error), error) {
		n := newNursery(p, nil, "/", root.Site)
		n.scopeStrategy = p.Strategy
		root.WhenOver(n.end)
		return nil, n.run(ctx, func(ctx context.Context, n *Nursery) error { return body(ctx, n, h) })
	}
	started := make(chan error, 1)
	serving.Go(func() { started <- p.supervisor.Start(context.WithoutCancel(ctx), root) })

	err = p.wait(ctx, signals, started)
	end(errLeft)
	p.supervisor.Wait()
	serving.Wait()
	if taken := context.Cause(life); errors.Is(taken, ErrTaken) {
		return taken
	}

	select {
	case <-p.supervisor.Over(): // what this run has started has stopped
		ctx, cancel := context.WithTimeout(context.Background(), stopMargin)
		defer cancel()
		return errors.Join(err, lost, p.shelf.PutHosts(nil), p.hosts.Clean(ctx))
	default:
		return errors.Join(err, lost)
	}
}

// errLeft is the end of a run whose servers go on.
var errLeft = errors.New("the program ends, and what it has started goes on")

// wait returns when the run is over. A signal that interrupts stops everything first.
func (p *program) wait(ctx context.Context, signals <-chan os.Signal, started <-chan error) error {
	stops, over := false, ctx.Done()
	for {
		select {
		case err := <-started:
			if err != nil && stops {
				return nil // before it had settled
			}
			if err != nil {
				return err
			}
			started = nil
			p.settled.Store(true)
			p.hosts.Settle(p.Grace)
			p.note()
			p.log.Info("runs", "program", p.Name)
		case s := <-signals:
			if s != os.Interrupt || stops {
				return nil
			}
			stops = true
			p.log.Info("stops everything; once more, and what runs goes on without the program")
			p.stop()
		case <-over:
			over, stops = nil, true
			p.stop()
		case next := <-p.front.Replaced():
			p.log.Info("another binary goes on", "binary", next.Binary)
			return next
		case <-p.supervisor.Over():
			return nil
		case <-p.life.Done():
			return nil
		}
	}
}

// stop has everything stop in order.
func (p *program) stop() {
	p.settled.Store(true) // what was there before is to go as well
	p.supervisor.Events.Add(event.AppDraining{})
	p.supervisor.Tell(tree.Stop, "/")
}
