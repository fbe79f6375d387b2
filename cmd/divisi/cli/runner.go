package cli

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/signal"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/divisi-go/divisi/cmd/divisi/dashboard"
	"github.com/divisi-go/divisi/internal/control"
	"github.com/divisi-go/divisi/internal/deployer"
	"github.com/divisi-go/divisi/internal/event"
	"github.com/divisi-go/divisi/internal/keeper"
	"github.com/divisi-go/divisi/internal/name"
)

// runner runs one application in the foreground.
type runner struct {
	c        *command
	options  runOptions
	target   *target
	source   *source // nil if it is not watched
	deployer *deployer.Deployer
	logDir   string
	admin    string // address of the live page
	events   event.Log
	advised  sync.Once // of where to find out why a process ended
}

// serve runs the application until it ends. The control API goes last: when it is gone,
// everything else is.
func (r *runner) serve(ctx context.Context, k *keeper.Keeper, api *control.Server, page *dashboard.Page) error {
	served, endAPI := context.WithCancel(context.WithoutCancel(ctx))
	var wait sync.WaitGroup
	defer wait.Wait()
	defer endAPI()
	serve := func(what string, serve func(context.Context) error) {
		wait.Go(func() {
			if err := serve(served); err != nil {
				fmt.Fprintf(r.c.err, "divisi: warning: %s is gone: %v\n", what, err)
			}
		})
	}
	serve("the control API", api.Serve)
	if page != nil {
		serve("the live page", page.Serve)
	}
	ended := make(chan error, 1)
	go func() { ended <- r.deployer.Serve(ctx) }()
	killed := make(chan bool, 1)
	go func() { killed <- r.secondSignal(ctx) }()
	wait.Go(func() { r.showStart(ctx) })
	wait.Go(func() { _ = r.events.Follow(served, r.show) })
	if r.source != nil {
		watch, cancel := context.WithCancel(ctx)
		defer cancel()
		wait.Go(func() { r.follow(watch) })
	}
	err := errors.Join(<-ended, k.Close())
	if <-killed {
		return &exitError{code: exitInterrupted, err: errors.Join(errors.New("ended at once"), err)}
	}
	return err
}

// secondSignal ends everything at once if a signal comes while it is being drained, and reports
// whether one did.
func (r *runner) secondSignal(ctx context.Context) bool {
	select {
	case <-ctx.Done():
	case <-r.deployer.Over():
		return false
	}
	again := make(chan os.Signal, 1)
	signal.Notify(again, os.Interrupt, syscall.SIGTERM)
	defer signal.Stop(again)
	select {
	case <-again:
		r.deployer.Kill()
		<-r.deployer.Over()
		return true
	case <-r.deployer.Over():
		return false
	}
}

// showStart shows the address of the page as soon as it answers, and everything when it is ready.
func (r *runner) showStart(ctx context.Context) {
	limit := r.options.timeout
	ready, cancel := context.WithTimeoutCause(ctx, limit, fmt.Errorf("not everything is ready after %v", limit))
	defer cancel()
	status := r.deployer.Status()
	json := r.c.output == "json"
	for i, l := range status.Listeners {
		if i == 0 && !r.answers(ready, l.URL) && (ctx.Err() != nil || r.over()) {
			return // it has ended; Serve knows why
		}
		if !json {
			fmt.Fprintln(r.c.out, l.URL)
		}
	}
	err := r.deployer.WaitReady(ready)
	if errors.Is(err, deployer.ErrOver) || ctx.Err() != nil {
		return
	}
	status = r.deployer.Status()
	if err != nil {
		// What is not ready is supervised, and may become so: it is shown, not stopped.
		fmt.Fprintf(r.c.err, "divisi: warning: %v: see divisi status %s\n", err, status.App)
	}
	if done, _ := r.c.json(status); done {
		return
	}
	fmt.Fprintln(r.c.out)
	r.c.columns(replicaRows(status.Replicas, time.Now()))
	text := fmt.Sprintf("%s runs as %d processes in %d groups", status.App, len(status.Replicas), len(status.Groups))
	if r.admin != "" {
		text += ", live page " + r.admin
	}
	fmt.Fprintf(r.c.out, "\n%s (Ctrl-C drains and stops them)\n", text)
}

func (r *runner) over() bool {
	select {
	case <-r.deployer.Over():
		return true
	default:
		return false
	}
}

// answers waits until a page answers with anything, and reports whether it did.
func (r *runner) answers(ctx context.Context, url string) bool {
	if !strings.HasPrefix(url, "http://") {
		return true // a Unix socket is there at once
	}
	client := &http.Client{Timeout: time.Second, Transport: &http.Transport{DisableKeepAlives: true}}
	for {
		request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
		if err != nil {
			return false
		}
		if response, err := client.Do(request); err == nil {
			response.Body.Close()
			return true
		}
		select {
		case <-time.After(20 * time.Millisecond):
		case <-ctx.Done():
			return false
		case <-r.deployer.Over():
			return false
		}
	}
}

// show prints what an operator should notice. It may wait for the terminal: the deployer does not.
func (r *runner) show(record event.Record) error {
	switch e := record.Event.(type) {
	case event.Exited:
		if e.Asked {
			return nil
		}
	case event.Started, event.Listening, event.Ready, event.Draining, event.Stopped:
		return nil
	}

	_, err := fmt.Fprintf(r.c.err, "%s %s\n", record.Time.Format(time.TimeOnly), record.Event)
	if err != nil {
		return err
	}

	if e, ok := record.Event.(event.Restarting); ok {
		r.advised.Do(func() {
			fmt.Fprintf(r.c.err, "divisi: hint: see why: divisi logs %s --tail 20\n", selection(e.Name))
		})
	}

	return nil
}

// selection returns the arguments of logs that choose a server.
func selection(server string) string {
	s, err := name.ParseServer(server)
	if err != nil {
		return "--replica " + server
	}
	return strings.TrimPrefix(s.Domain, "/") + " --replica " + s.Name
}
