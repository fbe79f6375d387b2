package drive

import (
	"context"
	"errors"
	"time"

	"go.etcd.io/raft/v3"
	"go.etcd.io/raft/v3/raftpb"
)

// do has the goroutine that owns the core do something. It fails with the error of the context, or with
// raft.ErrStopped when the driver has ended.
func (d *Driver) do(ctx context.Context, do func(*Core) error) error {
	r := request{do: do, done: make(chan error, 1)}
	select {
	case d.requests <- r:
		return <-r.done
	case <-ctx.Done():
		return ctx.Err()
	case <-d.done:
		return raft.ErrStopped
	}
}

// insist does something again while raft drops it, as it does without a leader.
func (d *Driver) insist(ctx context.Context, do func(*Core) error) error {
	for {
		err := d.do(ctx, do)
		if !errors.Is(err, raft.ErrProposalDropped) {
			return err
		}
		select {
		case <-time.After(dropRetry):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// Propose asks for an entry. That it returns nil does not say that the entry will be committed.
func (d *Driver) Propose(ctx context.Context, data []byte) error {
	return d.insist(ctx, func(c *Core) error { return c.Propose(data) })
}

// ProposeChange asks for a change of the group.
func (d *Driver) ProposeChange(ctx context.Context, change *raftpb.ConfChange) error {
	return d.insist(ctx, func(c *Core) error { return c.ProposeChange(change) })
}

// Step takes a message of another member.
func (d *Driver) Step(ctx context.Context, m *raftpb.Message) error {
	return d.do(ctx, func(c *Core) error {
		c.Step(m)
		return nil
	})
}

// ReadIndex asks for the index that a linearizable read has to wait for. It comes by ReadState.
func (d *Driver) ReadIndex(ctx context.Context, id []byte) error {
	return d.do(ctx, func(c *Core) error {
		c.ReadIndex(id)
		return nil
	})
}

// ReadState has the answers to ReadIndex.
func (d *Driver) ReadState() <-chan raft.ReadState { return d.reads }

// Transfer asks the leader to hand over to another voter. It does not wait until that leads.
func (d *Driver) Transfer(ctx context.Context, to uint64) error {
	return d.do(ctx, func(c *Core) error {
		c.Transfer(to)
		return nil
	})
}

// Unreachable says that a message to a member was lost.
func (d *Driver) Unreachable(ctx context.Context, id uint64) error {
	return d.do(ctx, func(c *Core) error {
		c.Unreachable(id)
		return nil
	})
}

// Status returns what raft says of itself.
func (d *Driver) Status(ctx context.Context) (raft.Status, error) {
	var status raft.Status
	err := d.do(ctx, func(c *Core) error {
		status = c.Status()
		return nil
	})
	return status, err
}

// HurryElection lets all but the last tick before an election pass at once: a member that is alone, or has just
// started, does not have to wait for a leader.
func (d *Driver) HurryElection(ctx context.Context) error {
	return d.do(ctx, func(c *Core) error {
		for range electionTicks - 1 {
			c.Tick()
		}
		return nil
	})
}

// Term returns the term of raft.
func (d *Driver) Term() uint64 { return d.term.Load() }

// Commit returns the index of the last entry that is known to be committed.
func (d *Driver) Commit() uint64 { return d.commit.Load() }

// Active says whether the clock of raft has ticked within the last three ticks. A process that stood still, or
// whose goroutines do, may have been succeeded as the leader without knowing.
func (d *Driver) Active() bool {
	return time.Since(d.began)-time.Duration(d.ticked.Load()) < 3*Tick
}

// Done is closed when the driver has ended.
func (d *Driver) Done() <-chan struct{} { return d.done }
