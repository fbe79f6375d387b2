package drive

import (
	crand "crypto/rand"
	"flag"
	"fmt"
	"io"
	"log"
	"maps"
	"slices"
	"strings"
	"testing"

	"go.etcd.io/raft/v3/raftpb"
)

var seeds = flag.Int("seeds", 20, "how many runs of each size")

func newSilent() *log.Logger { return log.New(io.Discard, "", 0) }

const (
	steps = 3000  // of a run
	calm  = 20000 // within which all have to agree after the last fault
)

// TestWorlds runs groups under faults: messages that are lost, late, repeated and out of order, cuts in one
// direction, members that crash with half of their writes, slow disks, snapshots, and members that come and go.
func TestWorlds(t *testing.T) {
	defer func(r io.Reader) { crand.Reader = r }(crand.Reader)
	for _, members := range []int{1, 3, 5} {
		answered := 0
		for seed := range uint64(*seeds) {
			w := newWorld(seed, members)
			w.run()
			if w.failed != nil {
				t.Fatalf("%d members, seed %d: %v\n%s", members, seed, w.failed, strings.Join(w.trace, "\n"))
			}
			answered += len(w.answered)
		}
		t.Logf("%d members, %d seeds: %d answers", members, *seeds, answered)
		if answered < *seeds {
			t.Errorf("%d members: only %d answers, so little was tested", members, answered)
		}
	}
}

func (w *world) run() {
	for range steps {
		w.step()
		if w.failed != nil {
			return
		}
	}
	w.settle()
	w.compare()
}

// ids returns the members in order, so that a seed is always the same run.
func (w *world) ids() []uint64 { return slices.Sorted(maps.Keys(w.nodes)) }

func (w *world) pick() *node {
	ids := w.ids()
	return w.nodes[ids[w.random.IntN(len(ids))]]
}

func (w *world) step() {
	n := w.pick()
	dice := w.random.IntN(1000)
	if n.core == nil {
		if dice < 100 {
			w.say("start %d", n.id)
			w.start(n)
		}
		return
	}
	switch {
	case dice < 250:
		n.core.Tick()
		w.giveOut(n)
	case dice < 650:
		w.deliver()
	case dice < 780 && len(n.appends) > 0:
		w.write(n)
	case dice < 900 && len(n.applies) > 0:
		w.apply(n)
	case dice < 950:
		w.propose(n)
	case dice < 955:
		w.read(n)
	case dice < 962:
		w.commit(n)
	case dice < 968:
		w.say("checkpoint %d at %d", n.id, n.state.index)
		w.checkpoint(n)
	case dice < 976:
		w.say("crash %d with %d appends", n.id, len(n.appends))
		w.crash(n)
	case dice < 984:
		from, to := w.pick().id, w.pick().id
		w.cut[[2]uint64{from, to}] = true
		w.say("cut %d to %d", from, to)
	case dice < 996:
		clear(w.cut)
	default:
		w.change(n)
	}
}

// deliver brings one message, which need not be the oldest, or loses it, or brings it and keeps it.
func (w *world) deliver() {
	if len(w.flying) == 0 {
		return
	}
	i := w.random.IntN(min(len(w.flying), 20))
	m := w.flying[i]
	if w.random.IntN(20) > 0 {
		w.flying = slices.Delete(w.flying, i, i+1)
	}
	lost := w.random.IntN(20) == 0
	w.bring(m, lost || w.cut[[2]uint64{m.GetFrom(), m.GetTo()}])
}

func (w *world) bring(m *raftpb.Message, lost bool) {
	to := w.nodes[m.GetTo()]
	if to == nil || to.core == nil {
		lost = true
	}
	from := w.nodes[m.GetFrom()]
	if m.GetType() == raftpb.MsgSnap && from != nil && from.core != nil {
		var err error
		if lost {
			err = io.ErrUnexpectedEOF
		}
		from.core.Sent(m.GetTo(), err)
		w.giveOut(from)
	}
	if lost {
		return
	}
	to.core.Step(m)
	w.giveOut(to)
}

func (w *world) propose(n *node) {
	w.proposed++
	value := fmt.Sprintf("value %d", w.proposed)
	if n.core.Propose([]byte(value)) == nil {
		n.waiting[value] = true
	}
	w.giveOut(n)
}

// read asks for a linearizable read, of which the world wants to know the index only. A member that has not applied an entry of its
// term is not asked, as the server is not before: alone, raft answers by what it knew to be committed before it ended.
func (w *world) read(n *node) {
	if n.state.term != n.core.Status().GetTerm() {
		return
	}
	id := fmt.Sprint("read ", len(w.asked))
	w.asked[id] = w.told
	n.core.ReadIndex([]byte(id))
	w.giveOut(n)
}

// change proposes that a member comes or goes. Those that come have an ID that nobody has had.
func (w *world) change(n *node) {
	voters := len(w.group.GetVoters())
	change := &raftpb.ConfChange{}
	switch {
	case voters < 3 || voters < 6 && w.random.IntN(2) == 0:
		if len(w.nodes) > 12 {
			return
		}
		id := uint64(len(w.nodes) + 1)
		w.nodes[id] = &node{id: id, waiting: map[string]bool{}}
		w.start(w.nodes[id])
		change.Type, change.NodeId = raftpb.ConfChangeAddNode.Enum(), &id
		if w.random.IntN(2) == 0 {
			change.Type = raftpb.ConfChangeAddLearnerNode.Enum()
		}
	case voters > 3:
		change.Type, change.NodeId = raftpb.ConfChangeRemoveNode.Enum(), &w.group.Voters[w.random.IntN(voters)]
	default:
		return
	}
	w.say("%s %d asked of %d", change.GetType(), change.GetNodeId(), n.id)
	_ = n.core.ProposeChange(change) // refused where another change is open
	w.giveOut(n)
}

// settle lets everything work again, and waits until the members of the group have applied the same.
func (w *world) settle() {
	clear(w.cut)
	for _, id := range w.ids() {
		if w.nodes[id].core == nil {
			w.start(w.nodes[id])
		}
	}
	for i := range calm {
		if w.failed != nil || i%100 == 0 && w.even() {
			return
		}
		for len(w.flying) > 0 && w.failed == nil {
			m := w.flying[0]
			w.flying = w.flying[1:]
			w.bring(m, false)
		}
		for _, id := range w.ids() {
			n := w.nodes[id]
			n.core.Tick()
			w.giveOut(n)
			for len(n.appends) > 0 {
				w.write(n)
			}
			for len(n.applies) > 0 {
				w.apply(n)
			}
		}
	}
	w.fail("the members have not come to the same state: %s", w.describe())
}

func (w *world) describe() string {
	text := fmt.Sprintf("group %v", w.group)
	for _, id := range w.ids() {
		n := w.nodes[id]
		text += fmt.Sprintf("\n%d: applied %d, %s", id, n.state.index, n.core.Status())
	}
	return text
}

// even says whether all voters have applied all that is agreed on.
func (w *world) even() bool {
	last := uint64(0)
	for index := range w.agreed {
		last = max(last, index)
	}
	for _, id := range w.group.GetVoters() {
		if w.nodes[id].state.index != last {
			return false
		}
	}
	return len(w.group.GetVoters()) > 0
}

// compare: the voters have the same values, and all that clients were told of.
func (w *world) compare() {
	if w.failed != nil {
		return
	}
	voters := w.group.GetVoters()
	first := w.nodes[voters[0]].state.values
	for _, id := range voters[1:] {
		if !slices.Equal(first, w.nodes[id].state.values) {
			w.fail("members %d and %d have applied the same entries, and have other values", voters[0], id)
		}
	}
	for value := range w.answered {
		if !slices.Contains(first, value) {
			w.fail("%q was answered, and is lost", value)
		}
	}
}
