package tree

import (
	"slices"

	"github.com/divisi-go/divisi/internal/lifecycle"
)

func (t *Tree) ready(n *node) {
	if n.starter && n.fate != goesOn { // it had returned before it was asked to end
		n.starter = false
		t.close(n)
		return
	}
	if n.proc.State != lifecycle.Starting {
		return
	}

	n.proven = true
	n.starter = false
	if n.turn == rise {
		n.turn = none
	}
	t.step(n, lifecycle.Answered)
	t.settle(n.parent)
}

// exited takes the end of a member, or of a group's starter.
func (t *Tree) exited(n *node, e lifecycle.Event) {
	switch {
	case n.spec.Group && n.starter:
		n.starter = false
		t.end(n, failed)
	case n.spec.Group || !n.proc.Runs():
	case t.hosts[n.spec.Host] == Away:
		n.told = e
	case !t.here(n):
		n.doubted = true
	default:
		t.gone(n, e)
	}
}

// gone goes on after the end of a member, or of a group and all that was in it.
func (t *Tree) gone(n *node, e lifecycle.Event) {
	why := n.fate
	n.fate = goesOn
	t.step(n, e)

	switch {
	case n.parent == nil:
		t.over(n, why)
		return
	case why == renewed && n.turn == none:
		n.turn = rise
	case why == renewed:
	case why == stopped && n.temporary(), why != stopped && !n.proven:
		t.remove(n)
	case why == stopped:
	case n.proc.State == lifecycle.Backoff:
		t.fail(n)
		return
	case n.temporary():
		t.remove(n)
	}

	t.settle(n.parent)
}

// over goes on after the end of the outermost group.
func (t *Tree) over(root *node, why fate) {
	t.step(root, lifecycle.Stop) // it does not wait

	switch why {
	case failed:
		t.do(Fail, root)
	case renewed:
		t.spawn(root)
	}
}

// fail decides what the failure of a node does to its group.
func (t *Tree) fail(n *node) {
	g := n.parent
	tooMany := n.again(t.now)
	n.turn = rise

	switch {
	case g.fate != goesOn:
		t.settle(g)
		return
	case g.spec.Strategy == Together || g.spec.Strategy == "", tooMany && g.parent != nil:
		t.end(g, failed)
		return
	case tooMany:
		t.step(n, lifecycle.GiveUp)
		t.doUntil(Fail, n)
	default:
		t.doUntil(Wait, n)
	}

	after := g.spec.Strategy == OneForAll
	for _, m := range g.members {
		switch {
		case m == n:
			after = g.spec.Strategy.ordered()
		case after && m.wanted && m.proc.Runs():
			m.turn = fall
		case after && m.wanted:
			m.turn = rise
		}
	}

	t.settle(g)
}

// settle does what there is to do in a group next: it stops those that are to stop, one at a time and the
// last first, then it starts those that are to start.
func (t *Tree) settle(g *node) {
	if g == nil {
		return
	}
	if g.fate != goesOn {
		t.close(g)
		return
	}

	for _, m := range slices.Backward(g.members) {
		if m.turn != fall {
			continue
		}
		if m.proc.Runs() {
			t.halt(m, stopped) // which goes on here once it has ended
			return
		}
		m.turn = rise
	}

	t.raise(g)
}

// raise starts the members of a group that are to start: one after another if their order means something.
// Where one has to wait, the whole row does.
func (t *Tree) raise(g *node) {
	if t.hears {
		return
	}

	ordered := g.spec.Strategy.ordered()
	row := g.row() // of which none is to stop any more

	if ordered && slices.ContainsFunc(row, t.waits) {
		return
	}

	for _, m := range row {
		if !m.proc.Runs() && t.here(m) && !t.waits(m) {
			t.spawn(m)
		}
		if ordered {
			return
		}
	}
}

// halt has a node end. One that does not run does not start again by itself.
func (t *Tree) halt(n *node, why fate) {
	switch {
	case !n.proc.Runs():
		t.step(n, lifecycle.Stop)
	case n.spec.Group:
		t.end(n, why)
	default:
		n.fate = why
		if t.here(n) || n.proc.State == lifecycle.Hung { // which is being killed already
			t.ask(n)
		}
	}
}

// ask asks a member to end, also one that is being killed: whoever has it would have it start again.
func (t *Tree) ask(n *node) {
	if n.proc.State == lifecycle.Hung && t.here(n) {
		t.do(Halt, n)
	}
	t.step(n, lifecycle.Stop)
	t.step(n, lifecycle.Drained) // to drain is the member's own matter
}

// end has a group end: its starter first, then its members, the last one first.
func (t *Tree) end(g *node, why fate) {
	if !g.proc.Runs() {
		return
	}
	if why != failed || g.fate == goesOn {
		g.fate = why
	}

	if g.fate == failed {
		t.step(g, lifecycle.Leave)
	} else {
		t.step(g, lifecycle.Stop)
	}
	t.close(g)
}

// close takes the next step to the end of a group that is to end.
func (t *Tree) close(g *node) {
	if g.starter {
		return
	}

	for _, m := range slices.Backward(g.members) {
		if m.proc.Runs() {
			t.halt(m, stopped) // which goes on here once it has ended
			return
		}
	}

	t.do(Ended, g)
	for _, m := range slices.Clone(g.members) {
		t.remove(m)
	}
	t.gone(g, lifecycle.Exited)
}

// dismiss has a node end because somebody asked.
func (t *Tree) dismiss(n *node) {
	n.wanted, n.turn = false, none
	if n.proc.Runs() {
		t.halt(n, stopped)
		return
	}

	t.halt(n, stopped)
	if (n.temporary() || !n.proven) && n.parent != nil { // it never was there, if its turn had not come
		t.remove(n)
	}
	t.settle(n.parent)
}

// renew has a node end and start again because somebody asked.
func (t *Tree) renew(n *node) {
	n.wanted = true
	if n.proc.Runs() {
		t.halt(n, renewed)
		return
	}

	t.halt(n, stopped)
	if n.parent == nil {
		t.spawn(n)
		return
	}
	n.turn = rise
	t.settle(n.parent)
}

func (t *Tree) tick(n *node) {
	if n.proc.Wake.IsZero() || t.now.Before(n.proc.Wake) || !t.here(n) {
		return
	}

	switch n.proc.State {
	case lifecycle.Backoff, lifecycle.Failed:
		t.settle(n.parent)
	default:
		t.step(n, lifecycle.Tick)
	}
}
