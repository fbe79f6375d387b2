package drive

import (
	"go.etcd.io/raft/v3"
	"go.etcd.io/raft/v3/raftpb"
)

const (
	electionTicks  = 10
	heartbeatTicks = 1

	// What raft keeps in flight: entries of one message, messages to one member, and bytes that a leader has
	// accepted and not yet committed.
	maxMessageBytes     = 512 << 10
	maxInflightMessages = 512
	maxUncommittedBytes = 64 << 20
)

// Core is one member of a raft group, which decides and does nothing: it has no clock, no disk, no network and
// no goroutine. What it wants done is its Work; whoever does that tells it when it is done.
//
// What must hold for whoever does the work:
//
//   - Appends are done in order, and one is done when it is on the disk.
//   - Applies are done in order. They hold only entries that are on this member's disk.
//   - Messages may be lost, late, repeated and in any order. What Appended returns are messages too: they say to
//     others what is on the disk, so they may not be sent before.
type Core struct {
	raw *raft.RawNode
	log *raft.MemoryStorage
	id  uint64
}

// Origin is what a member begins with.
type Origin struct {
	ID uint64

	// What the disk has. Applied is the index of the last entry that the state machine has made durable.
	Snapshot *raftpb.Snapshot
	State    *raftpb.HardState
	Entries  []*raftpb.Entry
	Applied  uint64

	// Founders are the members of a group that begins now. It is empty for a member that restarts or joins.
	Founders []raft.Peer

	Logger raft.Logger
}

// NewCore returns the core of a member.
func NewCore(o Origin) (*Core, error) {
	log := raft.NewMemoryStorage()
	if o.Snapshot != nil {
		err := log.ApplySnapshot(o.Snapshot)
		if err != nil {
			return nil, err
		}
	}
	if o.State != nil {
		err := log.SetHardState(o.State)
		if err != nil {
			return nil, err
		}
	}
	err := log.Append(o.Entries)
	if err != nil {
		return nil, err
	}

	raw, err := raft.NewRawNode(&raft.Config{
		ID:                        o.ID,
		ElectionTick:              electionTicks,
		HeartbeatTick:             heartbeatTicks,
		Storage:                   log,
		Applied:                   o.Applied,
		AsyncStorageWrites:        true,
		MaxSizePerMsg:             maxMessageBytes,
		MaxCommittedSizePerReady:  maxUncommittedBytes,
		MaxUncommittedEntriesSize: maxUncommittedBytes,
		MaxInflightMsgs:           maxInflightMessages,
		CheckQuorum:               true,
		PreVote:                   true,
		ReadOnlyOption:            raft.ReadOnlySafe,
		StepDownOnRemoval:         true,
		Logger:                    o.Logger,
	})
	if err != nil {
		return nil, err
	}
	if len(o.Founders) > 0 {
		err := raw.Bootstrap(o.Founders)
		if err != nil {
			return nil, err
		}
	}
	return &Core{raw: raw, log: log, id: o.ID}, nil
}

// Work is what a core wants done.
type Work struct {
	Change *raft.SoftState   // who leads has changed
	Append *Append           // for the disk
	Apply  *Apply            // for the state machine
	Send   []*raftpb.Message // to other members, now
	Reads  []raft.ReadState  // linearizable reads that may go on when their index is applied
}

// Append is what has to be on the disk before Appended: the snapshot first, if there is one.
type Append struct {
	Snapshot *raftpb.Snapshot  // nil if there is none
	State    *raftpb.HardState // nil if it is as before
	Entries  []*raftpb.Entry

	responses []*raftpb.Message
}

// Apply is what has to be applied before Applied.
type Apply struct {
	Entries []*raftpb.Entry

	responses []*raftpb.Message
}

// Work returns what is to be done now; each thing is returned once.
func (c *Core) Work() (Work, bool) {
	if !c.raw.HasReady() {
		return Work{}, false
	}
	ready := c.raw.Ready()

	work := Work{Change: ready.SoftState, Reads: ready.ReadStates}
	for _, m := range ready.Messages {
		switch m.GetTo() {
		case raft.LocalAppendThread:
			work.Append = newAppend(m)
		case raft.LocalApplyThread:
			work.Apply = &Apply{Entries: m.GetEntries(), responses: m.GetResponses()}
		default:
			work.Send = append(work.Send, m)
		}
	}
	return work, true
}

func newAppend(m *raftpb.Message) *Append {
	a := &Append{Entries: m.GetEntries(), responses: m.GetResponses()}
	state := &raftpb.HardState{Term: m.Term, Vote: m.Vote, Commit: m.Commit}
	if !raft.IsEmptyHardState(state) {
		a.State = state
	}
	if !raft.IsEmptySnap(m.GetSnapshot()) {
		a.Snapshot = m.GetSnapshot()
	}
	return a
}

// Appended says that an append is on the disk. It returns what others may be told now.
func (c *Core) Appended(a *Append) ([]*raftpb.Message, error) {
	if a.Snapshot != nil {
		err := c.log.ApplySnapshot(a.Snapshot)
		if err != nil {
			return nil, err
		}
	}
	err := c.log.Append(a.Entries)
	if err != nil {
		return nil, err
	}
	return c.respond(a.responses), nil
}

// Applied says that entries are applied. Changes of the group among them were given to Configure before.
func (c *Core) Applied(a *Apply) []*raftpb.Message { return c.respond(a.responses) }

// respond takes the responses for this member, and returns those for others.
func (c *Core) respond(responses []*raftpb.Message) []*raftpb.Message {
	var others []*raftpb.Message
	for _, m := range responses {
		if m.GetTo() != c.id {
			others = append(others, m)
			continue
		}
		c.Step(m)
	}
	return others
}

// Tick says that another tick of the monotonic clock is over.
func (c *Core) Tick() { c.raw.Tick() }

// Step takes a message. What raft does not want of it, it drops: a message may be lost at any time.
func (c *Core) Step(m *raftpb.Message) { _ = c.raw.Step(m) }

// Propose asks for an entry. It fails with raft.ErrProposalDropped where there is no leader, or too much on its way.
func (c *Core) Propose(data []byte) error { return c.raw.Propose(data) }

// ProposeChange asks for a change of the group.
func (c *Core) ProposeChange(change *raftpb.ConfChange) error { return c.raw.ProposeConfChange(change) }

// Configure applies a change of the group that was committed, and returns the group. A change to no member at all
// stands for one that was refused.
func (c *Core) Configure(change *raftpb.ConfChange) *raftpb.ConfState {
	return c.raw.ApplyConfChange(change)
}

// ReadIndex asks for the index that a linearizable read has to wait for; it comes in the Reads of later work.
func (c *Core) ReadIndex(id []byte) { c.raw.ReadIndex(id) }

// Transfer asks the leader to hand over to another voter.
func (c *Core) Transfer(to uint64) { c.raw.TransferLeader(to) }

// Unreachable says that a message to a member was lost.
func (c *Core) Unreachable(id uint64) { c.raw.ReportUnreachable(id) }

// Sent says whether a member has a snapshot that was sent to it.
func (c *Core) Sent(id uint64, err error) {
	status := raft.SnapshotFinish
	if err != nil {
		status = raft.SnapshotFailure
	}
	c.raw.ReportSnapshot(id, status)
}

// Compact drops entries from memory that a checkpoint holds, but for the last keep ones, which slow members may
// still want.
func (c *Core) Compact(checkpoint *raftpb.SnapshotMetadata, keep uint64) error {
	index := checkpoint.GetIndex()
	_, err := c.log.CreateSnapshot(index, checkpoint.GetConfState(), nil)
	if err == raft.ErrSnapOutOfDate {
		return nil
	}
	if err != nil {
		return err
	}
	if index <= keep {
		return nil
	}
	err = c.log.Compact(index - keep)
	if err == raft.ErrCompacted {
		return nil
	}
	return err
}

// Status returns what raft says of itself.
func (c *Core) Status() raft.Status { return c.raw.Status() }
