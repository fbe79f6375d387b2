package tree

import (
	"cmp"

	"github.com/divisi-go/divisi/internal/lifecycle"
)

// host takes what happened to a host.
func (t *Tree) host(host string, kind Kind) {
	is := t.hosts[host]
	switch {
	case (kind == Away || kind == Cut) && is != Lost:
		t.hosts[host] = kind
	case kind == Back:
		t.back(host)
	case kind == Lost && is == Cut:
		t.lose(host)
	case kind == Fenced && is == Lost:
		t.fenced(host)
	}
}

// on calls f with the members of a host.
func (t *Tree) on(host string, f func(*node)) {
	t.each(func(n *node) {
		if n.spec.Host == host && !n.spec.Group {
			f(n)
		}
	})
}

// back goes on with the members of a host. First are the ends that its keeper has told: as long as the host counts
// as away, nothing is asked of those that have ended, too. What was asked of the others is asked again. One whose
// end is in doubt is started again, and whoever does that takes over what still runs: it counts as no failure.
func (t *Tree) back(host string) {
	t.hears = true
	t.on(host, func(n *node) {
		if n.told != "" {
			t.bury(n, n.told)
		}
	})
	t.hears = false

	delete(t.hosts, host)
	t.on(host, t.resume)
	t.settleAll()
}

// resume goes on with a member whose host is back.
func (t *Tree) resume(n *node) {
	doubted := n.doubted
	n.doubted = false

	switch {
	case n.proc.State == lifecycle.Hung, n.proc.State == lifecycle.Stopping && n.proc.Wake.IsZero():
		if n.fate != goesOn {
			t.do(Halt, n)
		}
		t.do(Kill, n)
	case n.proc.State == lifecycle.Stopping:
		n.proc.Extend(n.proc.Policy.StopTime, t.now)
		t.do(Halt, n)
	case n.fate != goesOn:
		t.ask(n)
	case doubted:
		t.move(n, lifecycle.Kill)
		t.move(n, lifecycle.Exited)
		if n.turn == none {
			n.turn = rise
		}
	}
}

// bury goes on after the end of a member that nobody could ask for it, if it was to end.
func (t *Tree) bury(n *node, end lifecycle.Event) {
	n.told, n.doubted = "", false
	if n.fate != goesOn {
		t.move(n, lifecycle.Kill)
	}
	t.gone(n, end)
}

// lose has the members of a host have ended.
func (t *Tree) lose(host string) {
	t.hosts[host] = Lost

	t.hears = true
	t.on(host, func(n *node) {
		if n.proc.Runs() {
			t.bury(n, cmp.Or(n.told, lifecycle.Exited))
		}
	})
	t.hears = false

	t.settleAll()
	t.did = append(t.did, Action{Do: Fence, Path: host})
}

// fenced has what was on a host start elsewhere.
func (t *Tree) fenced(host string) {
	delete(t.hosts, host)
	t.on(host, func(n *node) { n.spec.Host = "" })
	t.settleAll()
}

// relocate puts a member that does not run yet on another host.
func (t *Tree) relocate(n *node, host string) {
	starts := n.proc.State == lifecycle.Starting && t.here(n)
	if n.spec.Group || n.proc.Runs() && !starts {
		return
	}
	n.spec.Host = host
	t.settle(n.parent)
}

// settleAll does what there is to do in each group.
func (t *Tree) settleAll() {
	t.each(func(n *node) {
		if n.spec.Group {
			t.settle(n)
		}
	})
}
