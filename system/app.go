package system

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"path"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/divisi-go/divisi/internal/application"
	"github.com/divisi-go/divisi/internal/artifact"
	"github.com/divisi-go/divisi/internal/config"
	"github.com/divisi-go/divisi/internal/keeper"
	"github.com/divisi-go/divisi/internal/operator"
	stored "github.com/divisi-go/divisi/internal/program"
	"github.com/divisi-go/divisi/internal/supervision"
	"github.com/divisi-go/divisi/internal/tree"
)

// Application is an application of components that a host is to run, as divisi run does. All but the name may
// be left out.
type Application struct {
	Name string // in its nursery

	Program string // as in [Spec]: also a [Server] of this program, which calls divisi.Run
	Args    []any
	Env     []string
	Dir     Dir // where its replicas run; default the folder of the program's data

	// Config is the text of its configuration in TOML: groups, replicas, and what its components read.
	Config string

	// Listeners are used by the components, each by its name. The listeners of other names are opened where
	// Config says, or at any port.
	Listeners []*Listener

	Within time.Duration // it has to become ready, or is stopped; default 60 s
	Policy Policy        // what follows when it fails; it is restarted after failures by default
}

// App is an application of components, with the replicas that it has one after the other.
type App struct {
	host      *Host
	nursery   *Nursery
	member    *supervision.Member
	options   application.Options
	addresses map[string]string // by listener
	program   *artifact.Program // which stays until this process ends

	mu      sync.Mutex // guards what follows
	outcome Outcome
}

// appWithin is the default of Application.Within.
const appWithin = time.Minute

// App has an application of components run in a nursery, and returns when it takes requests. What runs of it
// as wanted, whoever has started it, is left as it is; another version is replaced, replica by replica, as
// divisi run does, and if the next one is not ready in time, the one before has never left.
//
// The keeper has its replicas, in a domain that is called by the path of the nursery and its name, such as
// /orderd/shop; commands call it orderd/shop. They start again by themselves. An application of which a
// replica ends too often before it is ready has failed as a whole: it is stopped, and the nursery decides.
// When its main component returns, it has finished.
//
// The context bounds the start. The application ends with the nursery.
func (h *Host) App(ctx context.Context, n *Nursery, s Application) (*App, error) {
	site := caller()
	a := &App{host: h, nursery: n, member: n.member(operator.KindApplication, s.Name, site)}
	if err := a.plan(ctx, s); err != nil {
		return nil, fmt.Errorf("cannot start the application %s in %s (%s): %w", s.Name, n.Path(), site, err)
	}

	conf := a.options.Spec.Config
	a.member.Run = a.run
	a.member.Spec = tree.Spec{Policy: s.Policy.lifecycle(transient)}
	a.member.Spec.Policy.StopTime = cmp.Or(conf.Drain, config.DefaultDrain) + stopMargin
	if err := n.start(ctx, a.member); err != nil {
		return nil, err
	}
	return a, nil
}

// ID returns the name by which commands call the application, such as orderd/shop.
func (a *App) ID() string { return a.options.Spec.Name }

// Address returns where a listener of the application is, such as 127.0.0.1:43211; "" if it has none of that
// name.
func (a *App) Address(listener string) string { return a.addresses[listener] }

// Outcome returns what App has done.
func (a *App) Outcome() Outcome {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.outcome
}

// plan finds out what is to run, and opens what it listens on.
func (a *App) plan(ctx context.Context, s Application) error {
	below := a.host.below
	switch {
	case below.Home.Dir == "":
		return errors.New("there are no applications of components where a host is simulated")
	case below.Files != nil:
		return fmt.Errorf("the host %s is another one than this machine, and the replicas of applications are on this one only: use Ensure, "+
			"for which the program is one process with all components", a.host.name)
	}
	var called keeper.Spec
	found, err := a.host.program(Spec{Program: s.Program, Args: s.Args}, &called)
	if err != nil {
		return fmt.Errorf("on %s: %w", a.host.name, err)
	}
	if a.program, err = stored.Store(below.Home).Copy(found.Path); err != nil {
		return err
	}
	spec, err := application.Describe(application.Source{
		Name:    strings.TrimPrefix(path.Join(a.nursery.Path(), s.Name), "/"),
		Program: a.program.Path, Config: s.Config, Args: called.Args, Env: s.Env,
	})
	if err != nil {
		return err
	}

	a.options.Within = cmp.Or(s.Within, appWithin)
	if a.options.Dir, err = a.host.folder(s.Dir); err != nil {
		return err
	}
	if a.options.Env, err = a.host.environment(Spec{}); err != nil {
		return err
	}
	if err := a.listen(ctx, s, application.Listeners(spec)); err != nil {
		return err
	}
	a.options.Spec, err = application.At(spec, a.addresses)
	a.options.Log = a.nursery.program.log
	a.options.Stop = func() { a.nursery.program.supervisor.Tell(tree.Stop, a.member.Path) }
	return err
}

// listen has every listener of the application open.
func (a *App) listen(ctx context.Context, s Application, wanted map[string]string) error {
	a.addresses, a.options.Sockets = map[string]string{}, map[string]keeper.Socket{}
	take := func(name string, l *Listener) {
		a.addresses[name] = l.address
		a.options.Sockets[name] = keeper.Socket{Domain: l.domain, Key: l.key, Network: l.network, Actual: l.address}
	}
	for _, l := range s.Listeners {
		if l.host != a.host {
			return fmt.Errorf("the listener %s is on %s, and cannot be used on %s", l.name, l.host.name, a.host.name)
		}
		if _, ok := wanted[l.name]; !ok {
			return fmt.Errorf("the application has no listener %s: it has %s", l.name,
				cmp.Or(strings.Join(slices.Sorted(maps.Keys(wanted)), ", "), "none"))
		}
		take(l.name, l)
	}
	for name, address := range wanted {
		if _, ok := a.addresses[name]; ok {
			continue
		}
		l, err := a.host.Listen(ctx, a.nursery, s.Name+"."+name, address)
		if err != nil {
			return err
		}
		take(name, l)
	}
	return nil
}

// run has the application run, and returns what waits for its end.
func (a *App) run(ctx context.Context) (func() (bool, error), error) {
	now, err := a.begin(ctx)
	if err != nil {
		return nil, fmt.Errorf("cannot start the application %s (%s): %w", a.ID(), a.member.Site, err)
	}
	program := a.nursery.program
	stop := context.AfterFunc(program.life, now.Leave)
	a.member.WhenHalted(func(kill bool) {
		if now.Fresh || program.settled.Load() {
			now.Stop(kill)
			return
		}
		now.Leave() // as any server that this run has not started
	})
	return func() (bool, error) {
		defer stop()
		finished, err := now.Wait()
		if program.life.Err() != nil {
			return false, supervision.ErrStopped
		}
		return finished, err
	}, nil
}

// begin has the application run as wanted, and returns when it is ready.
func (a *App) begin(ctx context.Context) (*application.Application, error) {
	site, ok := a.host.below.Keeper.(application.Keeper)
	if !ok {
		return nil, errors.New("the keeper of the host has no applications of components")
	}
	now, err := application.Begin(ctx, site, a.host.below.Home.Domain("/"+a.ID()), a.options)
	if err != nil {
		return nil, err
	}
	a.host.asked.Add(keeper.ID{Domain: "/" + a.ID()})
	if err := now.Ready(ctx); err != nil {
		return nil, err
	}
	a.is(now)
	return now, nil
}

func (a *App) is(now *application.Application) {
	outcome := Upgraded
	switch {
	case now.Fresh:
		outcome = Started
	case now.Same:
		outcome = Adopted
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	a.outcome = cmp.Or(a.outcome, outcome)
	a.nursery.program.log.Info(string(outcome), "application", a.ID(), "version", a.options.Spec.Version)
}
