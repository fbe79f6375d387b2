package replica

import (
	"cmp"
	"context"
	"errors"
	"os"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/divisi-go/divisi/envelope"
	"github.com/divisi-go/divisi/envelope/protos"
	"github.com/divisi-go/divisi/internal/control"
	"github.com/divisi-go/divisi/internal/event"
	"github.com/divisi-go/divisi/internal/inherit"
	"github.com/divisi-go/divisi/internal/lifecycle"
	"github.com/divisi-go/divisi/internal/pipe"
)

// Attempt is one process of a replica, seen from the goroutines that accompany it: they do all that
// may wait, and tell the deciding goroutine what came of it.
type Attempt struct {
	r         *Replica // belongs to the deciding goroutine, but for its role and options
	info      *protos.EnvelopeInfo
	ctx       context.Context // ends with the process
	end       context.CancelFunc
	signals   chan os.Signal // asked for, also before the process is there
	dismissed chan struct{}  // has an element when nobody wants it any more
	asking    chan struct{}  // has an element when a question is due
	looking   chan struct{}  // has an element when somebody is to look what the process does
	routes    *mailbox
	booting   sync.Mutex // held while the boot record is written

	mu   sync.Mutex      // guards over
	over <-chan struct{} // closed when the conversation is over; nil if none has begun
}

func newAttempt(r *Replica, logKey string) *Attempt {
	ctx, cancel := context.WithCancel(r.options.Context)
	info := r.Info
	info.LogKey = logKey
	return &Attempt{
		r: r, info: &info, ctx: ctx, end: cancel,
		// A life has one Terminate and one Destroy, and giveUp may add another.
		signals:   make(chan os.Signal, 4),
		dismissed: make(chan struct{}, 1),
		asking:    make(chan struct{}, 1),
		looking:   make(chan struct{}, 1),
		routes:    newMailbox(),
	}
}

// Introduction is the envelope's half of the handshake with the process. Every deployer says the same, but
// for its epoch.
func (a *Attempt) Introduction() *protos.EnvelopeInfo {
	info := *a.info
	if epoch := a.r.options.Epoch; epoch != nil {
		info.Epoch = epoch()
	}
	return &info
}

// Know notes where the process was told that components are.
func (a *Attempt) Know(routes []*protos.RoutingInfo) { a.routes.know(routes) }

// signal sends a signal to the process as soon as there is one. It does not wait.
func (a *Attempt) signal(s os.Signal) {
	select {
	case a.signals <- s:
	default: // a SIGKILL is among those that wait already
	}
}

// terminate asks the process to end. Nobody wants it any more, unless it is to start again. It does not
// wait.
func (a *Attempt) terminate(again bool) {
	if again {
		a.signal(syscall.SIGTERM)
		return
	}

	ring(a.dismissed)
}

// ask has the process asked for its health. It does not wait.
func (a *Attempt) ask() { ring(a.asking) }

// look has somebody look whether the process works, since it has not answered. It does not wait.
func (a *Attempt) look() { ring(a.looking) }

// tell has Serve's goroutine do something for this process, unless it is no longer the replica's.
func (a *Attempt) tell(f func(*Replica)) error {
	return a.r.options.Owner.Do(context.Background(), func() {
		if a.r.attempt == a {
			f(a.r)
		}
	})
}

// start starts the process, and the conversation with it if that is over pipes.
func (a *Attempt) start(launch Launch) {
	a.removeSocket() // of a process that was killed, and could not do it
	a.writeBoot()
	if a.r.options.Keep != nil && a.info.Mtls {
		reply, err := a.r.options.Certificates.GetSelfCertificate(a.ctx, &protos.GetSelfCertificateRequest{})
		launch.Certified = err == nil && a.keep(reply)
	}
	process, err := a.r.options.Launcher.Launch(launch)
	if err != nil {
		a.exited(control.ExitStatus{Code: -1, Time: time.Now(), Text: err.Error()})
		return
	}

	go a.accompany(process)
	go a.keepBoot()
	a.tell(func(r *Replica) {
		r.pid, r.started, r.dismiss = process.Pid, time.Now(), process.Dismiss
		r.options.Owner.Emit(event.Started{Server: r.Server()})
	})
	if process.Out == nil {
		return // it dials
	}

	env, err := envelope.Attach(a.ctx, process.Out, process.In, a.Introduction())
	if err != nil {
		a.giveUp("no handshake", err)
		return
	}
	a.Converse(env)
}

// Converse goes on until the conversation with the process is over.
func (a *Attempt) Converse(env *envelope.Envelope) {
	a.tell(func(r *Replica) {
		if r.env != nil {
			r.env.Close() // the process has left that conversation
		}
		r.env, r.address = env, env.WeaveletInfo().DialAddr
	})

	ctx, over := context.WithCancel(a.ctx)
	a.mu.Lock()
	a.over = ctx.Done()
	a.mu.Unlock()
	go func() {
		defer over()
		env.Serve(&handler{a.r.options.Certificates, a})
	}()
	if !a.await(ctx, env) {
		return
	}
	go a.routes.deliver(ctx, env)
	err := env.UpdateComponents(a.r.Components)
	if err != nil && !errors.Is(err, pipe.ErrClosed) {
		a.giveUp("cannot start components", err)
	}
	a.watch(ctx, env)
}

// await waits until it is known what the process is for others, and reports whether the conversation goes
// on then. A process that hears nothing would leave: it is asked for its health, and an answer is a sign of
// life, whatever it says of calls.
func (a *Attempt) await(ctx context.Context, env *envelope.Envelope) bool {
	tick := time.NewTicker(lifecycle.Question)
	defer tick.Stop()
	for {
		select {
		case <-a.r.options.Resumed:
			return true
		case <-ctx.Done():
			return false
		case <-tick.C:
			reply, err := env.Health(ctx)
			if err == nil && reply.Status == protos.HealthStatus_HEALTHY { // its end is noticed elsewhere
				a.tell((*Replica).lives)
			}
		}
	}
}

// accompany sends the process the signals that it is to have, until it ends, or it is left to the next
// deployer.
func (a *Attempt) accompany(process Process) {
	var used time.Duration
	for {
		select {
		case <-a.looking:
			e := lifecycle.Unheard
			before := used
			used = cpuTime(process)
			if used > before {
				e = lifecycle.Working
			}
			a.tell(func(r *Replica) { r.Step(e) })
		case s := <-a.signals:
			// A process that has just ended is the only reason to fail, and is noticed here.
			_ = process.Signal(s)
		case <-a.dismissed:
			if process.Dismiss == nil {
				_ = process.Signal(syscall.SIGTERM)
				break
			}
			a.r.options.Aside.Go(process.Dismiss)
		case exit := <-process.Exited:
			a.hearOut()
			if process.In != nil {
				process.In.Close()
				process.Out.Close()
			}
			a.removeSocket()
			a.exited(exit)
			return
		case <-a.r.options.Context.Done():
			return
		}
	}
}

// lastWords is how long the conversation with a process that has ended may go on.
const lastWords = time.Second

// hearOut waits until everything has been read that a process has said before its end, such as its last spans.
func (a *Attempt) hearOut() {
	a.mu.Lock()
	over := a.over
	a.mu.Unlock()
	if over == nil {
		return
	}
	select {
	case <-over:
	case <-time.After(lastWords):
	}
}

// cpuTime returns how long the processors have worked for a process, 0 if nobody knows.
func cpuTime(p Process) time.Duration {
	if p.CPU == nil {
		return 0
	}
	used, err := p.CPU()
	if err != nil {
		return 0
	}

	return used
}

// endTime is how long a process that is of no use may take to end by itself.
const endTime = time.Second

// giveUp kills a process, unless it ends by itself: it may be about to, and then its exit code says
// more than a signal does, such as that its program has done what it had to do.
func (a *Attempt) giveUp(what string, err error) {
	select {
	case <-a.ctx.Done():
	case <-time.After(endTime):
		a.tell(func(r *Replica) { r.warn("%s: %s: %v", r.Name, what, err) })
		a.signal(syscall.SIGKILL)
	}
}

// A process is asked for its health at every pulse, and until it is ready sooner: after healthSoon
// first, then after twice the time before.
const (
	healthSoon = 20 * time.Millisecond
	healthMost = 500 * time.Millisecond
)

// watch asks for the health of the process until the conversation ends. It waits for each answer: one that comes
// late is a sign of life, and that none comes is noticed at the pulses.
func (a *Attempt) watch(ctx context.Context, env *envelope.Envelope) {
	for soon := healthSoon; ; soon = min(2*soon, healthMost) {
		reply, err := env.Health(ctx)
		if err != nil {
			return // it has ended, or will be unheard
		}
		if a.tell(func(r *Replica) { r.health(reply) }) != nil {
			return
		}

		var sooner <-chan time.Time
		if !reply.Ready {
			sooner = time.After(soon)
		}
		select {
		case <-a.asking:
		case <-sooner:
		case <-ctx.Done():
			return
		}
	}
}

// drain asks the process to end what it is doing, and waits until it has.
func (a *Attempt) drain(env *envelope.Envelope, limit time.Duration) {
	ctx, cancel := context.WithTimeout(a.ctx, limit)
	defer cancel()
	err := env.Drain(ctx, limit)

	a.tell(func(r *Replica) {
		if err != nil {
			r.warn("%s is not drained: %v", r.Name, err)
		}
		r.Step(lifecycle.Drained)
	})
}

// exited is called once the process has ended.
func (a *Attempt) exited(exit control.ExitStatus) {
	exit.Text = cmp.Or(exit.Text, "ended")
	var env *envelope.Envelope
	a.tell(func(r *Replica) {
		env = r.env
		r.exited(exit)
	})

	a.end()
	if env != nil {
		env.Close()
	}
}

// removeSocket removes the socket of the replica, if it has one.
func (a *Attempt) removeSocket() {
	if path, ok := strings.CutPrefix(a.info.InternalAddress, inherit.UnixScheme); ok {
		os.Remove(path)
	}
}
