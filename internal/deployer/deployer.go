// Package deployer runs one application as many processes: it is the controller behind every
// deployer of one machine. What to run where is decided by package place, what happens to a
// process by package lifecycle; the processes themselves are held by a Launcher.
package deployer

import (
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"slices"
	"time"

	"github.com/divisi-go/divisi/codegen"
	"github.com/divisi-go/divisi/envelope/protos"
	"github.com/divisi-go/divisi/internal/config"
	"github.com/divisi-go/divisi/internal/control"
	"github.com/divisi-go/divisi/internal/event"
	"github.com/divisi-go/divisi/internal/identity"
)

// Spec is an application to run.
type Spec struct {
	Name       string // of the application
	Version    string // unique to this deployment; one is made if it is empty
	Binary     string // absolute path
	Arg0       string // what its processes call themselves, as the system shows them; default Binary
	Config     config.App
	Components []codegen.Info // those in the binary
	Colocate   string         // "all" or "none" override the groups of Config
	Replicas   map[string]int // by group, "" for all others; overrides Config
}

// Launch is a process to start.
type Launch struct {
	Name    string // unique among running processes of the application
	Server  string // full name, such as "cart-0@/shop"
	Binary  string
	Arg0    string // default Binary
	Args    []string
	Env     []string // in addition to what the launcher gives every process
	Sockets []string // names of listeners to inherit, by the convention of LISTEN_FDS
}

// Process is a process that was started.
type Process struct {
	Pid    int
	In     writeCloser // to the weavelet
	Out    readCloser  // from the weavelet
	Exited <-chan control.ExitStatus
}

// Launcher starts and holds processes.
type Launcher interface {
	// Listen opens a listener once, for all replicas; its address is "host:port".
	Listen(name, address string) (actual string, err error)

	// Launch starts a process with the two pipes of the envelope protocol.
	Launch(Launch) (Process, error)

	// Signal sends a signal to a process and its children.
	Signal(name string, signal os.Signal) error
}

// Options say where a deployer reports to. None is needed.
type Options struct {
	Events      *event.Log             // where what happens is told
	HandleLog   func(*protos.LogEntry) // of weavelets that do not write theirs to standard error
	HandleSpans func(*protos.TraceSpans)
	RuntimeDir  string        // for the Unix sockets of weavelets; TCP if it is empty
	ReadyTime   time.Duration // for an upgrade to become ready; default 60 s

	Certificates identity.Options // how long those of mutual TLS live

	loadEvery time.Duration // another time than the constant, for tests
}

// defaultDrain bounds a stop of everything.
const defaultDrain = 30 * time.Second

// Deployer runs one application.
type Deployer struct {
	launcher Launcher
	options  Options
	started  time.Time
	first    Spec
	work     chan func() // what Serve's goroutine does next
	over     chan struct{}

	// What follows belongs to Serve's goroutine.
	ctx       context.Context // of processes and conversations
	sets      []*set          // the current version is the last one
	versions  int
	listeners []control.ListenerStatus
	finished  bool // the main component's program has returned
	stopping  bool
}

// New returns a deployer of an application. A specification that cannot be met is an error.
func New(spec Spec, launcher Launcher, o Options) (*Deployer, error) {
	if o.Events == nil {
		o.Events = &event.Log{}
	}
	o.ReadyTime = cmp.Or(o.ReadyTime, time.Minute)
	o.loadEvery = cmp.Or(o.loadEvery, loadEvery)
	spec.Version = cmp.Or(spec.Version, rand.Text())
	if _, err := makePlan(spec); err != nil {
		return nil, err
	}
	return &Deployer{
		launcher: launcher,
		options:  o,
		started:  time.Now(),
		first:    spec,
		work:     make(chan func()),
		over:     make(chan struct{}),
	}, nil
}

// ErrOver is the error of requests to a deployer that does not run, or no longer.
var ErrOver = errors.New("the application does not run")

// Serve runs the application until its main component's program has returned on all replicas, or
// until ctx ends and everything has been drained, in order. Both are no error.
func (d *Deployer) Serve(ctx context.Context) error {
	defer close(d.over)
	var cancel context.CancelFunc
	d.ctx, cancel = context.WithCancel(context.WithoutCancel(ctx))
	defer cancel()
	s, err := d.newSet(d.first)
	if err != nil {
		return err
	}
	d.sets = []*set{s}
	s.begin()
	go d.balance(d.ctx, d.options.loadEvery)
	var deadline <-chan time.Time
	done := ctx.Done()
	for {
		if d.finished && !d.stopping {
			d.stopping = true
			deadline = time.After(d.drainTime())
		}
		if d.stopping {
			for _, s := range d.sets {
				s.stop()
			}
			if !slices.ContainsFunc(d.sets, (*set).running) {
				d.emit(event.AppStopped{})
				return nil
			}
		}
		select {
		case f := <-d.work:
			f()
		case <-done:
			done = nil
			d.stopping = true
			deadline = time.After(d.drainTime())
			d.emit(event.AppDraining{})
		case <-deadline:
			d.warn("not drained in time: killing what is left")
			d.killAll()
		}
	}
}

func (d *Deployer) drainTime() time.Duration {
	return cmp.Or(d.first.Config.Drain, defaultDrain)
}

func (d *Deployer) killAll() {
	for _, s := range d.sets {
		s.kill()
	}
}

// Kill ends everything at once; Serve returns when it has.
func (d *Deployer) Kill() {
	d.do(context.Background(), func() {
		d.stopping = true
		d.killAll()
	})
}

// Stop ends everything in order, as the end of Serve's context does.
func (d *Deployer) Stop() {
	d.do(context.Background(), func() { d.finished = true })
}

// do has Serve's goroutine execute f, and waits until it has.
func (d *Deployer) do(ctx context.Context, f func()) error {
	done := make(chan struct{})
	select {
	case d.work <- func() { f(); close(done) }:
		<-done
		return nil
	case <-d.over:
		return ErrOver
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// emit tells everybody who follows what happened. It never waits for them.
func (d *Deployer) emit(e event.Event) { d.options.Events.Add(e) }

func (d *Deployer) warn(format string, args ...any) {
	d.emit(event.Warning{Text: fmt.Sprintf(format, args...)})
}

// Over is closed when Serve has returned.
func (d *Deployer) Over() <-chan struct{} { return d.over }

// listen opens the listeners of an application that are not open yet.
func (d *Deployer) listen(spec Spec) error {
	for _, c := range spec.Components {
		for _, name := range c.Listeners {
			if slices.ContainsFunc(d.listeners, func(l control.ListenerStatus) bool { return l.Name == name }) {
				continue
			}
			wanted := cmp.Or(spec.Config.Process.Listeners[name].Address, "localhost:0")
			actual, err := d.launcher.Listen(name, wanted)
			if err != nil {
				return fmt.Errorf("cannot open the listener %s at %s: %w (set another address: "+
					"listeners.%s = { address = \"...\" } in [process])", name, wanted, err, name)
			}
			d.listeners = append(d.listeners, control.ListenerStatus{
				Name: name, Address: actual, URL: pageURL(actual),
			})
		}
	}
	return nil
}
