// Package lifecycle decides about one supervised process: when it starts, when it is given up,
// and when it starts again. It does nothing itself: [Process.Step] takes what happened and when,
// and returns what to do.
//
// The policy is that of Erlang's supervisors (permanent, transient, temporary; a number of
// restarts in a window of time), with a random, growing wait between restarts, which they do
// not have. As in supervisord, a process fails for good only by what happens before it was ready.
package lifecycle

import (
	"fmt"
	"time"
)

// State is where a process is in its life. States are shown to users by these words.
type State string

// The states.
const (
	Stopped  State = "stopped"   // no process, none wanted
	Starting State = "starting"  // the process has not yet said that it is ready
	Ready    State = "ready"     // calls may come
	NotReady State = "not ready" // it was ready, and has said that it no longer is
	Silent   State = "silent"    // it was ready, and has not answered for a while; no new calls
	Hung     State = "hung"      // it has not answered for so long that it is being killed
	Draining State = "draining"  // no new calls; those there are ending
	Stopping State = "stopping"  // asked to end by a signal
	Backoff  State = "backoff"   // no process until a time
	Failed   State = "failed"    // as Backoff, after too many restarts: the wait is the longest
)

// Restart says after which exits a process starts again.
type Restart string

// The choices. An end that nobody asked for is a failure, whatever the exit code.
const (
	Permanent Restart = "permanent" // after any
	Transient Restart = "transient" // after failures
	Temporary Restart = "temporary" // after none
)

// Question is the time that a process has for the answer to a question before it counts as
// [Unheard].
const Question = time.Second

const (
	// silentTime is how long a ready process may be silent and still gets calls. Callers notice
	// silence by themselves, too; this is for those that have not called yet.
	silentTime = 3 * time.Second

	// overworked is how many times the time to hang a process may work without an answer: machines
	// are overloaded, and processes do not have the time that they would need. They keep their calls
	// meanwhile, for others will be no better off.
	overworked = 10

	// servedBackoff bounds the wait of a process that was ready. One request that ends its process
	// must not keep others waiting for long, however often it comes.
	servedBackoff = time.Second
)

// Policy is how a process is supervised. Zero fields have the defaults. StartTime and HungTime are
// counted in questions that were not answered, not by a clock: see [Unheard].
type Policy struct {
	Restart    Restart       `json:"restart,omitempty"`     // default transient
	Intensity  int           `json:"intensity,omitempty"`   // failures to become ready within Window before it has failed; default 5
	Window     time.Duration `json:"window,omitempty"`      // default 60 s
	Backoff    time.Duration `json:"backoff,omitempty"`     // bound of the first wait, doubled by every further one; default 100 ms
	MaxBackoff time.Duration `json:"max_backoff,omitempty"` // largest bound, and the wait while failed; default 30 s
	StartTime  time.Duration `json:"start_time,omitempty"`  // for its first answer, and until it is said that it is not ready; default 30 s
	HungTime   time.Duration `json:"hung_time,omitempty"`   // one that has not answered for this long is killed; default 10 s
	DrainTime  time.Duration `json:"drain_time,omitempty"`  // time to drain before it is asked to end; default 15 s
	StopTime   time.Duration `json:"stop_time,omitempty"`   // time between the signal that asks and the one that kills; default 5 s
}

// WithDefaults returns the policy with every zero field set.
func (p Policy) WithDefaults() Policy {
	if p.Restart == "" {
		p.Restart = Transient
	}
	if p.Intensity == 0 {
		p.Intensity = 5
	}

	for _, d := range []struct {
		field    *time.Duration
		fallback time.Duration
	}{
		{&p.Window, 60 * time.Second},
		{&p.Backoff, 100 * time.Millisecond},
		{&p.MaxBackoff, 30 * time.Second},
		{&p.StartTime, 30 * time.Second},
		{&p.HungTime, 10 * time.Second},
		{&p.DrainTime, 15 * time.Second},
		{&p.StopTime, 5 * time.Second},
	} {
		if *d.field == 0 {
			*d.field = d.fallback
		}
	}

	return p
}

// Event is what happened to a process.
type Event string

// The events.
const (
	Start    Event = "start"    // it is wanted
	Adopt    Event = "adopt"    // it is wanted, and a supervisor before has started it already
	Answered Event = "answered" // it answered, and is ready
	Busy     Event = "busy"     // it answered, and is not ready: a sign of life, too
	Unheard  Event = "unheard"  // another [Question] has passed without an answer, while its supervisor ran
	Working  Event = "working"  // the same, but it is at work: perhaps it has had no time to answer
	Stuck    Event = "stuck"    // it runs, and does nothing any more: it says so, or has not said otherwise in time
	Leave    Event = "leave"    // it wants to end, because somebody else has asked it to
	Exited   Event = "exited"   // it ended, by itself or by a signal, whatever its exit code
	Finished Event = "finished" // it ended because its program has done all that it had to do
	Drained  Event = "drained"  // it has no more calls
	Tick     Event = "tick"     // the time of Wake has come
	Stop     Event = "stop"     // it is no longer wanted
	Kill     Event = "kill"     // it is no longer wanted, at once
	GiveUp   Event = "give up"  // while it waits: it has failed, as somebody counts who counts other failures
)

// Action is something to do for a process.
type Action string

// The actions.
const (
	Spawn     Action = "spawn"     // start a process
	Join      Action = "join"      // send it calls
	Part      Action = "part"      // send it no more calls
	Complain  Action = "complain"  // say that it is still not ready, and why
	Drain     Action = "drain"     // ask it to drain
	Terminate Action = "terminate" // ask it to end: SIGTERM
	Destroy   Action = "destroy"   // end it: SIGKILL
)

// Process is the life of one process. The zero value is stopped. It is not safe for concurrent
// use; whoever owns it copies it freely.
//
// Invariants:
//   - Wake is set in Draining, Backoff and Failed, in Starting and NotReady, and in Stopping until
//     [Destroy] was returned.
//   - Calls are sent to the process in Ready only: [Join] is returned on the way in, and [Part] on
//     every way out.
//   - Nothing ends a process that answers but [Stop], [Kill], [Leave] and [Stuck].
type Process struct {
	Policy   Policy         `json:"-"`
	Rand     func() float64 `json:"-"` // from [0, 1), for the waits; nil waits for the whole bound
	State    State          `json:"state"`
	Wake     time.Time      `json:"wake,omitzero"` // when Tick is due; zero for never
	Restarts int            `json:"restarts"`      // in its whole life
	Since    time.Time      `json:"since"`         // of the state

	Past
}

// Past is what a process remembers of its life. A program that goes on with it needs that as well.
type Past struct {
	Failures int           `json:"failures,omitempty"` // in a row, for the wait
	Window   []time.Time   `json:"window,omitempty"`   // of the failures to become ready that count
	Silence  time.Duration `json:"silence,omitempty"`  // since its last answer, as far as its supervisor ran
	Worked   time.Duration `json:"worked,omitempty"`   // since its last answer, without one, at work
	Heard    bool          `json:"heard,omitempty"`    // it has answered since it was started
	Served   bool          `json:"served,omitempty"`   // it has been ready since it was started
	Again    bool          `json:"again,omitempty"`    // while it drains and stops: it starts again, for nobody here asked
}

// Step is the only way a process changes. Events that mean nothing in the current state change
// nothing.
func (p *Process) Step(e Event, now time.Time) []Action {
	if p.State == "" {
		p.State = Stopped
	}

	switch e {
	case Start:
		if p.State == Stopped {
			return p.spawn(now)
		}
	case Adopt:
		if p.State == Stopped {
			p.spawn(now) // what there would be to do has been done
		}
	case Answered, Busy:
		return p.answered(e == Answered, now)
	case Unheard:
		return p.unheard(now)
	case Working:
		p.Worked += Question
		if p.Worked > overworked*p.policy().HungTime {
			return p.unheard(now)
		}
	case Stuck:
		return p.hang(now)
	case Leave:
		return p.leave(now)
	case Exited, Finished:
		return p.exited(e, now)
	case Drained:
		if p.State == Draining {
			p.enter(Stopping, now, p.policy().StopTime)
			return []Action{Terminate}
		}
	case Tick:
		if !p.Wake.IsZero() && !now.Before(p.Wake) {
			return p.tick(now)
		}
	case Stop:
		return p.stop(now)
	case Kill:
		return p.kill(now)
	case GiveUp:
		if p.State == Backoff {
			p.enter(Failed, now, p.policy().MaxBackoff)
		}
	default:
		panic(fmt.Sprintf("lifecycle: unknown event %q", e))
	}

	return nil
}

// Runs reports whether there is a process, or one is being started.
func (p *Process) Runs() bool {
	switch p.State {
	case Stopped, Backoff, Failed, "":
		return false
	}

	return true
}

func (p *Process) policy() Policy { return p.Policy.WithDefaults() }

// enter changes the state; wake is how long until Tick, 0 for never.
func (p *Process) enter(s State, now time.Time, wake time.Duration) {
	p.State, p.Since, p.Wake = s, now, time.Time{}
	if wake > 0 {
		p.Wake = now.Add(wake)
	}
}

func (p *Process) spawn(now time.Time) []Action {
	p.Silence, p.Worked = 0, 0
	p.Heard, p.Served, p.Again = false, false, false
	p.enter(Starting, now, p.policy().StartTime)
	return []Action{Spawn}
}

// answered takes a sign of life, however late it comes.
func (p *Process) answered(ready bool, now time.Time) []Action {
	p.Silence, p.Worked, p.Heard = 0, 0, true

	switch p.State {
	case Starting, NotReady, Silent:
		if ready {
			p.Served = true
			p.enter(Ready, now, 0)
			return []Action{Join}
		}
		if p.State == Silent {
			p.enter(NotReady, now, p.policy().StartTime)
		}
	case Ready:
		if !ready {
			p.settle(now)
			p.enter(NotReady, now, p.policy().StartTime)
			return []Action{Part}
		}
	}

	return nil
}

// unheard counts the silence of a process. Its supervisor tells it only while it runs itself, so
// that a standstill of both, or of the supervisor alone, is nobody's silence.
func (p *Process) unheard(now time.Time) []Action {
	p.Silence += Question

	limit := p.policy().HungTime
	if !p.Heard {
		limit = p.policy().StartTime
	}

	if p.Silence >= limit {
		return p.hang(now)
	}
	if p.State == Ready && p.Silence >= silentTime {
		p.settle(now)
		p.enter(Silent, now, 0)
		return []Action{Part}
	}

	return nil
}

// hang gives up a process that lives, unless it is ending anyway.
func (p *Process) hang(now time.Time) []Action {
	switch p.State {
	case Starting, NotReady, Silent:
		p.enter(Hung, now, 0)
		return []Action{Destroy}
	case Ready:
		p.settle(now)
		p.enter(Hung, now, 0)
		return []Action{Part, Destroy}
	}

	return nil
}

// Extend gives a process that starts or stops more time, counted from now, than it has left.
func (p *Process) Extend(by time.Duration, now time.Time) {
	until := now.Add(by)
	if (p.State == Starting || p.State == Stopping) && !p.Wake.IsZero() && until.After(p.Wake) {
		p.Wake = until
	}
}

// leave lets a process end in order that somebody else has asked to. It starts again.
func (p *Process) leave(now time.Time) []Action {
	switch p.State {
	case Starting, NotReady, Ready, Silent:
		p.settle(now)
		p.Again = true
		return p.end(now)
	}

	return nil
}

// tick is called when the time of a state is over.
func (p *Process) tick(now time.Time) []Action {
	p.Wake = time.Time{}

	switch p.State {
	case Starting, NotReady:
		p.Wake = now.Add(p.policy().StartTime)
		return []Action{Complain}
	case Draining:
		p.enter(Stopping, now, p.policy().StopTime)
		return []Action{Terminate}
	case Stopping:
		return []Action{Destroy}
	case Backoff, Failed:
		p.Restarts++
		return p.spawn(now)
	}

	return nil
}

// exited takes the end of the process. One that was asked for is no failure.
func (p *Process) exited(e Event, now time.Time) []Action {
	var actions []Action
	switch p.State {
	case Ready:
		actions = append(actions, Part)
	case Starting, NotReady, Silent, Hung:
	case Draining, Stopping:
		if !p.Again {
			p.enter(Stopped, now, 0)
			return nil
		}
	default:
		return nil
	}

	p.settle(now)
	policy := p.policy()
	done := policy.Restart == Transient && e == Finished && p.State != Hung
	if done || policy.Restart == Temporary {
		p.enter(Stopped, now, 0)
		return actions
	}

	p.Failures++
	if p.Served {
		p.enter(Backoff, now, p.wait(policy.Backoff, min(policy.MaxBackoff, max(policy.Backoff, servedBackoff))))
		return actions
	}

	p.Window = append(p.Window, now)
	for len(p.Window) > 0 && now.Sub(p.Window[0]) >= policy.Window {
		p.Window = p.Window[1:]
	}
	if len(p.Window) > policy.Intensity {
		p.enter(Failed, now, policy.MaxBackoff)
		return actions
	}

	p.enter(Backoff, now, p.wait(policy.Backoff, policy.MaxBackoff))
	return actions
}

// settle forgets the failures in a row of a process that was ready for a whole window, and is
// called when it no longer is.
func (p *Process) settle(now time.Time) {
	if p.State == Ready && now.Sub(p.Since) >= p.policy().Window {
		p.Failures = 0
	}
}

// wait returns a random part of a bound that doubles with every failure: "full jitter", after
// the article on backoff in the AWS architecture blog. It is never so short that a timer would
// not be needed.
func (p *Process) wait(first, limit time.Duration) time.Duration {
	bound := limit
	shift := p.Failures - 1
	if first <= limit>>shift {
		bound = first << shift
	}

	if p.Rand != nil {
		bound = time.Duration(p.Rand() * float64(bound))
	}

	return max(bound, time.Millisecond)
}

func (p *Process) stop(now time.Time) []Action {
	p.settle(now)
	p.Again = false

	switch p.State {
	case Starting, NotReady, Ready, Silent:
		return p.end(now)
	case Hung:
		p.enter(Stopping, now, 0)
	case Backoff, Failed:
		p.enter(Stopped, now, 0)
	}

	return nil
}

// end ends a process that lives, in order. One that is not ready may have calls as well; one that
// is silent, or has not answered yet, cannot be asked to drain.
func (p *Process) end(now time.Time) []Action {
	switch p.State {
	case Ready:
		p.enter(Draining, now, p.policy().DrainTime)
		return []Action{Part, Drain}
	case NotReady:
		p.enter(Draining, now, p.policy().DrainTime)
		return []Action{Drain}
	default:
		p.enter(Stopping, now, p.policy().StopTime)
		return []Action{Terminate}
	}
}

func (p *Process) kill(now time.Time) []Action {
	p.settle(now)
	p.Again = false

	switch p.State {
	case Ready:
		p.enter(Stopping, now, 0)
		return []Action{Part, Destroy}
	case Starting, NotReady, Silent, Draining, Stopping:
		p.enter(Stopping, now, 0)
		return []Action{Destroy}
	default:
		return p.stop(now)
	}
}
