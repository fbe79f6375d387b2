// Package lifecycle decides about one supervised process: when it starts, when it is given up,
// and when it starts again. It does nothing itself: Step takes what happened and when, and
// returns what to do.
//
// The policy is that of Erlang's supervisors (permanent, transient, temporary; a number of
// restarts in a window of time), with a random, growing wait between restarts, which they do
// not have.
package lifecycle

import (
	"fmt"
	"time"
)

// State is where a process is in its life. States are shown to users by these words.
type State string

// The states.
const (
	Stopped  State = "stopped"  // no process, none wanted
	Starting State = "starting" // the process has not yet said that it is ready
	Ready    State = "ready"    // calls may come
	Hung     State = "hung"     // the process no longer answers and is being killed
	Draining State = "draining" // no new calls; those there are ending
	Stopping State = "stopping" // asked to end by a signal
	Backoff  State = "backoff"  // no process until a time
	Failed   State = "failed"   // as Backoff, after too many restarts: the wait is the longest
)

// Restart says after which exits a process starts again.
type Restart string

// The choices.
const (
	Permanent Restart = "permanent" // after any
	Transient Restart = "transient" // after failures
	Temporary Restart = "temporary" // after none
)

// Policy is how a process is supervised. Zero fields have the defaults.
type Policy struct {
	Restart    Restart       // default transient
	Intensity  int           // restarts within Window before it counts as failed; default 5
	Window     time.Duration // default 60 s
	Backoff    time.Duration // bound of the first wait, doubled by every further one; default 100 ms
	MaxBackoff time.Duration // largest bound, and the wait while failed; default 30 s
	StartTime  time.Duration // a process must be ready within this; default 30 s
	DrainTime  time.Duration // time to drain before it is asked to end; default 15 s
	StopTime   time.Duration // time between the signal that asks and the one that kills; default 5 s
	HungTime   time.Duration // a process that has not answered for this long is hung; default 3 s
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
		{&p.DrainTime, 15 * time.Second},
		{&p.StopTime, 5 * time.Second},
		{&p.HungTime, 3 * time.Second},
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
	Answered Event = "answered" // it answered, and is ready
	Busy     Event = "busy"     // it answered, and is not ready
	Exited   Event = "exited"   // it ended, by its own or by a signal
	Finished Event = "finished" // it ended by itself with success
	Drained  Event = "drained"  // it has no more calls
	Tick     Event = "tick"     // the time of Wake has come
	Stop     Event = "stop"     // it is no longer wanted
	Kill     Event = "kill"     // it is no longer wanted, at once
)

// Action is something to do for a process.
type Action string

// The actions.
const (
	Spawn     Action = "spawn"     // start a process
	Join      Action = "join"      // send it calls
	Leave     Action = "leave"     // send it no more calls
	Drain     Action = "drain"     // ask it to drain
	Terminate Action = "terminate" // ask it to end: SIGTERM
	Destroy   Action = "destroy"   // end it: SIGKILL
)

// Process is the life of one process. The zero value is stopped. It is not safe for concurrent
// use; whoever owns it copies it freely.
type Process struct {
	Policy   Policy
	Rand     func() float64 // from [0, 1), for the waits; nil waits for the whole bound
	State    State
	Wake     time.Time // when Tick is due; zero for never
	Restarts int       // in its whole life
	Since    time.Time // of the state

	failures int         // in a row, for the wait
	window   []time.Time // of the restarts that count
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
	case Answered, Busy:
		return p.answer(e, now)
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
	default:
		panic(fmt.Sprintf("lifecycle: unknown event %q", e))
	}
	return nil
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
	p.enter(Starting, now, p.policy().StartTime)
	return []Action{Spawn}
}

// answer takes a sign of life.
func (p *Process) answer(e Event, now time.Time) []Action {
	switch {
	case p.State == Starting && e == Answered:
		p.enter(Ready, now, p.policy().HungTime)
		return []Action{Join}
	case p.State == Ready && e == Busy:
		p.settle(now)
		p.enter(Starting, now, p.policy().StartTime)
		return []Action{Leave}
	case p.State == Ready:
		p.Wake = now.Add(p.policy().HungTime)
	}
	return nil
}

// tick is called when the time of a state is over.
func (p *Process) tick(now time.Time) []Action {
	p.Wake = time.Time{}
	switch p.State {
	case Starting, Ready:
		wasReady := p.State == Ready
		p.settle(now)
		p.enter(Hung, now, 0)
		if wasReady {
			return []Action{Leave, Destroy}
		}
		return []Action{Destroy}
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
		actions = append(actions, Leave)
	case Starting, Hung:
	case Draining, Stopping:
		p.enter(Stopped, now, 0)
		return nil
	default:
		return nil
	}
	policy := p.policy()
	if policy.Restart == Temporary || policy.Restart == Transient && e == Finished && p.State != Hung {
		p.enter(Stopped, now, 0)
		return actions
	}
	p.settle(now)
	p.failures++
	p.window = append(p.window, now)
	for len(p.window) > 0 && now.Sub(p.window[0]) >= policy.Window {
		p.window = p.window[1:]
	}
	if len(p.window) > policy.Intensity {
		p.enter(Failed, now, policy.MaxBackoff)
		return actions
	}
	p.enter(Backoff, now, p.wait(policy))
	return actions
}

// settle forgets the failures in a row of a process that was ready for a whole window, and is
// called when it no longer is.
func (p *Process) settle(now time.Time) {
	if p.State == Ready && now.Sub(p.Since) >= p.policy().Window {
		p.failures = 0
	}
}

// wait returns a random part of a bound that doubles with every failure: "full jitter", after
// the article on backoff in the AWS architecture blog. It is never so short that a timer would
// not be needed.
func (p *Process) wait(policy Policy) time.Duration {
	bound := policy.MaxBackoff
	if shift := p.failures - 1; policy.Backoff <= bound>>shift {
		bound = policy.Backoff << shift
	}
	if p.Rand != nil {
		bound = time.Duration(p.Rand() * float64(bound))
	}
	return max(bound, time.Millisecond)
}

func (p *Process) stop(now time.Time) []Action {
	switch p.State {
	case Ready:
		p.enter(Draining, now, p.policy().DrainTime)
		return []Action{Leave, Drain}
	case Starting:
		p.enter(Stopping, now, p.policy().StopTime)
		return []Action{Terminate}
	case Hung:
		p.enter(Stopping, now, 0)
	case Backoff, Failed:
		p.enter(Stopped, now, 0)
	}
	return nil
}

func (p *Process) kill(now time.Time) []Action {
	switch p.State {
	case Ready:
		p.enter(Stopping, now, 0)
		return []Action{Leave, Destroy}
	case Starting, Draining, Stopping:
		p.enter(Stopping, now, 0)
		return []Action{Destroy}
	default:
		return p.stop(now)
	}
}
