// Package run is one application in the foreground: its program is built and read, its processes
// are held by a keeper and decided about by a deployer, and what happens to them is written to the
// log and told to a View. The command divisi run is a View and a command line around it.
package run

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"os"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/divisi-go/divisi/cmd/divisi/dashboard"
	"github.com/divisi-go/divisi/cmd/divisi/estate"
	"github.com/divisi-go/divisi/cmd/divisi/telemetry"
	"github.com/divisi-go/divisi/envelope/protos"
	"github.com/divisi-go/divisi/internal/artifact"
	"github.com/divisi-go/divisi/internal/config"
	"github.com/divisi-go/divisi/internal/control"
	"github.com/divisi-go/divisi/internal/deployer"
	"github.com/divisi-go/divisi/internal/event"
	"github.com/divisi-go/divisi/internal/home"
	"github.com/divisi-go/divisi/internal/keeper"
	"github.com/divisi-go/divisi/internal/name"
	"github.com/divisi-go/divisi/opentelemetry"
)

// Options say how to run an application.
type Options struct {
	Name       string         // of the application; "" is that of the file or the program
	ConfigFile string         // TOML file, if the target is none
	Colocate   string         // "all" or "none" in place of the groups of the file, or "file"
	Replicas   map[string]int // by group, "" for all others; those of the file where it says nothing
	Args       []string       // of the program, after those of the file
	Admin      []string       // addresses of the live page: the first that is free; none for no page
	MTLS       bool           // also without the file saying so
	Watch      bool           // build again when the source changes, and upgrade
	Retry      bool           // also a version that has failed to replace another one a short while ago
	Detach     bool           // return when everything is ready, and leave it running
	Logs       bool           // hand on the log
	Timeout    time.Duration  // for everything to be ready
}

// View shows what goes on. Its methods are called by several goroutines, and must not wait for who
// looks, except Entry.
type View interface {
	// Building says that a package is being built, until done is called.
	Building(pkg string) (done func(error))

	// Warn and Note say what else is to be known; Fail shows an error that ends nothing.
	Warn(text string)
	Note(text string)
	Fail(err error)

	// Serving says where the application listens, as soon as it answers there.
	Serving(listeners []control.ListenerStatus)

	// Running says that everything is ready, or with an error that it is not yet.
	Running(status control.Status, livePage string, late error)

	// Event shows what happened, and Entry an entry of the log.
	Event(event.Record)
	Entry(telemetry.Entry) error
}

// ErrKilled is the error when a second signal has ended everything at once.
var ErrKilled = errors.New("ended at once")

// UsageError is an error of what was asked for.
type UsageError struct{ text string }

func (e *UsageError) Error() string { return e.text }

func usageError(format string, args ...any) error { return &UsageError{fmt.Sprintf(format, args...)} }

// Error is an error with a way out.
type Error struct {
	text, hint string
	cause      error
}

func (e *Error) Error() string { return e.text }

// Hint returns the way out.
func (e *Error) Hint() string { return e.hint }

// Unwrap returns the cause, if there is another error.
func (e *Error) Unwrap() error { return e.cause }

func failure(hint, format string, args ...any) error {
	err := fmt.Errorf(format, args...)
	return &Error{text: err.Error(), hint: hint, cause: errors.Unwrap(err)}
}

// application is one that runs in the foreground.
type application struct {
	view     View
	options  Options
	home     home.Home
	target   *target
	source   *source // nil if it is not watched
	programs *artifact.Store
	estate   *estate.Estate
	spec     deployer.Spec // of the first version
	running  version       // belongs to the goroutine of follow, once there is one
	deployer *deployer.Deployer
	logDir   string
	livePage string

	events   event.Log // as the deployer makes them
	told     event.Log // the same, with the last words of processes that failed
	attached bool      // it runs on at the end of the context

	ran  atomic.Bool // everything has been ready once
	left atomic.Bool // it was left running
	over bool        // nothing runs any more
	late error       // why it was not left running; set before the deployer stops
}

// Serve runs an application until it ends: the program in a file, the package in a folder or with an
// import path, or what a TOML file names. The end of ctx stops it in order, which is no error.
func Serve(ctx context.Context, arg string, o Options, view View) (err error) {
	where, err := home.Find()
	if err != nil {
		return err
	}
	if err := dashboard.Check(o.Admin); err != nil {
		return err
	}

	a := &application{view: view, options: o, home: where}
	if a.target, err = resolve(ctx, arg, o, view); err != nil {
		return err
	}
	if a.programs, err = openStore(where, view); err != nil {
		return err
	}
	if err := a.firstVersion(ctx); err != nil {
		return err
	}
	defer func() { a.running.release() }()
	if a.source != nil {
		defer a.source.close()
	}

	if err := a.occupy(ctx, where); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, a.estate.Release(a.over)) }()
	if err := a.running.identify(a.spec.Name); err != nil {
		return err
	}
	a.spec = a.running.Spec

	return a.decide(ctx)
}

// decide decides about the application until it ends, or is left to the next one.
func (a *application) decide(ctx context.Context) error {
	spans, endSpans, err := spanExport(ctx)
	if err != nil {
		return err
	}
	defer endSpans()
	a.deployer, err = deployer.New(a.spec, a.estate.Launcher, deployer.Options{
		RuntimeDir:  a.estate.Calls,
		Events:      &a.events,
		HandleSpans: spans,
		ReadyTime:   a.options.Timeout,
		Succession:  a.estate.Succession,
		BootDir:     a.estate.BootDir(),
		Retry:       a.options.Retry,
		Vault:       a.estate.Vault,
	})
	if err != nil {
		return err
	}

	page, err := dashboard.Listen(a.options.Admin, a.estate.Token, a.home, a.spec.Name)
	if err != nil {
		return err
	}
	if page != nil {
		a.livePage = page.URL()
	}
	api := &control.Server{
		Name: a.spec.Name, App: a.deployer, Logs: a.logs, Events: &a.told,
		Controller: control.Controller{Pid: os.Getpid(), LogDir: a.logDir, Page: a.livePage},
	}
	if err := api.Listen(a.estate.Door); err != nil {
		return err
	}
	a.estate.Open()

	return a.serve(ctx, api, page)
}

// firstVersion builds the program, if it has to be built, and says what of the configuration is not
// used.
func (a *application) firstVersion(ctx context.Context) (err error) {
	if !a.options.Watch {
		a.running, err = a.target.make(ctx, a.programs, a.view, a.options)
	} else {
		if a.target.pkg == nil {
			return usageError("--watch has nothing to watch: %s is a program, not a package", a.target.binary)
		}
		// Before it is built: no change after the build has read the source must be missed.
		if a.source, err = watch(ctx, a.target); err != nil {
			return err
		}
		if a.running, err = a.source.first(ctx, a.programs, a.view, a.options); err != nil {
			a.source.close()
		}
	}
	if err != nil {
		return err
	}

	a.spec = a.running.Spec
	for _, text := range unused(a.spec.Config) {
		a.view.Warn(text)
	}

	return nil
}

// spanExport returns what takes the spans of weavelets, nil if nobody wants any, and what sends the
// last ones.
func spanExport(ctx context.Context) (take func(*protos.TraceSpans), end func(), err error) {
	if !opentelemetry.Wanted(os.Getenv) {
		return nil, func() {}, nil
	}
	exporter, err := opentelemetry.NewExporter(ctx)
	if err != nil {
		return nil, nil, err
	}

	return exporter.Export, func() {
		const limit = 5 * time.Second
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), limit)
		defer cancel()
		_ = exporter.Shutdown(ctx) // OpenTelemetry's handler has said what could not be sent
	}, nil
}

// stays reports whether the processes were asked to outlive this one.
func (a *application) stays() bool {
	return a.options.Detach || a.spec.Config.Orphan == config.OrphanServe
}

// occupy takes the domain of the application. If one of its name runs that ends with its own process, this
// one gets a number behind the name, unless the name was asked for. One that outlives its deployers is taken
// over.
func (a *application) occupy(ctx context.Context, h home.Home) error {
	const most = 100
	first := a.spec.Name
	for n := 1; ; n++ {
		if n > 1 {
			a.spec.Name = first + "-" + strconv.Itoa(n)
		}

		domain := name.Domain(a.spec.Name)
		who := fmt.Sprintf("divisi run %s (process %d)", a.spec.Name, os.Getpid())
		e, err := estate.Occupy(ctx, h, h.Domain(domain), keeper.Claim{Domain: domain, Who: who, Ends: !a.stays()})
		switch {
		case err == nil:
			a.estate, a.logDir = e, e.Logs
			if n > 1 {
				a.view.Warn(fmt.Sprintf("an application %s runs already: this one is %s", first, a.spec.Name))
			}
			return nil
		case !errors.Is(err, home.ErrTaken) || n == most:
			return err
		case a.options.Name != "" || a.stays():
			return failure("choose another --name, or stop that one: divisi stop "+first,
				"an application %s runs already", first)
		}
	}
}

// logs is the stream of the application's log.
func (a *application) logs(ctx context.Context, parameters url.Values, emit func(any) error) error {
	q, err := telemetry.ParseQuery(parameters)
	if err != nil {
		return &control.Error{Code: control.Invalid, Text: err.Error()}
	}
	return telemetry.Show(ctx, a.logDir, nil, q, func(e telemetry.Entry) error { return emit(e) })
}
