package deployer

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/divisi-go/divisi/envelope"
	"github.com/divisi-go/divisi/envelope/protos"
	"github.com/divisi-go/divisi/internal/control"
	"github.com/divisi-go/divisi/internal/event"
	"github.com/divisi-go/divisi/internal/lifecycle"
	"github.com/divisi-go/divisi/internal/place"
)

// Health is asked every healthEvery, or sooner until a replica is ready; an answer that takes
// longer than healthTime is none. With the lifecycle's HungTime of three seconds, a process that
// has stopped leaves the routing three to four seconds later.
const (
	healthEvery = 500 * time.Millisecond
	healthSoon  = 20 * time.Millisecond
	healthTime  = time.Second
)

// replica is one supervised process. It belongs to the goroutine of Deployer.Serve.
type replica struct {
	set      *set
	id       place.Replica
	name     string // such as "cart-0@/shop"
	process  string // its name for the launcher, which other versions do not have
	life     lifecycle.Process
	timer    *time.Timer
	run      int // which of its processes; what concerns an earlier one is ignored
	pid      int
	started  time.Time
	env      *envelope.Envelope
	address  string
	routes   *mailbox
	end      context.CancelFunc // of what accompanies the process
	lastExit *control.ExitStatus
	finished bool // its process ended by itself, with success
}

// step tells the lifecycle what happened and does what it says.
func (r *replica) step(e lifecycle.Event) {
	before := r.life.State
	actions := r.life.Step(e, time.Now())
	for _, a := range actions {
		r.perform(a)
	}
	if r.timer != nil {
		r.timer.Stop()
		r.timer = nil
	}
	if wake := r.life.Wake; !wake.IsZero() {
		r.timer = time.AfterFunc(time.Until(wake), func() {
			r.set.d.do(context.Background(), func() { r.step(lifecycle.Tick) })
		})
	}
	if r.life.State != before {
		r.changed()
	}
}

func (r *replica) perform(a lifecycle.Action) {
	d := r.set.d
	switch a {
	case lifecycle.Spawn:
		r.spawn()
	case lifecycle.Join:
		r.set.perform(r.set.placement.Up(r.id, r.address))
	case lifecycle.Leave:
		r.set.perform(r.set.placement.Down(r.id))
	case lifecycle.Drain:
		env, run, limit := r.env, r.run, r.life.Policy.WithDefaults().DrainTime
		go func() {
			ctx, cancel := context.WithTimeout(d.ctx, limit)
			defer cancel()
			err := env.Drain(ctx, limit)
			d.do(context.Background(), func() {
				if r.run == run {
					if err != nil {
						d.warn("%s is not drained: %v", r.name, err)
					}
					r.step(lifecycle.Drained)
				}
			})
		}()
	case lifecycle.Terminate:
		r.signal(syscall.SIGTERM)
	case lifecycle.Destroy:
		r.signal(syscall.SIGKILL)
	default:
		panic(fmt.Sprintf("deployer: unknown action %q", a))
	}
}

func (r *replica) signal(s os.Signal) {
	// A process that has just ended is the only reason to fail, and is noticed elsewhere.
	_ = r.set.d.launcher.Signal(r.process, s)
}

// server says which process an event is about.
func (r *replica) server() event.Server {
	return event.Server{Name: r.name, Group: r.id.Group, Version: r.set.spec.Version, Pid: r.pid}
}

// changed reports a new state.
func (r *replica) changed() {
	switch d := r.set.d; r.life.State {
	case lifecycle.Ready:
		d.emit(event.Ready{Server: r.server()})
	case lifecycle.Hung:
		d.emit(event.Hung{Server: r.server()})
	case lifecycle.Draining:
		d.emit(event.Draining{Server: r.server()})
	case lifecycle.Backoff, lifecycle.Failed:
		d.emit(event.Restarting{
			Server: r.server(), At: r.life.Wake, In: r.life.Wake.Sub(r.life.Since),
			Failed: r.life.State == lifecycle.Failed,
		})
	case lifecycle.Stopped:
		d.emit(event.Stopped{Server: r.server()})
	case lifecycle.Starting, lifecycle.Stopping: // told when the process starts and ends
	}
	if r.life.State == lifecycle.Stopped {
		r.set.perform(r.set.placement.Gone(r.id))
		if r.set.ended() {
			r.set.d.finished = true
		}
	}
}

// spawn starts a process and converses with it, aside.
func (r *replica) spawn() {
	s := r.set
	r.run++
	r.finished = false
	ctx, cancel := context.WithCancel(s.d.ctx)
	r.end = cancel
	info := &protos.EnvelopeInfo{
		App:             s.spec.Name,
		DeploymentId:    s.spec.Version,
		Id:              fmt.Sprintf("%s.%d", r.name, r.run),
		Sections:        map[string]string{},
		RunMain:         slices.Contains(s.plan.MainGroups(), r.id.Group),
		Mtls:            s.certificates.authority != nil,
		InternalAddress: "localhost:0",
		Features:        []string{protos.FeatureLogLines},
		Group:           r.id.Group,
		Name:            r.name,
	}
	if s.spec.Config.Metrics.Local {
		info.Features = append(info.Features, protos.FeatureLocalMetrics)
	}
	if dir := s.d.options.RuntimeDir; dir != "" && s.certificates.authority == nil {
		info.InternalAddress = unixScheme + filepath.Join(dir, socketName(r.name, s.spec.Version))
	}
	for component, section := range s.spec.Config.Sections {
		info.Sections[component] = string(section)
	}
	launch := Launch{
		Name:    r.process,
		Server:  r.name,
		Binary:  s.spec.Binary,
		Arg0:    s.spec.Arg0,
		Args:    s.spec.Config.Args,
		Env:     append(slices.Clone(s.spec.Config.Env), s.spec.Config.Process.Env...),
		Sockets: s.listeners(r.id.Group),
	}
	a := &attempt{r: r, run: r.run, d: s.d, info: info, certificates: s.certificates}
	go a.start(ctx, launch, s.group(r.id.Group).Components)
}

// attempt is one process of a replica, seen from the goroutines that accompany it.
type attempt struct {
	r    *replica
	run  int
	d    *Deployer
	info *protos.EnvelopeInfo

	certificates certificates
}

// tell has Serve's goroutine do something for this process, unless it is no longer the replica's.
func (a *attempt) tell(f func()) error {
	return a.d.do(context.Background(), func() {
		if a.r.run == a.run {
			f()
		}
	})
}

// start starts the process, and the conversation with it.
func (a *attempt) start(ctx context.Context, launch Launch, components []string) {
	a.removeSocket() // of a process that was killed, and could not do it
	process, err := a.d.launcher.Launch(launch)
	if err != nil {
		a.exited(control.ExitStatus{Code: -1, Time: time.Now(), Text: err.Error()})
		return
	}
	go func() {
		exit := <-process.Exited
		process.In.Close()
		process.Out.Close()
		a.removeSocket()
		a.exited(exit)
	}()
	a.tell(func() {
		a.r.pid, a.r.started = process.Pid, time.Now()
		a.d.emit(event.Started{Server: a.r.server()})
	})
	env, err := envelope.Attach(ctx, process.Out, process.In, a.info)
	if err != nil {
		a.giveUp(ctx, "no handshake", err)
		return
	}
	routes := &mailbox{latest: map[string]*protos.RoutingInfo{}, wake: make(chan struct{}, 1)}
	a.tell(func() { a.r.env, a.r.address, a.r.routes = env, env.WeaveletInfo().DialAddr, routes })
	go env.Serve(&handler{a: a, ctx: ctx})
	go routes.deliver(ctx, env)
	if err := env.UpdateComponents(components); err != nil {
		a.giveUp(ctx, "cannot start components", err)
	}
	a.watch(ctx, env)
}

// endTime is how long a process that is of no use may take to end by itself.
const endTime = time.Second

// giveUp kills a process, unless it ends by itself: it may be about to, and then its exit code says
// more than a signal does, such as that its program has done what it had to do.
func (a *attempt) giveUp(ctx context.Context, what string, err error) {
	select {
	case <-ctx.Done():
	case <-time.After(endTime):
		a.tell(func() { a.d.warn("%s: %s: %v", a.r.name, what, err) })
		a.tell(func() { a.r.signal(syscall.SIGKILL) })
	}
}

// watch asks for the health of the process until it ends.
func (a *attempt) watch(ctx context.Context, env *envelope.Envelope) {
	wait := healthSoon
	for {
		asked, cancel := context.WithTimeout(ctx, healthTime)
		reply, err := env.Health(asked)
		cancel()
		if ctx.Err() != nil {
			return
		}
		if err == nil && reply.Status == protos.HealthStatus_HEALTHY {
			event := lifecycle.Busy
			// Weavelets of v0.20 do not say whether they are ready.
			if reply.Ready || len(env.WeaveletInfo().Features) == 0 {
				event, wait = lifecycle.Answered, healthEvery
			}
			if a.tell(func() { a.r.step(event) }) != nil {
				return
			}
		}
		select {
		case <-time.After(wait):
		case <-ctx.Done():
			return
		}
		if wait < healthEvery {
			wait = min(wait*2, 100*time.Millisecond)
		}
	}
}

// exited is called once the process has ended.
func (a *attempt) exited(exit control.ExitStatus) {
	a.tell(func() {
		r := a.r
		r.end()
		if r.env != nil {
			r.env.Close()
		}
		r.lastExit = &exit
		exit.Text = cmp.Or(exit.Text, "ended")
		a.d.emit(event.Exited{Server: r.server(), Code: exit.Code, Signal: exit.Signal, Text: exit.Text,
			Asked: exit.Code == 0 || r.life.State == lifecycle.Draining || r.life.State == lifecycle.Stopping})
		r.pid, r.env, r.routes, r.address = 0, nil, nil, ""
		event := lifecycle.Exited
		if exit.Code == 0 && r.life.State != lifecycle.Hung {
			event = lifecycle.Finished
			r.finished = true
		}
		r.step(event)
		r.set.perform(r.set.placement.Gone(r.id))
	})
}

const unixScheme = "unix://"

// socketName names the socket on which a replica of a version is called: the same in all its runs,
// so that nobody has to learn another address, and short, since the path of a socket is.
func socketName(replica, version string) string {
	sum := sha256.Sum256([]byte(replica + "\n" + version))
	return hex.EncodeToString(sum[:6]) + ".sock"
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
	wake   chan struct{}
}

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
