package deployer

import (
	"cmp"
	"context"
	"os"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/divisi-go/divisi/envelope"
	"github.com/divisi-go/divisi/envelope/protos"
	"github.com/divisi-go/divisi/internal/control"
	"github.com/divisi-go/divisi/internal/deployer/mtls"
	"github.com/divisi-go/divisi/internal/event"
	"github.com/divisi-go/divisi/internal/lifecycle"
)

// attempt is one process of a replica, seen from the goroutines that accompany it: they do all that
// may wait, and tell Serve's goroutine what came of it.
type attempt struct {
	r       *replica // belongs to Serve's goroutine
	run     int      // counts the processes of the replica
	d       *Deployer
	info    *protos.EnvelopeInfo
	ctx     context.Context // ends with the process
	end     context.CancelFunc
	signals chan os.Signal // asked for, also before the process is there
	asking  chan struct{}  // has an element when a question is due
	looking chan struct{}  // has an element when somebody is to look what the process does
	routes  *mailbox

	authority *mtls.Authority // nil without mutual TLS
}

func newAttempt(r *replica, run int, info *protos.EnvelopeInfo) *attempt {
	ctx, cancel := context.WithCancel(r.set.d.ctx)
	return &attempt{
		r: r, run: run, d: r.set.d, info: info, ctx: ctx, end: cancel,
		// A life has one Terminate and one Destroy, and giveUp may add another.
		signals: make(chan os.Signal, 4),
		asking:  make(chan struct{}, 1),
		looking: make(chan struct{}, 1),
		routes:  newMailbox(),

		authority: r.set.authority,
	}
}

// signal sends a signal to the process as soon as there is one. It does not wait.
func (a *attempt) signal(s os.Signal) {
	select {
	case a.signals <- s:
	default: // a SIGKILL is among those that wait already
	}
}

// ask has the process asked for its health. It does not wait.
func (a *attempt) ask() {
	select {
	case a.asking <- struct{}{}:
	default:
	}
}

// look has somebody look whether the process works, since it has not answered. It does not wait.
func (a *attempt) look() {
	select {
	case a.looking <- struct{}{}:
	default:
	}
}

// tell has Serve's goroutine do something for this process, unless it is no longer the replica's.
func (a *attempt) tell(f func(*replica)) error {
	return a.d.do(context.Background(), func() {
		if a.r.attempt == a {
			f(a.r)
		}
	})
}

// start starts the process, and the conversation with it.
func (a *attempt) start(launch Launch, components []string) {
	a.removeSocket() // of a process that was killed, and could not do it
	process, err := a.d.launcher.Launch(launch)
	if err != nil {
		a.exited(control.ExitStatus{Code: -1, Time: time.Now(), Text: err.Error()})
		return
	}

	go a.accompany(process)
	a.tell(func(r *replica) {
		r.pid, r.started = process.Pid, time.Now()
		a.d.emit(event.Started{Server: r.server()})
	})

	env, err := envelope.Attach(a.ctx, process.Out, process.In, a.info)
	if err != nil {
		a.giveUp("no handshake", err)
		return
	}
	a.tell(func(r *replica) { r.env, r.address = env, env.WeaveletInfo().DialAddr })

	go env.Serve(&handler{a: a})
	go a.routes.deliver(a.ctx, env)
	if err := env.UpdateComponents(components); err != nil {
		a.giveUp("cannot start components", err)
	}
	a.watch(env)
}

// accompany sends the process the signals that it is to have, until it ends.
func (a *attempt) accompany(process Process) {
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
			a.tell(func(r *replica) { r.step(e) })
		case s := <-a.signals:
			// A process that has just ended is the only reason to fail, and is noticed here.
			_ = process.Signal(s)
		case exit := <-process.Exited:
			process.In.Close()
			process.Out.Close()
			a.removeSocket()
			a.exited(exit)
			return
		}
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
func (a *attempt) giveUp(what string, err error) {
	select {
	case <-a.ctx.Done():
	case <-time.After(endTime):
		a.tell(func(r *replica) { a.d.warn("%s: %s: %v", r.name, what, err) })
		a.signal(syscall.SIGKILL)
	}
}

// A process is asked for its health at every pulse, and until it is ready sooner: after healthSoon
// first, then after twice the time before.
const (
	healthSoon = 20 * time.Millisecond
	healthMost = 500 * time.Millisecond
)

// watch asks for the health of the process until it ends. It waits for each answer: one that comes
// late is a sign of life, and that none comes is noticed at the pulses.
func (a *attempt) watch(env *envelope.Envelope) {
	for soon := healthSoon; ; soon = min(2*soon, healthMost) {
		reply, err := env.Health(a.ctx)
		if err != nil {
			return // it has ended, or will be unheard
		}
		if a.tell(func(r *replica) { r.health(reply) }) != nil {
			return
		}

		var sooner <-chan time.Time
		if !reply.Ready {
			sooner = time.After(soon)
		}
		select {
		case <-a.asking:
		case <-sooner:
		case <-a.ctx.Done():
			return
		}
	}
}

// drain asks the process to end what it is doing, and waits until it has.
func (a *attempt) drain(env *envelope.Envelope, limit time.Duration) {
	ctx, cancel := context.WithTimeout(a.ctx, limit)
	defer cancel()
	err := env.Drain(ctx, limit)

	a.tell(func(r *replica) {
		if err != nil {
			a.d.warn("%s is not drained: %v", r.name, err)
		}
		r.step(lifecycle.Drained)
	})
}

// exited is called once the process has ended.
func (a *attempt) exited(exit control.ExitStatus) {
	exit.Text = cmp.Or(exit.Text, "ended")
	var env *envelope.Envelope
	a.tell(func(r *replica) {
		env = r.env
		r.exited(exit)
	})

	a.end()
	if env != nil {
		env.Close()
	}
}

// removeSocket removes the socket of the replica, if it has one.
func (a *attempt) removeSocket() {
	if path, ok := strings.CutPrefix(a.info.InternalAddress, unixScheme); ok {
		os.Remove(path)
	}
}

// mailbox holds the routing that a replica has not been told yet: of each component the latest.
type mailbox struct {
	mu     sync.Mutex // guards latest
	latest map[string]*protos.RoutingInfo
	wake   chan struct{} // has an element when latest may have
}

func newMailbox() *mailbox {
	return &mailbox{latest: map[string]*protos.RoutingInfo{}, wake: make(chan struct{}, 1)}
}

// put leaves a route. It does not wait.
func (m *mailbox) put(info *protos.RoutingInfo) {
	m.mu.Lock()
	m.latest[info.Component] = info
	m.mu.Unlock()

	select {
	case m.wake <- struct{}{}:
	default:
	}
}

// deliver tells the replica until ctx ends.
func (m *mailbox) deliver(ctx context.Context, env *envelope.Envelope) {
	for {
		select {
		case <-m.wake:
		case <-ctx.Done():
			return
		}

		m.mu.Lock()
		news := m.latest
		m.latest = map[string]*protos.RoutingInfo{}
		m.mu.Unlock()

		for _, info := range news {
			// A replica that does not listen is hung, which its health shows.
			_ = env.UpdateRoutingInfo(info)
		}
	}
}
