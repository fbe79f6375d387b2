package tree

import (
	"math"
	"path"
	"slices"
	"time"

	"github.com/divisi-go/divisi/internal/lifecycle"
)

// node is a member or a group. Its life is a [lifecycle.Process], that of a group beginning with its starter.
type node struct {
	path   string
	spec   Spec
	parent *node

	members []*node // of a group, in the order of their start
	starter bool    // of a group: it runs

	proc     lifecycle.Process
	failures []time.Time     // within the window
	wanted   bool            // nobody has asked for its end
	proven   bool            // it has been ready
	told     lifecycle.Event // its end, which was told while the keeper of its host was away; "" for none
	doubted  bool            // its end was told while its host was cut off, so that nobody knows
	fate     fate
	turn     turn
}

// fate says why a node ends, while it does.
type fate int

const (
	goesOn  fate = iota
	failed       // only of groups
	stopped      // it, or a group around it, is to stop
	renewed      // it starts again when it has ended
)

// turn says what a node does when those before it are done with theirs.
type turn int

const (
	none turn = iota
	fall      // it stops when those after it have ended, and rises then
	rise      // it starts when those before it are ready, and has risen when it is ready
)

// policyOf returns the policy of a node's process. How many failures are too many is decided here, for all
// of them count, not only those on the way to ready.
func policyOf(s Spec) lifecycle.Policy {
	p := s.Policy
	p.Intensity = math.MaxInt
	if p.StopTime == 0 {
		p.StopTime = Grace
	}

	return p
}

// again counts a failure, and reports whether there were too many.
func (n *node) again(now time.Time) bool {
	policy := n.spec.Policy.WithDefaults()
	n.failures = append(n.failures, now)
	n.failures = slices.DeleteFunc(n.failures, func(at time.Time) bool { return now.Sub(at) >= policy.Window })

	return len(n.failures) > policy.Intensity
}

func (n *node) temporary() bool { return n.spec.Policy.Restart == lifecycle.Temporary }

// turning reports whether members of a group wait for their turn.
func (n *node) turning() bool {
	return n.spec.Strategy.ordered() && len(n.row()) > 0
}

// row returns the members of a group that wait for their turn.
func (n *node) row() []*node {
	return slices.DeleteFunc(slices.Clone(n.members), func(m *node) bool { return m.turn == none })
}

// each calls f with every node, groups before their members, but not with what f removes.
func (t *Tree) each(f func(*node)) {
	var walk func(n *node)
	walk = func(n *node) {
		if n == nil || t.nodes[n.path] != n {
			return
		}
		f(n)
		for _, m := range slices.Clone(n.members) {
			walk(m)
		}
	}
	walk(t.nodes["/"])
}

// here reports whether decisions about a node can be carried out.
func (t *Tree) here(n *node) bool { return t.hosts[n.spec.Host] == "" }

// asks reports whether a node waits for somebody's answer.
func (t *Tree) asks(n *node) bool { return t.Asks && n.proc.State == lifecycle.Failed }

// waits reports whether it is too early for a node to start again.
func (t *Tree) waits(n *node) bool {
	switch n.proc.State {
	case lifecycle.Backoff, lifecycle.Failed:
		return t.asks(n) || t.now.Before(n.proc.Wake)
	}

	return false
}

// wake returns when a node's state changes by itself, the zero time for never.
func (t *Tree) wake(n *node) time.Time {
	switch n.proc.State {
	case lifecycle.Backoff, lifecycle.Failed:
		if t.asks(n) || !t.here(n) || n.parent.fate != goesOn {
			return time.Time{}
		}
		if n.parent.spec.Strategy.ordered() {
			return t.wakeRow(n.parent)
		}
	}
	if !t.here(n) {
		return time.Time{}
	}

	return n.proc.Wake
}

// wakeRow returns when those that wait in a group begin to start one after another, the zero time if
// something else has to happen first.
func (t *Tree) wakeRow(g *node) time.Time {
	var last time.Time
	row := g.row()
	for i, m := range row {
		if m.turn == fall || m.proc.Runs() || t.asks(m) || i == 0 && !t.here(m) {
			return time.Time{}
		}
		if m.proc.Wake.After(last) {
			last = m.proc.Wake
		}
	}

	return last
}

func (t *Tree) do(do Do, n *node) { t.did = append(t.did, Action{Do: do, Path: n.path}) }

// doUntil is do with the time at which a node starts again by itself.
func (t *Tree) doUntil(do Do, n *node) {
	a := Action{Do: do, Path: n.path, Until: n.proc.Wake}
	if t.asks(n) {
		a.Until = time.Time{}
	}
	t.did = append(t.did, a)
}

// move tells a node's process what happened, and returns what there would be to do.
func (t *Tree) move(n *node, e lifecycle.Event) []lifecycle.Action {
	from := n.proc.State
	actions := n.proc.Step(e, t.now)
	if t.trace != nil {
		t.trace(n, e, from)
	}

	return actions
}

// step tells a node's process what happened. What there is to do for a group is for its starter.
func (t *Tree) step(n *node, e lifecycle.Event) {
	for _, a := range t.move(n, e) {
		switch a {
		case lifecycle.Spawn:
			t.do(Run, n)
		case lifecycle.Complain:
			t.do(Complain, n)
		case lifecycle.Terminate, lifecycle.Destroy:
			if n.spec.Group && !n.starter {
				continue
			}
			t.do(map[lifecycle.Action]Do{lifecycle.Terminate: Halt, lifecycle.Destroy: Kill}[a], n)
		}
	}
}

func (t *Tree) start(at string, spec Spec) {
	n := &node{path: at, spec: spec, wanted: true}
	n.proc = lifecycle.Process{Policy: policyOf(spec), Rand: t.Rand}

	if before := t.nodes[at]; before != nil {
		if before.wanted || before.proc.Runs() {
			t.do(Refuse, n)
			return
		}
		t.remove(before)
	}

	if at == "/" && spec.Group {
		t.nodes[at] = n
		t.spawn(n)
		return
	}

	g := t.nodes[path.Dir(at)]
	if g == nil || at == "/" || !g.spec.Group || g.fate != goesOn || !g.proc.Runs() {
		t.do(Refuse, n)
		return
	}

	queue := g.turning() || !t.here(n)
	n.parent = g
	g.members = append(g.members, n)
	t.nodes[at] = n

	if queue {
		n.turn = rise
		return
	}
	t.spawn(n)
}

// spawn starts a node that does not run.
func (t *Tree) spawn(n *node) {
	n.starter = n.spec.Group

	switch n.proc.State {
	case lifecycle.Backoff, lifecycle.Failed:
		t.step(n, lifecycle.Tick)
	default:
		t.step(n, lifecycle.Start)
	}
}

// remove forgets a node, and what is in it.
func (t *Tree) remove(n *node) {
	for _, m := range slices.Clone(n.members) {
		t.remove(m)
	}
	delete(t.nodes, n.path)

	if g := n.parent; g != nil {
		g.members = slices.DeleteFunc(g.members, func(m *node) bool { return m == n })
	}
}
