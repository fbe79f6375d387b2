package deployer

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/divisi-go/divisi/envelope"
	"github.com/divisi-go/divisi/envelope/protos"
	"github.com/divisi-go/divisi/internal/control"
	"github.com/divisi-go/divisi/internal/event"
	"github.com/divisi-go/divisi/internal/lifecycle"
	"github.com/divisi-go/divisi/internal/place"
)

// replica is one supervised process. It belongs to the goroutine of Deployer.Serve.
type replica struct {
	set      *set
	id       place.Replica
	name     string // such as "cart-0@/shop"
	short    string // the same within the application, such as "cart-0"
	life     lifecycle.Process
	timer    *time.Timer
	attempt  *attempt // the latest of its processes; what concerns an earlier one is ignored
	lastExit *control.ExitStatus
	finished bool // its process ended because the main program has returned

	// What follows is of the process that runs.
	pid     int
	started time.Time
	env     *envelope.Envelope
	address string
	heard   bool     // since the last pulse
	look    uint64   // the number of the look at its components that the next two are from
	sick    bool     // it has said that it is deadlocked
	why     []string // why it is not ready, as it said last
	done    bool     // its main program has returned
	leaving *leaving // nil unless somebody else has asked it to end
}

// leaving is a process that wants to end, and waits to be drained.
type leaving struct {
	pulses int // since it has said so
}

// step tells the lifecycle what happened and does what it says.
func (r *replica) step(e lifecycle.Event) {
	before := r.life.State
	now := r.set.d.clock.At(time.Now())
	actions := r.life.Step(e, now)
	for _, a := range actions {
		r.perform(a)
	}

	if r.timer != nil {
		r.timer.Stop()
		r.timer = nil
	}
	if wake := r.life.Wake; !wake.IsZero() {
		r.timer = time.AfterFunc(wake.Sub(now), func() {
			r.set.d.do(context.Background(), func() { r.step(lifecycle.Tick) })
		})
	}

	if r.life.State != before {
		r.changed(now)
	}
}

func (r *replica) perform(a lifecycle.Action) {
	switch a {
	case lifecycle.Spawn:
		r.spawn()
	case lifecycle.Join:
		r.set.perform(r.set.placement.Up(r.id, r.address))
	case lifecycle.Part:
		r.set.perform(r.set.placement.Down(r.id))
	case lifecycle.Complain:
		after := r.set.d.clock.At(time.Now()).Sub(r.life.Since).Round(time.Second)
		r.set.d.emit(event.Late{Server: r.server(), After: after, Reason: strings.Join(r.why, "; ")})
	case lifecycle.Drain:
		go r.attempt.drain(r.env, r.life.Policy.WithDefaults().DrainTime)
	case lifecycle.Terminate:
		r.attempt.signal(syscall.SIGTERM)
	case lifecycle.Destroy:
		r.attempt.signal(syscall.SIGKILL)
	default:
		panic(fmt.Sprintf("deployer: unknown action %q", a))
	}
}

// pulse comes once a second: a process that has not answered since the last one is unheard, any
// other is asked again.
func (r *replica) pulse() {
	switch {
	case !r.life.Runs():
	case r.heard:
		r.heard = false
		r.attempt.ask()
	case r.sick:
		r.step(lifecycle.Unheard)
	default:
		r.attempt.look()
	}
}

// health takes an answer, or what the process says of its health without being asked.
func (r *replica) health(reply *protos.GetHealthReply) {
	if r.env == nil {
		return // the answer comes after the end
	}

	if reply.Look < r.look {
		// What it has said unasked has overtaken this answer, which is a sign of life at most.
		r.heard = r.heard || !r.sick
		return
	}

	r.look = reply.Look
	r.sick = reply.Status != protos.HealthStatus_HEALTHY
	if r.sick {
		return // as if it had said nothing
	}

	r.heard = true
	r.why = reply.Reasons
	// Weavelets of v0.20 do not say whether they are ready.
	if reply.Ready || len(r.env.WeaveletInfo().Features) == 0 {
		r.step(lifecycle.Answered)
		return
	}

	r.step(lifecycle.Busy)
}

// because says why the replica is not ready, as the end of a sentence.
func (r *replica) because() string {
	switch {
	case len(r.why) > 0:
		return " (" + strings.Join(r.why, "; ") + ")"
	case r.lastExit != nil && !r.life.Runs():
		return " (it " + r.lastExit.Text + ")"
	}

	return ""
}

// server says which process an event is about.
func (r *replica) server() event.Server {
	return event.Server{Name: r.name, Group: r.id.Group, Version: r.set.spec.Version, Pid: r.pid}
}

// changed reports a new state.
func (r *replica) changed(now time.Time) {
	switch d := r.set.d; r.life.State {
	case lifecycle.Ready:
		r.why = nil
		d.emit(event.Ready{Server: r.server()})
	case lifecycle.NotReady:
		d.emit(event.NotReady{Server: r.server(), Reason: strings.Join(r.why, "; ")})
	case lifecycle.Silent:
		d.emit(event.Silent{Server: r.server()})
	case lifecycle.Hung:
		d.emit(event.Hung{Server: r.server()})
	case lifecycle.Draining:
		d.emit(event.Draining{Server: r.server()})
	case lifecycle.Backoff, lifecycle.Failed:
		in := r.life.Wake.Sub(now)
		d.emit(event.Restarting{
			Server: r.server(), At: time.Now().Add(in), In: in, Failed: r.life.State == lifecycle.Failed,
		})
	case lifecycle.Stopped:
		r.set.perform(r.set.placement.Gone(r.id))
		d.emit(event.Stopped{Server: r.server()})
		if r.set.ended() {
			d.finished = true
		}
	case lifecycle.Starting, lifecycle.Stopping: // told when the process starts and ends
	}
}

// spawn starts a process and converses with it, aside.
func (r *replica) spawn() {
	s := r.set
	run := 1
	if r.attempt != nil {
		run = r.attempt.run + 1
	}
	r.finished = false

	info := &protos.EnvelopeInfo{
		App:             s.spec.Name,
		DeploymentId:    s.spec.Version,
		Id:              fmt.Sprintf("%s.%d", r.name, run),
		Sections:        map[string]string{},
		RunMain:         slices.Contains(s.plan.MainGroups(), r.id.Group),
		Mtls:            s.authority != nil,
		InternalAddress: "localhost:0",
		Features:        []string{protos.FeatureLogLines, protos.FeatureReports},
		Group:           r.id.Group,
		Name:            r.name,
		LogKey:          rand.Text(),
	}
	if s.spec.Config.Metrics.Local {
		info.Features = append(info.Features, protos.FeatureLocalMetrics)
	}
	if dir := s.d.options.RuntimeDir; dir != "" && s.authority == nil {
		info.InternalAddress = unixScheme + filepath.Join(dir, socketName(r.name, s.spec.Version))
	}
	for component, section := range s.spec.Config.Sections {
		info.Sections[component] = string(section)
	}

	r.attempt = newAttempt(r, run, info)
	go r.attempt.start(Launch{
		Name:    r.short,
		Server:  r.name,
		Binary:  s.spec.Binary,
		Arg0:    s.spec.Arg0,
		Args:    s.spec.Config.Args,
		Env:     append(slices.Clone(s.spec.Config.Env), s.spec.Config.Process.Env...),
		Sockets: s.listeners(r.id.Group),
		LogKey:  info.LogKey,
	}, s.group(r.id.Group).Components)
}

// exited takes the end of the process.
func (r *replica) exited(exit control.ExitStatus) {
	// Weavelets of v0.20 do not say that the main program has returned, but their exit code does.
	silent := r.env != nil && len(r.env.WeaveletInfo().Features) == 0 && r.attempt.info.RunMain
	e := lifecycle.Exited
	if exit.Code == 0 && (r.done || silent) {
		e = lifecycle.Finished
	}
	r.finished = e == lifecycle.Finished
	asked := r.finished || r.life.State == lifecycle.Stopping || r.life.State == lifecycle.Draining

	r.lastExit = &exit
	r.set.d.emit(event.Exited{
		Server: r.server(), Code: exit.Code, Signal: exit.Signal, Text: exit.Text, Asked: asked,
	})

	r.pid, r.env, r.address = 0, nil, ""
	r.heard, r.sick, r.look, r.why, r.done, r.leaving = false, false, 0, nil, false, nil
	r.step(e)
	r.set.perform(r.set.placement.Gone(r.id))
}

const unixScheme = "unix://"

// socketName names the socket on which a replica of a version is called: the same in all its runs,
// so that nobody has to learn another address, and short, since the path of a socket is.
func socketName(replica, version string) string {
	sum := sha256.Sum256([]byte(replica + "\n" + version))
	return hex.EncodeToString(sum[:6]) + ".sock"
}
