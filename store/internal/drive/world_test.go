package drive

import (
	crand "crypto/rand"
	"fmt"
	"io"
	"math/rand/v2"
	"slices"

	"go.etcd.io/raft/v3"
	"go.etcd.io/raft/v3/raftpb"
	"google.golang.org/protobuf/proto"
)

// world is a group of members whose clocks, disks and network do what a random source says. It has no goroutine, so
// a seed is always the same run.
type world struct {
	random *rand.Rand
	nodes  map[uint64]*node
	group  *raftpb.ConfState // of the last change that was applied anywhere

	flying []*raftpb.Message
	cut    map[[2]uint64]bool

	proposed int
	answered map[string]bool   // values that a client was told of
	told     uint64            // the last index of those
	asked    map[string]uint64 // what that was when a client asked for a read
	agreed   map[uint64]string // what is committed, by its index
	leaders  map[uint64]uint64 // who led, by the term
	trace    []string
	failed   error
}

// node is a member: what it has in memory, and what it has on its disk.
type node struct {
	id       uint64
	founders []raft.Peer // empty for one that joins
	core     *Core       // nil while it is down
	disk     store

	appends []*Append
	applies []*Apply
	state   machineState
	waiting map[string]bool // values that a client of this member waits for
}

// store is a disk.
type store struct {
	snapshot *raftpb.Snapshot // with the state in its data
	hard     *raftpb.HardState
	entries  []*raftpb.Entry // those after the snapshot
	state    machineState    // as the state machine has last committed it
}

// machineState is what was applied, in order, and up to where.
type machineState struct {
	index, term uint64
	group       *raftpb.ConfState
	values      []string
}

func (s machineState) clone() machineState {
	s.values = slices.Clone(s.values)
	return s
}

// quiet is a raft.Logger that says nothing, and panics where raft does.
func quiet() raft.Logger { return &raft.DefaultLogger{Logger: newSilent()} }

func newWorld(seed uint64, members int) *world {
	source := rand.NewChaCha8([32]byte{byte(seed), byte(seed >> 8), byte(seed >> 16), byte(members)})
	crand.Reader = source // raft takes its election timeouts from there
	w := &world{
		random: rand.New(source), nodes: map[uint64]*node{}, group: &raftpb.ConfState{},
		cut: map[[2]uint64]bool{}, answered: map[string]bool{}, asked: map[string]uint64{}, agreed: map[uint64]string{}, leaders: map[uint64]uint64{},
	}
	var founders []raft.Peer
	for id := range uint64(members) {
		founders = append(founders, raft.Peer{ID: id + 1})
	}
	for _, f := range founders {
		n := &node{id: f.ID, founders: founders, waiting: map[string]bool{}}
		w.nodes[f.ID] = n
		w.start(n)
	}
	return w
}

var _ io.Reader = (*rand.ChaCha8)(nil)

func (w *world) say(format string, arguments ...any) {
	w.trace = append(w.trace, fmt.Sprintf(format, arguments...))
}

func (w *world) fail(format string, arguments ...any) {
	if w.failed == nil {
		w.failed = fmt.Errorf(format, arguments...)
	}
}

func (w *world) start(n *node) {
	n.state = n.disk.state.clone()
	origin := Origin{ID: n.id, State: n.disk.hard, Entries: slices.Clone(n.disk.entries), Applied: n.state.index, Logger: quiet()}
	if n.disk.last() == 0 {
		origin.State, origin.Founders = nil, n.founders
	} else {
		origin.Snapshot = &raftpb.Snapshot{Metadata: &raftpb.SnapshotMetadata{Index: new(uint64(0)), Term: new(uint64(0))}}
		if n.disk.snapshot != nil {
			origin.Snapshot.Metadata = proto.Clone(n.disk.snapshot.Metadata).(*raftpb.SnapshotMetadata)
		}
		origin.Snapshot.Metadata.ConfState = n.state.group
		if origin.State.GetCommit() < n.state.index {
			origin.State = &raftpb.HardState{Term: origin.State.Term, Vote: origin.State.Vote, Commit: &n.state.index}
		}
	}
	core, err := NewCore(origin)
	if err != nil {
		w.fail("member %d does not start: %v", n.id, err)
		return
	}
	n.core = core
	w.giveOut(n)
}

// giveOut takes the work of a core.
func (w *world) giveOut(n *node) {
	for {
		work, some := n.core.Work()
		if !some {
			break
		}
		w.send(n, work.Send)
		for _, read := range work.Reads {
			if before := w.asked[string(read.RequestCtx)]; read.Index < before {
				w.fail("member %d reads at index %d what was asked for after %d was answered", n.id, read.Index, before)
			}
		}
		if work.Append != nil {
			n.appends = append(n.appends, work.Append)
		}
		if work.Apply != nil {
			n.applies = append(n.applies, work.Apply)
		}
	}
	status := n.core.Status()
	if status.RaftState != raft.StateLeader {
		return
	}
	term := status.GetTerm()
	if before := w.leaders[term]; before != 0 && before != n.id {
		w.fail("members %d and %d lead in term %d", before, n.id, term)
	}
	w.leaders[term] = n.id
}

// send puts messages on the network. One with a snapshot takes the state as it is.
func (w *world) send(n *node, messages []*raftpb.Message) {
	for _, m := range messages {
		m = proto.Clone(m).(*raftpb.Message) // as a network does
		if m.GetType() == raftpb.MsgSnap {
			m.Snapshot = snapshotOf(n.state)
		}
		w.flying = append(w.flying, m)
	}
}

// tell says that an append is done.
func (w *world) tell(n *node, a *Append) {
	others, err := n.core.Appended(a)
	if err != nil {
		w.fail("member %d: %v", n.id, err)
		return
	}
	w.send(n, others)
	w.giveOut(n)
}

// persist writes an append to the disk.
func (w *world) persist(n *node, a *Append) {
	if a.Snapshot != nil {
		n.disk.snapshot, n.disk.entries = a.Snapshot, nil
		n.disk.state = stateOf(a.Snapshot)
	}
	if a.State != nil {
		n.disk.hard = proto.Clone(a.State).(*raftpb.HardState)
	}
	if n.disk.hard == nil {
		n.disk.hard = &raftpb.HardState{}
	}
	if len(a.Entries) == 0 {
		return
	}
	first := n.disk.snapshot.GetMetadata().GetIndex() + 1
	at := a.Entries[0].GetIndex() - first
	if at > uint64(len(n.disk.entries)) {
		w.fail("member %d gets entry %d, and its disk ends with %d", n.id, a.Entries[0].GetIndex(), first+uint64(len(n.disk.entries))-1)
		return
	}
	n.disk.entries = append(n.disk.entries[:at:at], a.Entries...)
}

// write does the next append of a member.
func (w *world) write(n *node) {
	a := n.appends[0]
	n.appends = n.appends[1:]
	w.persist(n, a)
	if a.Snapshot != nil {
		n.state = n.disk.state.clone()
		for value := range n.waiting {
			delete(n.waiting, value) // its client hears nothing any more
		}
	}
	w.tell(n, a)
}

// apply does the next apply of a member.
func (w *world) apply(n *node) {
	a := n.applies[0]
	n.applies = n.applies[1:]
	for _, e := range a.Entries {
		w.applyEntry(n, e)
	}
	w.send(n, n.core.Applied(a))
	w.giveOut(n)
}

func (w *world) applyEntry(n *node, e *raftpb.Entry) {
	index := e.GetIndex()
	if index != n.state.index+1 {
		w.fail("member %d applies entry %d after %d", n.id, index, n.state.index)
		return
	}
	value := string(e.Data)
	if e.GetType() == raftpb.EntryConfChange {
		var change raftpb.ConfChange
		if err := proto.Unmarshal(e.Data, &change); err != nil {
			w.fail("entry %d: %v", index, err)
			return
		}
		n.state.group = n.core.Configure(&change)
		w.group, value = n.state.group, "change "+change.String()
	}
	n.state.index, n.state.term = index, e.GetTerm()

	entry := fmt.Sprint(e.GetTerm(), " ", value)
	if before, some := w.agreed[index]; some && before != entry {
		w.fail("entry %d is %q at member %d, and was %q", index, entry, n.id, before)
	}
	w.agreed[index] = entry
	if e.GetType() == raftpb.EntryNormal && value != "" {
		n.state.values = append(n.state.values, value)
	}
	if n.waiting[value] {
		delete(n.waiting, value)
		w.answered[value] = true
		w.told = max(w.told, index)
	}
}

// commit has the state machine write what it has applied.
func (w *world) commit(n *node) { n.disk.state = n.state.clone() }

// checkpoint lets go of the log up to what the state machine has on its disk.
func (w *world) checkpoint(n *node) {
	w.commit(n)
	meta := snapshotOf(n.state)
	first := n.disk.snapshot.GetMetadata().GetIndex() + 1
	if n.state.index == 0 || n.state.index < first || n.state.index-first >= uint64(len(n.disk.entries)) {
		return
	}
	if err := n.core.Compact(meta.Metadata, uint64(w.random.IntN(5))); err != nil {
		w.fail("member %d: %v", n.id, err)
	}
	n.disk.entries = slices.Clone(n.disk.entries[n.state.index-first+1:])
	n.disk.snapshot = meta
}

// crash ends a member. Of what was on its way to the disk some may have come there, in order.
func (w *world) crash(n *node) {
	for _, a := range n.appends[:w.random.IntN(len(n.appends)+1)] {
		w.persist(n, a)
	}
	if w.random.IntN(2) == 0 && n.state.index > n.disk.state.index { // not where a newer state has just come in
		w.commit(n)
	}
	n.core, n.appends, n.applies = nil, nil, nil
	clear(n.waiting)
}

// last returns the index of the last entry.
func (s *store) last() uint64 { return s.snapshot.GetMetadata().GetIndex() + uint64(len(s.entries)) }

// snapshotOf returns the state as what is sent of it.
func snapshotOf(s machineState) *raftpb.Snapshot {
	data, err := proto.Marshal(&raftpb.Message{Entries: entriesOf(s.values)})
	if err != nil {
		panic(err)
	}
	return &raftpb.Snapshot{Data: data, Metadata: &raftpb.SnapshotMetadata{Index: &s.index, Term: &s.term, ConfState: s.group}}
}

func entriesOf(values []string) []*raftpb.Entry {
	var list []*raftpb.Entry
	for _, v := range values {
		list = append(list, &raftpb.Entry{Data: []byte(v)})
	}
	return list
}

func stateOf(s *raftpb.Snapshot) machineState {
	var m raftpb.Message
	if err := proto.Unmarshal(s.Data, &m); err != nil {
		panic(err)
	}
	state := machineState{index: s.Metadata.GetIndex(), term: s.Metadata.GetTerm(), group: s.Metadata.ConfState}
	for _, e := range m.Entries {
		state.values = append(state.values, string(e.Data))
	}
	return state
}
