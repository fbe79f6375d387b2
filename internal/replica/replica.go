// Package replica is one replica of a version: the process that it has, one after the other, supervised by
// package lifecycle, and the conversation with it. Who runs where is decided elsewhere: a replica says to
// its [Owner] what becomes of it.
//
// A [Replica] belongs to the goroutine that decides, and does nothing that could wait. Each of its processes
// is accompanied by goroutines that may, and tell the deciding one what came of it.
package replica

import (
	"cmp"
	"context"
	"crypto/rand"
	"fmt"
	"os"
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

// Owner decides about replicas. All but Do and Emit is called on the goroutine that decides.
type Owner interface {
	// Do has the deciding goroutine execute f, and waits until it has.
	Do(ctx context.Context, f func()) error

	// Emit says what happened. It may be called by any goroutine.
	Emit(event.Event)

	// Now is the time of the owner's clock.
	Now() time.Time

	Joined(*Replica)  // it takes calls
	Parted(*Replica)  // it takes no more calls
	Gone(*Replica)    // its process has ended
	Stopped(*Replica) // nobody wants it any more, and it has gone

	// Activate is told that the replica needs a component.
	Activate(*Replica, string) error
}

// Certificates answers what a process asks about certificates.
type Certificates interface {
	GetSelfCertificate(context.Context, *protos.GetSelfCertificateRequest) (*protos.GetSelfCertificateReply, error)
	VerifyClientCertificate(context.Context, *protos.VerifyClientCertificateRequest) (*protos.VerifyClientCertificateReply, error)
	VerifyServerCertificate(context.Context, *protos.VerifyServerCertificateRequest) (*protos.VerifyServerCertificateReply, error)
}

// Launcher starts processes. It may wait, and is called on goroutines of its own.
type Launcher interface {
	// Launch starts a process, with the two pipes of the envelope protocol unless it dials. One of the same
	// name and version that waits for its next start is replaced.
	Launch(Launch) (Process, error)
}

// Role is what a replica is to be.
type Role struct {
	ID         place.Replica
	Name       string              // such as "cart-0@/shop"
	Info       protos.EnvelopeInfo // what each process is told first, but for its LogKey and the epoch
	Launch     Launch              // how each is started, but for its LogKey
	Components []string            // that it runs
}

// Options are what a replica needs. None is optional but those that say so.
type Options struct {
	Context      context.Context // of processes and conversations
	Owner        Owner
	Launcher     Launcher
	Certificates Certificates
	Keep         func(Launch, *protos.GetSelfCertificateReply) error // keeps what a process proves itself by that finds no deployer; nil if none follows
	Epoch        func() uint64                                       // the place of the deployer among those that decide; nil where none follows
	Resumed      <-chan struct{}                                     // closed when it is known what the processes that were found are for others
	Aside        *sync.WaitGroup                                     // of what is told to the launcher
	HandleLog    func(*protos.LogEntry)                              // of processes that do not write theirs to standard error; optional
	HandleSpans  func(*protos.TraceSpans)                            // optional
}

// Replica is one supervised process.
type Replica struct {
	Role
	options  Options
	life     lifecycle.Process
	timer    *time.Timer
	attempt  *Attempt // the latest of its processes; what concerns an earlier one is ignored
	lastExit *control.ExitStatus
	finished bool   // its process ended because the main program has returned
	dismiss  func() // says that nobody wants its last process, nor another one; nil if nobody needs to know

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

// New returns a replica that is stopped.
func New(role Role, policy lifecycle.Policy, random func() float64, o Options) *Replica {
	return &Replica{Role: role, options: o, life: lifecycle.Process{Policy: policy, Rand: random}}
}

// State returns that of its life.
func (r *Replica) State() lifecycle.State { return cmp.Or(r.life.State, lifecycle.Stopped) }

// Pid returns the number of its process, 0 if none runs.
func (r *Replica) Pid() int { return r.pid }

// Address returns where its process takes calls, "" if that is not known.
func (r *Replica) Address() string { return r.address }

// LastExit returns how its last process ended, nil if none has.
func (r *Replica) LastExit() *control.ExitStatus { return r.lastExit }

// Finished reports whether its process ended because the main program has returned.
func (r *Replica) Finished() bool { return r.finished }

// Conversation returns that with its process, nil if there is none.
func (r *Replica) Conversation() *envelope.Envelope { return r.env }

// Process returns the latest of its processes, nil before the first one.
func (r *Replica) Process() *Attempt { return r.attempt }

// Tell has the process told where a component is.
func (r *Replica) Tell(info *protos.RoutingInfo) {
	if r.attempt != nil {
		r.attempt.routes.put(info)
	}
}

// Adopt takes over a process that a deployer before has started, of a replica that was restarted so often.
func (r *Replica) Adopt(p Process, logKey string, started time.Time, restarts int) {
	r.attempt = newAttempt(r, logKey)
	r.life.Restarts = restarts
	r.pid, r.started, r.dismiss = p.Pid, started, p.Dismiss
	r.Step(lifecycle.Adopt)
	go r.attempt.accompany(p)
	go r.attempt.keepBoot()
}

// Resume goes on with a process that was adopted, and has dialled, as it was: it takes calls, or does not.
func (r *Replica) Resume(takes bool) {
	if takes {
		r.Step(lifecycle.Answered)
	}
	if r.Drains() {
		r.leaving = &leaving{}
	}
}

// Drains reports whether the process has said in its handshake that it drains.
func (r *Replica) Drains() bool { return r.env != nil && r.env.WeaveletInfo().Draining }

// maxLeave is how many pulses a process that wants to end waits for others to take its calls.
const maxLeave = 10

// Leaves reports whether somebody else has asked the process to end.
func (r *Replica) Leaves() bool { return r.leaving != nil }

// Leave lets a process drain that somebody else has asked to end, at the pulse after it has said so, since
// whoever asked may have asked its deployer as well, and then everything is stopped in order. It waits for
// others to take its calls, if there are some, but not for long.
func (r *Replica) Leave(replaceable bool) {
	if r.leaving == nil {
		return
	}

	r.leaving.pulses++
	if r.leaving.pulses > 1 && (replaceable || r.leaving.pulses > maxLeave) {
		r.leaving = nil
		r.Step(lifecycle.Leave)
	}
}

// Step tells the lifecycle what happened and does what it says.
func (r *Replica) Step(e lifecycle.Event) {
	before := r.life.State
	now := r.options.Owner.Now()
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
			r.options.Owner.Do(context.Background(), func() { r.Step(lifecycle.Tick) })
		})
	}

	if r.life.State != before {
		r.changed(now)
	}
}

func (r *Replica) perform(a lifecycle.Action) {
	switch a {
	case lifecycle.Spawn:
		r.spawn()
	case lifecycle.Join:
		r.options.Owner.Joined(r)
	case lifecycle.Part:
		r.options.Owner.Parted(r)
	case lifecycle.Complain:
		after := r.options.Owner.Now().Sub(r.life.Since).Round(time.Second)
		r.options.Owner.Emit(event.Late{Server: r.Server(), After: after, Reason: strings.Join(r.why, "; ")})
	case lifecycle.Drain:
		go r.attempt.drain(r.env, r.life.Policy.WithDefaults().DrainTime)
	case lifecycle.Terminate:
		r.attempt.terminate(r.life.Again)
	case lifecycle.Destroy:
		r.attempt.signal(syscall.SIGKILL)
	default:
		panic(fmt.Sprintf("deployer: unknown action %q", a))
	}
}

// Pulse comes once a second: a process that has not answered since the last one is unheard, any
// other is asked again.
func (r *Replica) Pulse() {
	switch {
	case !r.life.Runs():
	case r.heard:
		r.heard = false
		r.attempt.ask()
	case r.sick:
		r.Step(lifecycle.Unheard)
	default:
		r.attempt.look()
	}
}

// health takes an answer, or what the process says of its health without being asked.
func (r *Replica) health(reply *protos.GetHealthReply) {
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
		r.Step(lifecycle.Answered)
		return
	}

	r.Step(lifecycle.Busy)
}

// lives takes a sign of life of a process that was found, before it is known what it is for others.
func (r *Replica) lives() {
	r.heard = true
	if r.life.State == lifecycle.Starting {
		r.Step(lifecycle.Busy)
	}
}

// Because says why the replica is not ready, as the end of a sentence.
func (r *Replica) Because() string {
	switch {
	case len(r.why) > 0:
		return " (" + strings.Join(r.why, "; ") + ")"
	case r.lastExit != nil && !r.life.Runs():
		return " (it " + r.lastExit.Text + ")"
	}

	return ""
}

// Server says which process an event is about.
func (r *Replica) Server() event.Server {
	return event.Server{Name: r.Name, Group: r.ID.Group, Version: r.Info.DeploymentId, Pid: r.pid}
}

// changed reports a new state.
func (r *Replica) changed(now time.Time) {
	emit := r.options.Owner.Emit
	switch r.life.State {
	case lifecycle.Ready:
		r.why = nil
		emit(event.Ready{Server: r.Server()})
	case lifecycle.NotReady:
		emit(event.NotReady{Server: r.Server(), Reason: strings.Join(r.why, "; ")})
	case lifecycle.Silent:
		emit(event.Silent{Server: r.Server()})
	case lifecycle.Hung:
		emit(event.Hung{Server: r.Server()})
	case lifecycle.Draining:
		emit(event.Draining{Server: r.Server()})
	case lifecycle.Backoff, lifecycle.Failed:
		in := r.life.Wake.Sub(now)
		emit(event.Restarting{
			Server: r.Server(), At: time.Now().Add(in), In: in, Failed: r.life.State == lifecycle.Failed,
		})
	case lifecycle.Stopped:
		r.dismissed()
		emit(event.Stopped{Server: r.Server()})
		r.options.Owner.Stopped(r)
	case lifecycle.Starting, lifecycle.Stopping: // told when the process starts and ends
	}
}

// spawn starts a process and converses with it, aside.
func (r *Replica) spawn() {
	r.finished = false
	r.attempt = newAttempt(r, rand.Text())
	launch := r.Launch
	launch.LogKey, launch.Policy = r.attempt.info.LogKey, r.life.Policy
	go r.attempt.start(launch)
}

// dismissed has it known that nobody wants a process of the replica any more.
func (r *Replica) dismissed() {
	dismiss, boot := r.dismiss, r.Launch.Boot
	if dismiss == nil {
		return
	}

	r.options.Aside.Go(func() {
		dismiss()
		os.Remove(boot)
	})
}

// exited takes the end of the process.
func (r *Replica) exited(exit control.ExitStatus) {
	// Weavelets of v0.20 do not say that the main program has returned, but their exit code does.
	silent := r.env != nil && len(r.env.WeaveletInfo().Features) == 0 && r.Info.RunMain
	e := lifecycle.Exited
	if exit.Code == 0 && (r.done || silent) {
		e = lifecycle.Finished
	}
	r.finished = e == lifecycle.Finished
	asked := r.finished || r.life.State == lifecycle.Stopping || r.life.State == lifecycle.Draining

	r.lastExit = &exit
	r.options.Owner.Emit(event.Exited{
		Server: r.Server(), Code: exit.Code, Signal: exit.Signal, Text: exit.Text, Asked: asked,
	})

	r.pid, r.env, r.address = 0, nil, ""
	r.heard, r.sick, r.look, r.why, r.done, r.leaving = false, false, 0, nil, false, nil
	r.Step(e)
	r.options.Owner.Gone(r)
}

// Status describes the replica, but for its components.
func (r *Replica) Status() control.ReplicaStatus {
	status := control.ReplicaStatus{
		Name:     r.Name,
		App:      r.Info.App,
		Pid:      r.pid,
		State:    string(r.State()),
		Group:    r.ID.Group,
		Replica:  r.ID.Number,
		Restarts: r.life.Restarts,
		Started:  r.started,
		Version:  r.Info.DeploymentId,
		Address:  r.address,
		LastExit: r.lastExit,
	}
	if r.life.State == lifecycle.Backoff || r.life.State == lifecycle.Failed {
		next := time.Now().Add(r.life.Wake.Sub(r.options.Owner.Now()))
		status.NextStart = &next
	}
	return status
}

func (r *Replica) warn(format string, args ...any) {
	r.options.Owner.Emit(event.Warning{Text: fmt.Sprintf(format, args...)})
}
