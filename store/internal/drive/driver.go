package drive

import (
	"context"
	"errors"
	"io"
	"sync"
	"sync/atomic"
	"time"

	"go.etcd.io/raft/v3"
	"go.etcd.io/raft/v3/raftpb"
)

// Tick is the step of raft's clock: a heartbeat is one, an election at least ten.
const Tick = 100 * time.Millisecond

// Election is how long a member waits at least for a leader that says nothing.
const Election = electionTicks * Tick

const (
	// batch bounds how many requests are taken before their work is given out.
	batch = 1024

	// dropRetry is how long a proposal waits that raft has dropped, as there was no leader.
	dropRetry = 50 * time.Millisecond
)

// Log is the disk. Its methods are called by one goroutine. After an error it is not asked again: what a failed
// write has left nobody knows.
type Log interface {
	// Append returns when state and entries are on the disk. A snapshot is the state of another member, which is
	// in the place of all entries up to its index.
	Append(snapshot *raftpb.Snapshot, state *raftpb.HardState, entries []*raftpb.Entry) error
	// Checkpoint notes that the state machine has all entries up to an index on its disk.
	Checkpoint(*raftpb.SnapshotMetadata) error
}

// Machine is the state. Its methods are called by one goroutine.
type Machine interface {
	// Apply applies entries in order. It gives every change of the group to configure.
	Apply(entries []*raftpb.Entry, configure func(*raftpb.ConfChange) *raftpb.ConfState) error
	// Commit returns when what is applied is on the disk, and says what that is.
	Commit() *raftpb.SnapshotMetadata
	// Install takes the state of a snapshot that the log has.
	Install(*raftpb.Snapshot) error
	// Snapshot opens the state as it is.
	Snapshot() (*raftpb.SnapshotMetadata, Database, error)
}

// Database is the whole state of a member, to be read once.
type Database interface {
	io.WriterTo
	io.Closer
	Size() int64
}

// Transport brings messages to other members. It may lose, delay, repeat and reorder them, but proposals (MsgProp) it
// never repeats: the leader takes each for another entry.
type Transport interface {
	// Send sends messages; it does not wait for anything.
	Send([]*raftpb.Message)
	// SendSnapshot sends a message with the state that belongs to it, and returns when the other member has both on its
	// disk. The log grows meanwhile, so it fails when nothing moves any more.
	SendSnapshot(context.Context, *raftpb.Message, Database) error
}

// Alone is the transport of a member that has no others.
type Alone struct{}

// Send drops messages, for nobody is there.
func (Alone) Send([]*raftpb.Message) {}

// SendSnapshot fails, for nobody is there.
func (Alone) SendSnapshot(context.Context, *raftpb.Message, Database) error {
	return errors.New("there is no other member")
}

// Driver drives a core. Its exported fields may be set before Serve.
type Driver struct {
	// Every is after how many applied entries the log begins anew, 10,000 by default; Keep of those before, 5,000 by
	// default, stay in memory for slow members. Who is slower gets the whole state.
	Every, Keep uint64

	core      *Core
	log       Log
	machine   Machine
	transport Transport
	changed   func(raft.SoftState)

	requests chan request
	reads    chan raft.ReadState
	done     chan struct{} // closed when Serve returns

	writes   *queue[write]
	applies  *queue[func(context.Context) error]
	finished *queue[func(*Core) error]

	began        time.Time
	ticked       atomic.Int64 // when the last tick was, in nanoseconds since began
	term, commit atomic.Uint64

	checkpoint uint64         // index of the last one; of the goroutine that applies
	sending    atomic.Int64   // snapshots on their way, while which the log stays as long as it is
	senders    sync.WaitGroup // what sends them
}

// write is one thing for the disk: an append or a checkpoint.
type write struct {
	append     *Append
	checkpoint *raftpb.SnapshotMetadata
}

// request is what others want of the goroutine that owns the core.
type request struct {
	do   func(*Core) error
	done chan error
}

// New returns a driver. What is changed is told by the goroutine that owns raft, so changed may not wait; nil
// ignores it.
func New(core *Core, log Log, machine Machine, transport Transport, changed func(raft.SoftState)) *Driver {
	if changed == nil {
		changed = func(raft.SoftState) {}
	}
	return &Driver{
		Every: 10_000, Keep: 5_000,
		core: core, log: log, machine: machine, transport: transport, changed: changed,
		requests: make(chan request), reads: make(chan raft.ReadState, 1), done: make(chan struct{}),
		writes: newQueue[write](), applies: newQueue[func(context.Context) error](), finished: newQueue[func(*Core) error](),
		began: time.Now(), checkpoint: core.Status().Applied,
	}
}

// Serve drives the core until the context ends, or the disk or the state machine fails. Nothing of it is left when
// it returns.
func (d *Driver) Serve(ctx context.Context) error {
	defer close(d.done)
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()

	ended := make(chan error, 2)
	failed := make(chan struct{}, 2)
	start := func(work func(context.Context) error) {
		// A library may end the goroutine in the place of the process.
		err := errors.New("the disk or the state has failed; the log of the store says how")
		defer func() { ended <- err; failed <- struct{}{} }()
		err = work(ctx)
	}
	go start(d.write)
	go start(d.apply)

	err := d.own(ctx, failed)
	cancel()
	for range cap(ended) {
		err = errors.Join(err, <-ended)
	}
	d.senders.Wait()
	return err
}
