package run

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"sync"
	"syscall"
	"time"

	"github.com/divisi-go/divisi/cmd/divisi/dashboard"
	"github.com/divisi-go/divisi/cmd/divisi/telemetry"
	"github.com/divisi-go/divisi/internal/control"
	"github.com/divisi-go/divisi/internal/deployer"
	"github.com/divisi-go/divisi/internal/event"
	"github.com/divisi-go/divisi/internal/keeper"
	"github.com/divisi-go/divisi/internal/name"
)

// serve runs the application until it ends. The control API goes last: when it is gone,
// everything else is.
func (a *application) serve(ctx context.Context, api *control.Server, page *dashboard.Page) error {
	served, endServices := context.WithCancel(context.WithoutCancel(ctx))
	var services sync.WaitGroup
	defer services.Wait()
	defer endServices()
	serve := func(what string, serve func(context.Context) error) {
		services.Go(func() {
			if err := serve(served); err != nil {
				a.view.Warn(fmt.Sprintf("%s is gone: %v", what, err))
			}
		})
	}
	serve("the control API", api.Serve)
	if page != nil {
		serve("the live page", page.Serve)
	}
	services.Go(func() { keepTidy(served, a.logDir) })

	noticed := make(chan error, 1) // why the start has failed, nil if it has not
	go func() { noticed <- a.notice(served) }()
	// Whoever follows what is told goes on until everything has been noticed.
	told, endTold := context.WithCancel(context.WithoutCancel(ctx))
	defer endTold()
	services.Go(func() {
		_ = a.told.Follow(told, func(r event.Record) error {
			a.view.Event(r)
			return nil
		})
	})
	endLogs := a.showLogs(served)

	running := ctx
	if a.attached {
		running = context.WithoutCancel(ctx)
		defer context.AfterFunc(ctx, a.leave)()
	}
	killed := make(chan bool, 1)
	go func() { killed <- a.secondSignal(running) }()
	services.Go(func() { a.showStart(ctx) })
	if a.source != nil {
		watch, cancel := context.WithCancel(ctx)
		defer cancel()
		services.Go(func() { a.follow(watch) })
	}

	err := a.deployer.Serve(running)
	a.over = err == nil && !a.left.Load() || !a.estate.Stays
	endServices()
	failed := <-noticed
	endTold()
	endLogs()

	if errors.Is(err, deployer.ErrUpgrade) {
		a.showLast()
	}
	switch {
	case <-killed:
		return errors.Join(ErrKilled, err)
	case errors.Is(err, keeper.ErrFenced):
		return a.taken(err)
	case failed != nil:
		return failed
	case a.late != nil && err == nil:
		return a.late
	}

	return err
}

// showLast hands on what the version that has failed has said last, unless all was handed on.
func (a *application) showLast() {
	const most = 10
	if a.options.Logs {
		return
	}

	filter := &telemetry.Filter{Kind: telemetry.KindLog, Version: a.spec.Version}
	if err := filter.Compile(); err != nil {
		return
	}
	entries, err := telemetry.Recent(a.logDir, nil, filter, most)
	if err != nil {
		a.view.Warn(fmt.Sprintf("what it has said cannot be shown: %v", err))
	}
	for _, e := range entries {
		_ = a.view.Entry(e) // whoever does not read it has the error yet
	}
}

// showLogs hands on the log from now on, if that was asked for. What it returns is called at the
// end, and waits for the last entries, but not for long if nobody reads them.
func (a *application) showLogs(ctx context.Context) (end func()) {
	if !a.options.Logs {
		return func() {}
	}

	shown := make(chan struct{})
	go func() {
		defer close(shown)
		q := &telemetry.Query{Follow: true, Filter: telemetry.Filter{Kind: telemetry.KindLog}}
		if err := telemetry.Show(ctx, a.logDir, nil, q, a.view.Entry); err != nil {
			a.view.Warn(fmt.Sprintf("the log cannot be shown: %v", err))
		}
	}()

	return func() {
		select {
		case <-shown:
		case <-time.After(lastWordsTime):
		}
	}
}

const (
	// lastWordsTime is how long the end waits for who reads the log.
	lastWordsTime = time.Second

	// sameSignal is the time within which signals are taken for one: who runs a program in a
	// group of processes, such as timeout and systemd, may send it to both.
	sameSignal = time.Second
)

// secondSignal ends everything at once if a signal comes while it is being drained, and reports
// whether one did.
func (a *application) secondSignal(ctx context.Context) bool {
	select {
	case <-ctx.Done():
	case <-a.deployer.Over():
		return false
	}

	again := make(chan os.Signal, 1)
	signal.Notify(again, os.Interrupt, syscall.SIGTERM)
	defer signal.Stop(again)
	begun := time.After(sameSignal)
	for listens := false; ; {
		select {
		case <-begun:
			listens = true
			a.view.Note("still stopping in order: Ctrl-C, or a signal, ends everything at once now")
		case <-again:
			if listens {
				a.deployer.Kill()
				<-a.deployer.Over()
				return true
			}
		case <-a.deployer.Over():
			return false
		}
	}
}

// showStart says where the application listens as soon as what listens there is ready, and more when
// everything is.
func (a *application) showStart(ctx context.Context) {
	limit := a.options.Timeout
	ready, cancel := context.WithTimeoutCause(ctx, limit, fmt.Errorf("not everything is ready after %v", limit))
	defer cancel()

	if first := a.firstListener(); first != "" {
		if !a.listens(ctx, first) {
			return // it has ended; Serve knows why
		}
		a.view.Serving(a.deployer.Status().Listeners)
	}

	err := a.deployer.WaitReady(ready)
	if errors.Is(err, deployer.ErrOver) || ctx.Err() != nil {
		return
	}
	a.ran.Store(err == nil)

	switch {
	case !a.options.Detach:
		// What is not ready is supervised, and may become so: it is shown, not stopped.
		a.view.Running(a.deployer.Status(), a.livePage, err)
	case err != nil:
		a.late = failure("see why: divisi logs "+a.spec.Name, "%s is not ready: %w", a.spec.Name, err)
		a.deployer.Stop()
	default:
		a.view.Running(a.deployer.Status(), "", nil)
		a.leave()
	}
}

// listens waits until a replica is ready that has a listener, and reports whether one is.
func (a *application) listens(ctx context.Context, listener string) bool {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	go func() {
		select {
		case <-a.deployer.Over():
			cancel()
		case <-ctx.Done():
		}
	}()

	err := a.events.Follow(ctx, func(r event.Record) error {
		if e, ok := r.Event.(event.Ready); ok && a.groupsWith(listener)[e.Group] {
			return errListens
		}
		return nil
	})

	return errors.Is(err, errListens)
}

// firstListener returns the name of the one whose page is the application's, "" if it has none.
func (a *application) firstListener() string {
	for _, c := range a.spec.Components {
		for _, l := range c.Listeners {
			return l
		}
	}
	return ""
}

var errListens = errors.New("a replica listens")

// groupsWith returns the groups that a component with a listener is in.
func (a *application) groupsWith(listener string) map[string]bool {
	components := map[string]bool{} // by short name, as in the status
	for _, c := range a.spec.Components {
		for _, l := range c.Listeners {
			if l == listener {
				components[name.Short(c.Name)] = true
			}
		}
	}

	groups := map[string]bool{}
	for _, g := range a.deployer.Status().Groups {
		for _, c := range g.Components {
			if components[c] {
				groups[g.Name] = true
			}
		}
	}

	return groups
}

const (
	// oldLogs is how long the logs of replicas are kept of which nothing was heard, such as those
	// of versions that were replaced.
	oldLogs = 7 * 24 * time.Hour

	tidyEvery = time.Hour
)

// keepTidy removes old logs: they only take space.
func keepTidy(ctx context.Context, logDir string) {
	for {
		_ = telemetry.RemoveOld(logDir, time.Now().Add(-oldLogs))
		select {
		case <-time.After(tidyEvery):
		case <-ctx.Done():
			return
		}
	}
}
