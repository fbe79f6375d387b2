// Package application runs an application of components as a part of something larger, which supervises it
// as a whole: its deployer is in the process of whoever supervises it, and its replicas, which the keeper
// holds, outlive that.
package application

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/divisi-go/divisi/internal/config"
	"github.com/divisi-go/divisi/internal/control"
	"github.com/divisi-go/divisi/internal/deployer"
	"github.com/divisi-go/divisi/internal/event"
	"github.com/divisi-go/divisi/internal/home"
	"github.com/divisi-go/divisi/internal/keeper"
	"github.com/divisi-go/divisi/internal/launch"
	"github.com/divisi-go/divisi/internal/logline"
	"github.com/divisi-go/divisi/internal/server"
)

// Keeper is what holds the replicas, in a domain that whoever supervises the application has claimed.
type Keeper interface {
	launch.LastingKeeper
	launch.Slots
}

// Options say how an application runs.
type Options struct {
	Spec    deployer.Spec
	Dir     string                   // in which replicas run
	Env     []string                 // that they have besides their own
	Sockets map[string]keeper.Socket // that somebody else has opened for them, by the names of listeners

	Within time.Duration // the next version has to become ready, or is stopped

	Log  *slog.Logger
	Stop func() // has whoever supervises the application stop it, because an operator has asked
}

// Application is one that this process decides about.
type Application struct {
	// Fresh says that nothing of the application ran before, and Same that its version did, and no other one.
	Fresh, Same bool

	options    Options
	deployer   *deployer.Deployer
	events     event.Log
	succession *launch.Succession
	domain     home.Domain

	end      context.CancelFunc // of what follows
	services sync.WaitGroup

	left  atomic.Bool
	begun time.Time

	mu      sync.Mutex      // guards what follows
	failure error           // why the application was given up
	unready map[string]bool // the replicas of the wanted version that were started, and were not ready since

	ended chan struct{} // closed when nothing is decided any more
	err   error         // why, once ended is closed
}

// Begin takes up what runs of the application in a domain, which is upgraded if another version is wanted, or
// starts it. It returns before that is done: see [Application.Ready].
func Begin(ctx context.Context, k Keeper, d home.Domain, o Options) (*Application, error) {
	if err := d.Make(); err != nil {
		return nil, err
	}
	gate, err := d.Gate(ctx) // so that nobody decides for a moment meanwhile
	if err != nil {
		return nil, err
	}
	defer gate.Close()

	a := &Application{options: o, domain: d, begun: time.Now(), unready: map[string]bool{}, ended: make(chan struct{})}
	if err := a.look(ctx, k); err != nil {
		return nil, err
	}
	if a.succession, err = launch.NewSuccession(k, true, d); err != nil {
		return nil, err
	}
	a.succession.StartLike(keeper.Spec{Dir: o.Dir, Env: o.Env})
	a.succession.Give(o.Sockets)

	if err := a.serve(context.WithoutCancel(ctx), k); err != nil {
		return nil, errors.Join(err, a.succession.Close())
	}
	return a, nil
}

// look finds out what there is of the application.
func (a *Application) look(ctx context.Context, k Keeper) error {
	list, err := k.List(ctx, a.domain.Path)
	a.Fresh = len(list) == 0
	a.Same = !a.Fresh && !slices.ContainsFunc(list, func(p keeper.Proc) bool { return p.Digest != a.options.Spec.Version })
	return err
}

// serve begins to decide, and to answer those who ask.
func (a *Application) serve(ctx context.Context, k Keeper) (err error) {
	vault := launch.NewVault(k, a.domain.Path)
	a.deployer, err = deployer.New(a.options.Spec, a.succession, deployer.Options{
		RuntimeDir: a.domain.Calls, BootDir: a.domain.Boot, Events: &a.events, Succession: a.succession,
		ReadyTime: a.options.Within, Vault: vault, Retry: true,
	})
	if err != nil {
		return err
	}
	api := &control.Server{
		Name: a.options.Spec.Name, App: asked{a.deployer, a.options.Stop}, Events: &a.events,
		Controller: control.Controller{Pid: os.Getpid(), LogDir: a.domain.Logs},
		Logs: func(context.Context, url.Values, func(any) error) error {
			return errors.New("the logs of its replicas are files, in the folder that the status says")
		},
	}
	if err := api.Listen(a.domain.Door); err != nil {
		return err
	}

	serving, end := context.WithCancel(ctx)
	a.end = end
	a.services.Go(func() { vault.Serve(serving) })
	a.services.Go(func() { a.follow(serving) })
	a.services.Go(func() {
		if err := api.Serve(serving); err != nil {
			a.options.Log.Error("nobody can ask about the application", "application", a.options.Spec.Name, "why", err)
		}
	})
	go a.decide(ctx)
	return nil
}

// decide decides until everything has ended, is left to the next one, or is somebody else's.
func (a *Application) decide(ctx context.Context) {
	defer close(a.ended)
	a.err = a.deployer.Serve(ctx)
	a.end()
	a.services.Wait()

	over := a.err == nil && !a.left.Load()
	a.err = errors.Join(a.err, a.succession.Close())
	if over {
		a.domain.Clear()
	}
}

// follow hands on what happens. An application of which a process has ended too often before it was ready has
// failed, unless that is one of a version that is being tried beside another one.
func (a *Application) follow(ctx context.Context) {
	last := map[string]string{} // how processes have ended, by the names of their replicas
	upgrades := false
	_ = a.events.Follow(ctx, func(r event.Record) error {
		a.options.Log.Log(ctx, level(r.Event), r.Event.String(), "application", a.options.Spec.Name)
		switch e := r.Event.(type) {
		case event.Upgrading:
			upgrades = true
		case event.Upgraded, event.RolledBack:
			upgrades = false
		case event.Started:
			a.isReady(e.Server, false)
		case event.Ready:
			a.isReady(e.Server, true)
		case event.Exited:
			last[e.Name] = e.Text
		case event.Restarting:
			if e.Failed && !upgrades && e.Version == a.options.Spec.Version {
				a.giveUp(fmt.Errorf("%s has ended too often before it was ready; the last time it %s%s",
					e.Name, last[e.Name], a.words(e.Name)))
			}
		}
		return nil
	})
}

// isReady takes note of whether a replica is ready, if it is one of the wanted version.
func (a *Application) isReady(s event.Server, ready bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	switch {
	case s.Version != a.options.Spec.Version:
	case ready:
		delete(a.unready, s.Name)
	default:
		a.unready[s.Name] = true
	}
}

// lastWords returns the end of what the replicas have said that were not ready.
func (a *Application) lastWords() string {
	a.mu.Lock()
	names := slices.Sorted(maps.Keys(a.unready))
	a.mu.Unlock()
	return a.words(names...)
}

// words returns the end of what replicas of the wanted version have said. A line that is printed has no version.
func (a *Application) words(replicas ...string) string {
	var logs []string
	for _, full := range replicas {
		name, _, _ := strings.Cut(full, "@")
		logs = append(logs, filepath.Join(a.domain.Logs, name+".log"))
	}
	return server.Words(func(e logline.Entry) bool {
		return !e.Time.Before(a.begun) && (e.Version == "" || e.Version == a.options.Spec.Version)
	}, logs...)
}

// level is how much an event matters.
func level(e event.Event) slog.Level {
	switch e := e.(type) {
	case event.Exited:
		if !e.Asked {
			return slog.LevelWarn
		}
	case event.Restarting, event.NotReady, event.Late, event.Silent, event.Hung, event.RolledBack, event.Warning:
		return slog.LevelWarn
	}
	return slog.LevelInfo
}

// giveUp has everything end because something has failed.
func (a *Application) giveUp(why error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.failure == nil {
		a.failure = why
		go a.deployer.Stop() // which waits for the goroutine that makes events
	}
}

// takeOverTime is how much longer it takes until one knows what runs of an application.
const takeOverTime = 10 * time.Second

// patience is how long an application may take until it runs as wanted. One that is upgraded has what is not to
// be drained first: the version before, or the next one.
func (a *Application) patience() time.Duration {
	if a.Fresh || a.Same {
		return a.options.Within + takeOverTime
	}
	return a.options.Within + takeOverTime + cmp.Or(a.options.Spec.Config.Drain, config.DefaultDrain)
}

// Ready waits until the application can be used as it is wanted. If that takes too long, or ctx ends before,
// an application of which nothing ran before is stopped, and what ran goes on. The error has the last lines of
// what was not ready.
func (a *Application) Ready(ctx context.Context) error {
	limited, cancel := context.WithTimeoutCause(ctx, a.patience(),
		fmt.Errorf("it is not ready after %v", a.options.Within))
	defer cancel()
	err := a.deployer.WaitReady(limited)
	if err == nil {
		return nil
	}
	switch {
	case errors.Is(err, deployer.ErrOver):
	case a.Fresh:
		a.Stop(false)
	default:
		a.Leave()
	}

	finished, why := a.Wait()
	switch {
	case !errors.Is(err, deployer.ErrOver):
		return fmt.Errorf("%w%s", err, a.lastWords())
	case finished:
		return errors.New("it has ended before it was ready")
	case errors.Is(why, deployer.ErrUpgrade):
		return fmt.Errorf("%w; the version before goes on%s", why, a.lastWords())
	}
	return why
}

// Wait returns when nothing is decided about the application any more: because its main component has
// returned, it was stopped, it has failed, or it was left.
func (a *Application) Wait() (finished bool, err error) {
	<-a.ended
	a.mu.Lock()
	defer a.mu.Unlock()
	err = errors.Join(a.failure, a.err)
	return err == nil, err
}

// Stop has everything end: in order, or at once.
func (a *Application) Stop(kill bool) {
	if kill {
		a.deployer.Kill()
		return
	}
	a.deployer.Stop()
}

// Leave has nothing be decided any more: what runs goes on until somebody takes it up.
func (a *Application) Leave() {
	a.left.Store(true)
	a.deployer.Leave()
}

// asked is a deployer as those who ask about the application have it.
type asked struct {
	*deployer.Deployer
	stop func()
}

var _ control.Application = asked{}

// Stop has whoever supervises the application stop it.
func (a asked) Stop() { a.stop() }
