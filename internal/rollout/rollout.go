// Package rollout decides about an upgrade: when the next version starts, when the one before is
// retired, and what happens if the next one does not become ready. It does nothing itself:
// [Upgrade.Step] takes what happened and when, and returns what to do.
//
// The rule is blue and green: a full set of the next version runs beside the old one, and either
// one or the other is drained. What may run only once starts in the next version when the old one
// has ended.
package rollout

import (
	"fmt"
	"time"
)

// State is how far an upgrade is.
type State string

// The states.
const (
	Starting State = "starting"     // the next version starts beside the old one
	Retiring State = "retiring"     // the next version is ready, the old one drains
	Undoing  State = "rolling back" // the next version is not wanted, and drains
	Done     State = "done"         // only the next version is left
	Undone   State = "rolled back"  // only the old version is left
)

// Event is what happened.
type Event string

// The events.
const (
	Begin  Event = "begin"  // the upgrade is wanted
	Ready  Event = "ready"  // the next version takes calls, as far as it can beside the old one
	Fail   Event = "fail"   // the next version cannot become ready, or is not wanted any more
	Gone   Event = "gone"   // the version that drained has ended
	Tick   Event = "tick"   // the time of Wake has come
	Cancel Event = "cancel" // the application is being stopped, in both versions
)

// Action is something to do.
type Action string

// The actions.
const (
	StartNext Action = "start next" // all of it but what runs only once
	DrainOld  Action = "drain old"  //
	DrainNext Action = "drain next" //
	KillOld   Action = "kill old"   // it has not drained in time
	KillNext  Action = "kill next"  // likewise
	Forget    Action = "forget"     // the version that has ended: what waited for that starts
	Report    Action = "report"     // say how it ended
)

// Policy has the bounds of an upgrade. Neither is optional.
type Policy struct {
	ReadyTime time.Duration // for the next version to become ready
	DrainTime time.Duration // for a version to drain
}

// Upgrade is one upgrade. The zero value, with a policy, has not begun. It is not safe for
// concurrent use.
//
// Invariants: Wake is set in Starting, and in Retiring and Undoing until the version was killed.
// In Done and Undone nothing happens any more.
type Upgrade struct {
	Policy Policy
	State  State
	Wake   time.Time // when Tick is due; zero for never
}

// Over reports whether nothing is left to do.
func (u *Upgrade) Over() bool { return u.State == Done || u.State == Undone }

// Step is the only way an upgrade changes. Events that mean nothing in the current state change
// nothing.
func (u *Upgrade) Step(e Event, now time.Time) []Action {
	switch e {
	case Begin:
		if u.State == "" {
			u.enter(Starting, now.Add(u.Policy.ReadyTime))
			return []Action{StartNext}
		}
	case Ready:
		if u.State == Starting {
			u.enter(Retiring, now.Add(u.Policy.DrainTime))
			return []Action{DrainOld}
		}
	case Fail:
		if u.State == Starting {
			return u.undo(now)
		}
	case Gone:
		return u.gone()
	case Tick:
		if !u.Wake.IsZero() && !now.Before(u.Wake) {
			return u.tick(now)
		}
	case Cancel:
		if !u.Over() {
			// The stop drains whatever runs.
			u.enter(Undone, time.Time{})
			return []Action{Report}
		}
	default:
		panic(fmt.Sprintf("rollout: unknown event %q", e))
	}

	return nil
}

func (u *Upgrade) enter(s State, wake time.Time) { u.State, u.Wake = s, wake }

func (u *Upgrade) undo(now time.Time) []Action {
	u.enter(Undoing, now.Add(u.Policy.DrainTime))
	return []Action{DrainNext}
}

func (u *Upgrade) gone() []Action {
	switch u.State {
	case Retiring:
		u.enter(Done, time.Time{})
		return []Action{Forget, Report}
	case Undoing:
		u.enter(Undone, time.Time{})
		return []Action{Forget, Report}
	}

	return nil
}

func (u *Upgrade) tick(now time.Time) []Action {
	switch u.State {
	case Starting:
		return u.undo(now)
	case Retiring:
		u.Wake = time.Time{}
		return []Action{KillOld}
	case Undoing:
		u.Wake = time.Time{}
		return []Action{KillNext}
	}

	return nil
}
