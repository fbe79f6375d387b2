// Package deployer runs one application as many processes: it is the controller behind every
// deployer of one machine. What to run where is decided by package place, what happens to a
// process by package lifecycle, and how one version replaces another by package rollout; the
// processes themselves are held by a [Launcher].
//
// One goroutine, that of [Deployer.Serve], owns the state and decides. It does nothing that could
// wait: processes are started, signalled and asked on goroutines of their own, which hand it
// their results, and those who want to know what happened follow an [event.Log].
package deployer

import (
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/divisi-go/divisi/codegen"
	"github.com/divisi-go/divisi/envelope/protos"
	"github.com/divisi-go/divisi/internal/config"
	"github.com/divisi-go/divisi/internal/control"
	"github.com/divisi-go/divisi/internal/deployer/mtls"
	"github.com/divisi-go/divisi/internal/event"
	"github.com/divisi-go/divisi/internal/identity"
	"github.com/divisi-go/divisi/internal/lifecycle"
)

// Spec is an application to run.
type Spec struct {
	Name       string         `json:"name,omitzero"`       // of the application
	Version    string         `json:"version,omitzero"`    // unique to this deployment; one is made if it is empty
	Binary     string         `json:"binary,omitzero"`     // absolute path
	Arg0       string         `json:"arg0,omitzero"`       // what its processes call themselves, as the system shows them; default Binary
	Config     config.App     `json:"config,omitzero"`     // its groups hold all components
	Components []codegen.Info `json:"components,omitzero"` // those in the binary
	Replicas   map[string]int `json:"replicas,omitzero"`   // by group, "" for all others; overrides Config
}

// Options say where a deployer reports to. None is needed.
type Options struct {
	Events      *event.Log             // where what happens is told
	HandleLog   func(*protos.LogEntry) // of weavelets that do not write theirs to standard error
	HandleSpans func(*protos.TraceSpans)
	RuntimeDir  string        // for the Unix sockets of weavelets; TCP if it is empty
	ReadyTime   time.Duration // for an upgrade to become ready; default 60 s

	// Succession has the processes outlive the deployer; nil if they end with it. BootDir is the folder of
	// what they start from while there is none.
	Succession Succession
	BootDir    string

	Retry bool // also a version that has failed to replace the one that runs a short while ago

	Certificates identity.Options // how long those of mutual TLS live
	Vault        mtls.Vault       // keeps their keys for the deployer that takes over; nil: they end with this one

	loadEvery time.Duration // another time than the constant, for tests
}

// defaultDrain bounds a stop of everything.
const defaultDrain = 30 * time.Second

// Deployer runs one application.
type Deployer struct {
	launcher Launcher
	options  Options
	started  time.Time
	work     chan func() // what Serve's goroutine does next
	over     chan struct{}

	aside      sync.WaitGroup // of what is told to the launcher
	forgetting sync.WaitGroup // of records of versions that have gone

	// What follows belongs to Serve's goroutine.
	ctx       context.Context // of processes and conversations
	clock     lifecycle.Clock
	first     Spec
	sets      []*set // of versions; the current one is the last one
	begun     *set   // the next version, which a deployer before has begun to start
	listeners []control.ListenerStatus
	wanted    map[string]string // the address that was asked for, by the listener's name
	upgrade   *upgrade          // nil unless one goes on
	waiters   []*waiter
	known     bool // what runs, as a deployer before may have left it
	prepared  bool // the version that is wanted has begun, or has replaced the one before
	finished  bool // the main component's program has returned
	stopping  bool
	killed    bool
	left      bool      // everything is to run on, without this deployer
	drainBy   time.Time // when a stop kills what is left; of the clock
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
		wanted:   map[string]string{},
	}, nil
}

// ErrOver is the error of requests to a deployer that does not run, or no longer.
var ErrOver = errors.New("the application does not run")

// Serve runs the application until its main component's program has returned on all replicas, or
// until ctx ends and everything has been drained, in order. Both are no error.
//
// If a deployer before has left the application running, Serve takes it over as it is, and then upgrades it
// if another version is wanted. If that fails, or somebody else takes the application over, Serve returns
// the error, and what runs goes on.
func (d *Deployer) Serve(ctx context.Context) error {
	defer d.forgetting.Wait()
	defer d.aside.Wait()
	defer close(d.over)
	var cancel context.CancelFunc
	d.ctx, cancel = context.WithCancel(context.WithoutCancel(ctx))
	defer cancel()

	prepared, succeeded := make(chan error, 1), make(chan error, 1)
	go func() { prepared <- d.begin() }()
	go d.balance(d.ctx, d.options.loadEvery)
	if next := d.options.Succession; next != nil {
		go d.accept(d.ctx)
		go func() { succeeded <- next.Succeeded(d.ctx) }()
	}

	pulse := time.NewTicker(lifecycle.Question)
	defer pulse.Stop()
	done := ctx.Done()
	for {
		if d.settle() || d.left {
			return nil
		}

		select {
		case f := <-d.work:
			f()
		case <-pulse.C:
			d.pulse()
		case err := <-prepared:
			if err != nil && !errors.Is(err, ErrOver) {
				return err
			}
			prepared, d.prepared = nil, true
		case err := <-succeeded:
			return err
		case <-done:
			done = nil
			d.emit(event.AppDraining{})
			d.stop()
		}
	}
}

// current returns the version that runs, or is to; nil before the first one starts.
func (d *Deployer) current() *set {
	if len(d.sets) == 0 {
		return nil
	}

	return d.sets[len(d.sets)-1]
}

// begin starts the first version, or takes over what runs. It runs aside: to open listeners may take long.
func (d *Deployer) begin() error {
	if d.options.Succession != nil {
		running, err := d.options.Succession.Running(d.ctx)
		if err != nil {
			return fmt.Errorf("cannot see what runs: %w", err)
		}
		if len(running) > 0 {
			return d.takeOver(running)
		}
	}

	return d.beginFirst()
}

// beginFirst starts the first version where nothing runs.
func (d *Deployer) beginFirst() error {
	v, err := d.prepare(d.first)
	if err != nil {
		return err
	}

	return d.do(d.ctx, func() {
		d.known = true
		if d.stopping {
			return
		}
		s := d.newSet(v)
		d.sets = append(d.sets, s)
		s.begin()
	})
}

// settle does what follows from the state, however it came about. It reports whether the
// application is over.
func (d *Deployer) settle() (over bool) {
	if d.finished && !d.stopping {
		d.stop()
	}
	if d.stopping {
		for _, s := range d.sets {
			s.stop()
		}
	}

	if d.stopping && d.begun != nil {
		d.sets, d.begun = append(d.sets, d.begun), nil
		d.current().resume(false)
	}

	d.upgradeStep()
	d.retire()
	d.notify()

	if d.stopping && !slices.ContainsFunc(d.sets, (*set).running) {
		for _, s := range d.sets {
			d.forgetRecord(s)
		}
		d.emit(event.AppStopped{})
		return true
	}

	return false
}

// pulse comes once a second, as long as this process runs: it asks every process whether it is well.
func (d *Deployer) pulse() {
	now := d.clock.At(time.Now())
	if d.stopping && !d.killed && now.After(d.drainBy) {
		d.warn("not drained in time: what is left is killed")
		d.killAll()
	}

	for _, s := range d.sets {
		for _, r := range s.ordered() {
			r.Pulse()
		}
		s.leave()
	}
}

// stop begins to end everything in order.
func (d *Deployer) stop() {
	d.stopping = true
	d.drainBy = d.clock.At(time.Now()).Add(d.drainTime())
}

// drainTime is that of the version that runs.
func (d *Deployer) drainTime() time.Duration {
	spec := d.first
	if s := d.current(); s != nil {
		spec = s.spec
	}

	return cmp.Or(spec.Config.Drain, defaultDrain)
}

func (d *Deployer) killAll() {
	d.killed = true
	for _, s := range d.sets {
		s.kill()
	}
}

// Kill ends everything at once; Serve returns when it has.
func (d *Deployer) Kill() {
	d.do(context.Background(), func() {
		d.stop()
		d.killAll()
	})
}

// Stop ends everything in order, as the end of Serve's context does.
func (d *Deployer) Stop() {
	d.do(context.Background(), func() { d.finished = true })
}

// leaveTime bounds how long a process may take to be told what the others are, at the end. One that hangs is
// told by the next deployer.
const leaveTime = 2 * time.Second

// Leave has Serve return, while everything runs on, until another deployer takes it over. Before that,
// processes are told everything that was decided.
func (d *Deployer) Leave() {
	ctx, cancel := context.WithTimeout(context.Background(), leaveTime)
	defer cancel()
	var told sync.WaitGroup
	d.do(ctx, func() {
		for _, s := range d.sets {
			for _, r := range s.replicas {
				if r.Conversation() != nil {
					process := r.Process()
					told.Go(func() { process.Settle(ctx) })
				}
			}
		}
	})
	told.Wait()

	d.do(context.Background(), func() { d.left = true })
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

// waiter waits for a condition of Serve's goroutine.
type waiter struct {
	condition func() (bool, error)
	met       chan error // has room for the one result
}

// waitFor waits for a condition, which Serve's goroutine looks at whenever something has changed.
func (d *Deployer) waitFor(ctx context.Context, condition func() (bool, error)) error {
	w := &waiter{condition, make(chan error, 1)}
	if err := d.do(ctx, func() { d.waiters = append(d.waiters, w) }); err != nil {
		return err
	}

	select {
	case err := <-w.met:
		return err
	case <-d.over:
		return ErrOver
	case <-ctx.Done():
		d.do(context.Background(), func() {
			d.waiters = slices.DeleteFunc(d.waiters, func(other *waiter) bool { return other == w })
		})
		return context.Cause(ctx)
	}
}

// notify tells those whose conditions are met.
func (d *Deployer) notify() {
	d.waiters = slices.DeleteFunc(d.waiters, func(w *waiter) bool {
		met, err := w.condition()
		if met || err != nil {
			w.met <- err
		}
		return met || err != nil
	})
}

// emit tells everybody who follows what happened. It never waits for them.
func (d *Deployer) emit(e event.Event) { d.options.Events.Add(e) }

func (d *Deployer) warn(format string, args ...any) {
	d.emit(event.Warning{Text: fmt.Sprintf(format, args...)})
}

// Over is closed when Serve has returned.
func (d *Deployer) Over() <-chan struct{} { return d.over }
