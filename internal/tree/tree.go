// Package tree decides about a tree of members: when each starts, stops and starts again, and what the
// failure of one does to the others. It does nothing itself: [Tree.Step] takes what happened and when, and
// returns what to do. What a member is means nothing here: a process, a goroutine, a part of a program on
// another host.
//
// A group is a scope and a supervisor. Its starter, the function that adds its members, is run when the
// group starts, and it is ready when that has returned. A group is a member of the group that it is in, so
// what is said of members goes for groups as well.
//
// The rules are those of Erlang's supervisors. Members stop in the reverse order of their start, each when
// the one before has ended; they start again in order, each when the one before is ready. A [Strategy]
// says who stops and starts again with a member that has failed. A member that fails more often in a window
// of time than its policy allows takes its group with it: everything in the group ends, and the group has
// failed, about which the group above decides by its own strategy. Nothing outside of what has failed is
// touched. The outermost group does not end for that: the member stays down, and its wait is the longest.
//
// It differs from Erlang in this: a start again waits for a random, growing time; failures are counted for
// each member, so that no one uses up what the others may; and a member that ends before it was ever ready
// is forgotten, for whoever starts it has the error.
//
// A process that has died, a keeper that has died and a host that cannot be reached are three things. The end of
// a process is a failure, or not, by its policy. While the keeper of a host is [Away] all goes on there, so nothing
// is decided about it; the ends that the keeper tells when it is there again count as any other. While a host is
// [Cut] off nobody knows anything of it, and nothing is decided either, until it is [Back], when what runs there is
// taken over, or until its owner says that it is [Lost]. Then its members have ended, and no one of them starts
// before the host is fenced: what runs there, if anything does, can do nothing any more.
//
// STATES.md draws the states of members, and testdata plays every rule.
//
// Whoever acts for the tree owes it one [Exit] or [Finish] for each [Run], however that came to its end:
//
//	Start "/db"  -> Run "/db"      run its start function
//	Ready "/db"                    it has returned, and what it has started is in use
//	Exit "/db"   -> Wait "/db"     until the time said; Tick when Wake says so
//	Tick         -> Run "/db"
//	Stop "/"     -> Halt "/db"     ask it to end
//	Exit "/db"   -> Ended "/"
package tree

import (
	"fmt"
	"time"

	"github.com/divisi-go/divisi/internal/lifecycle"
)

// Strategy says what the failure of a member does to the other members of its group.
type Strategy string

// The strategies. In the first nothing starts again.
const (
	Together   Strategy = "together"     // all of them end, and the group has failed; the default
	OneForOne  Strategy = "one-for-one"  // nothing
	RestForOne Strategy = "rest-for-one" // those that were added after it stop, and start again after it
	OneForAll  Strategy = "one-for-all"  // all of them stop, and start again in order
)

// ordered reports whether members start again one after another.
func (s Strategy) ordered() bool { return s == RestForOne || s == OneForAll }

// Grace is the time that a member has to end before it is killed, unless its policy says another.
const Grace = 15 * time.Second

// Spec is what a member is to the tree.
type Spec struct {
	Group    bool
	Strategy Strategy         // of a group, for its members
	Policy   lifecycle.Policy // zero fields have the defaults; the default of StopTime is Grace
	Host     string           // that it runs on, whose loss is no end of it; "" for none
}

// Kind says what happened.
type Kind string

// The kinds of events. Those that mean nothing in the current state change nothing.
const (
	Start   Kind = "start"   // the member is wanted; its group is there, and the member comes last in it
	Ready   Kind = "ready"   // it can be used; of a group: its starter has returned
	Exit    Kind = "exit"    // it has ended, by itself or because it was asked; of a group: its starter has failed
	Finish  Kind = "finish"  // it has ended because it has done all that it had to do
	Hung    Kind = "hung"    // it does nothing any more
	Stop    Kind = "stop"    // it is no longer wanted; a later Start has it back
	Upgrade Kind = "upgrade" // it is to end and to start again, which counts as no failure
	Retry   Kind = "retry"   // one that waits or has failed is to start again at once, and its failures are forgotten
	Tick    Kind = "tick"    // the time of Wake has come
	Away    Kind = "away"    // the keeper of a host is not there; what runs on the host goes on
	Cut     Kind = "cut"     // a host cannot be reached; nobody knows what goes on there
	Back    Kind = "back"    // it can be asked again, and has all that has not ended
	Lost    Kind = "lost"    // one that is cut off will not be back: its owner has given it up
	Fenced  Kind = "fenced"  // nothing on one that is lost can do anything any more; what was there is on no host
	Move    Kind = "move"    // a member that does not run yet is on the host of Spec
)

// Event is something that happened.
type Event struct {
	Kind Kind
	Path string // of the member, such as "/orderd/eu/positiond", "/" being the outermost group; or the host
	Spec Spec   // of Start and Move
}

// Do is something to do.
type Do string

// The things to do.
const (
	Run      Do = "run"      // start it; what still runs of it from another program, or from before its host was away, is taken over
	Halt     Do = "halt"     // ask it to end; of a group: its starter. It may come twice
	Kill     Do = "kill"     // it has not ended in time, or hangs
	Complain Do = "complain" // it is still not ready
	Wait     Do = "wait"     // it has failed, and starts again at Until
	Fail     Do = "fail"     // it has failed too often, or the outermost group has failed; somebody is to know
	Ended    Do = "ended"    // everything in the group has ended, and is forgotten
	Fence    Do = "fence"    // see to it that what runs on the host can do nothing any more, and say Fenced
	Refuse   Do = "refuse"   // it cannot start: the name is taken, or its group takes no more
)

// Action is something to do for a member.
type Action struct {
	Do    Do
	Path  string    // of Fence: the host
	Until time.Time // of Wait, and of Fail if it starts again by itself
}

// Tree is the state of all members. The zero value is empty, and waits for the Start of "/". It is not safe
// for concurrent use.
//
// Invariants:
//   - Between the Run of a member and its end there is no other Run of it.
//   - A member is halted only because somebody has asked, or because of a failure within its group, or
//     within one that is around it.
//   - A group that has Ended has nothing running.
//   - Nothing is started and halted in one step.
//   - Nothing is started, halted or killed on a host that cannot be asked. What was on one that is lost starts
//     again when that is fenced, or back.
type Tree struct {
	Rand func() float64 // from [0, 1), for the waits; nil waits for the whole bound
	Asks bool           // what has failed at the top waits for Retry or Stop, instead of starting again by itself

	nodes map[string]*node
	hosts map[string]Kind // those that cannot be asked, for they are Away, Cut or Lost
	now   time.Time       // of the step
	did   []Action        // in the step
	hears bool            // of several ends in the step: nothing starts before all of them are known

	trace func(n *node, e lifecycle.Event, from lifecycle.State) // for tests; nil for none
}

// Step is the only way a tree changes.
func (t *Tree) Step(e Event, now time.Time) []Action {
	if t.nodes == nil {
		t.nodes, t.hosts = map[string]*node{}, map[string]Kind{}
	}
	t.now, t.did = now, nil

	switch e.Kind {
	case Start:
		t.start(e.Path, e.Spec)
	case Tick:
		t.each(t.tick)
	case Away, Cut, Back, Lost, Fenced:
		t.host(e.Path, e.Kind)
	case Ready, Exit, Finish, Hung, Stop, Upgrade, Retry, Move:
		if n := t.nodes[e.Path]; n != nil {
			t.happened(n, e)
		}
	default:
		panic(fmt.Sprintf("tree: unknown event %q", e.Kind))
	}

	return t.did
}

func (t *Tree) happened(n *node, e Event) {
	switch e.Kind {
	case Ready:
		t.ready(n)
	case Exit:
		t.exited(n, lifecycle.Exited)
	case Finish:
		t.exited(n, lifecycle.Finished)
	case Hung:
		if !n.spec.Group && t.here(n) {
			t.step(n, lifecycle.Stuck)
		}
	case Stop:
		t.dismiss(n)
	case Upgrade:
		t.renew(n)
	case Retry:
		if !n.proc.Runs() {
			n.failures = nil
			t.renew(n)
		}
	case Move:
		t.relocate(n, e.Spec.Host)
	}
}

// Wake returns when Tick is due, the zero time for never.
func (t *Tree) Wake() time.Time {
	var first time.Time
	for _, n := range t.nodes {
		wake := t.wake(n)
		if !wake.IsZero() && (first.IsZero() || wake.Before(first)) {
			first = wake
		}
	}

	return first
}

// Member is what there is to see of a member.
type Member struct {
	Path     string
	Spec     Spec
	State    lifecycle.State
	Host     Kind      // Away, Cut or Lost, as its host is; "" while that can be asked, or there is none
	Since    time.Time // of the state
	Wake     time.Time // when the state changes by itself; zero for never
	Restarts int
}

// Members returns all members in the order of their start, groups before what is in them.
func (t *Tree) Members() []Member {
	var list []Member
	t.each(func(n *node) {
		m := Member{
			Path: n.path, Spec: n.spec, State: n.proc.State, Since: n.proc.Since, Wake: n.proc.Wake,
			Restarts: n.proc.Restarts, Host: t.hosts[n.spec.Host],
		}
		if m.State == "" {
			m.State = lifecycle.Stopped
		}
		list = append(list, m)
	})

	return list
}
