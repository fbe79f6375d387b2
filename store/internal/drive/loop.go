package drive

import (
	"context"
	"time"

	"go.etcd.io/raft/v3"
	"go.etcd.io/raft/v3/raftpb"
)

// own owns the core until the context ends or one of the other goroutines does.
func (d *Driver) own(ctx context.Context, failed <-chan struct{}) error {
	ticker := time.NewTicker(Tick)
	defer ticker.Stop()

	for {
		select {
		case <-ticker.C: // a ticker drops what nobody waits for, so a pause is one tick and no burst
			d.core.Tick()
			d.ticked.Store(int64(time.Since(d.began)))

		case r := <-d.requests:
			r.done <- r.do(d.core)
			d.more()

		case <-d.finished.ready: // something was written, applied or sent
			for _, tell := range d.finished.take() {
				err := tell(d.core)
				if err != nil {
					return err
				}
			}

		case <-failed:
			return nil

		case <-ctx.Done():
			return nil
		}
		d.giveOut()
	}
}

// more takes the requests that wait as well, so that one write to the disk serves all of them.
func (d *Driver) more() {
	for range batch {
		select {
		case r := <-d.requests:
			r.done <- r.do(d.core)
		default:
			return
		}
	}
}

// giveOut gives the work of the core to those who do it.
func (d *Driver) giveOut() {
	for {
		work, some := d.core.Work()
		if !some {
			return
		}

		if work.Change != nil {
			d.changed(*work.Change)
		}
		d.note()
		for _, read := range work.Reads {
			d.answer(read)
		}
		d.send(work.Send)
		if work.Append != nil {
			d.writes.put(write{append: work.Append})
		}
		if work.Apply != nil {
			d.applies.put(d.applying(work.Apply))
		}
	}
}

// note publishes what others may want to know at any time.
func (d *Driver) note() {
	state := d.core.raw.BasicStatus().HardState
	d.term.Store(state.GetTerm())
	d.commit.Store(state.GetCommit())
}

// answer gives a read its index. Whoever reads has one on its way, and asks again when it has waited too long, so
// the last one counts.
func (d *Driver) answer(read raft.ReadState) {
	for {
		select {
		case d.reads <- read:
			return
		default:
		}
		select {
		case <-d.reads:
		default:
		}
	}
}

// send sends messages. One with a snapshot waits until all that was committed before is applied, and goes out with
// the state as it is then.
func (d *Driver) send(messages []*raftpb.Message) {
	var now []*raftpb.Message
	for _, m := range messages {
		if m.GetType() != raftpb.MsgSnap {
			now = append(now, m)
			continue
		}
		d.sending.Add(1)
		d.applies.put(func(ctx context.Context) error { return d.sendSnapshot(ctx, m) })
	}
	if len(now) > 0 {
		d.transport.Send(now)
	}
}

func (d *Driver) sendSnapshot(ctx context.Context, m *raftpb.Message) error {
	meta, database, err := d.machine.Snapshot()
	if err != nil {
		return err
	}
	m.Snapshot = &raftpb.Snapshot{Metadata: meta}

	d.senders.Go(func() {
		err := d.transport.SendSnapshot(ctx, m, database)
		_ = database.Close()
		d.sending.Add(-1)
		d.finished.put(func(c *Core) error {
			c.Sent(m.GetTo(), err)
			return nil
		})
	})
	return nil
}

// write is the goroutine of the disk.
func (d *Driver) write(ctx context.Context) error {
	for {
		select {
		case <-d.writes.ready:
			err := d.writeAll(ctx, d.writes.take())
			if err != nil {
				return err
			}
		case <-ctx.Done():
			return nil
		}
	}
}

// writeAll writes what waits. Appends that follow each other are one write.
func (d *Driver) writeAll(ctx context.Context, writes []write) error {
	var group []*Append
	for _, w := range writes {
		if w.append != nil && w.append.Snapshot == nil {
			group = append(group, w.append)
			continue
		}

		err := d.writeGroup(group)
		if err != nil {
			return err
		}
		group = nil

		switch {
		case w.checkpoint != nil:
			err = d.writeCheckpoint(w.checkpoint)
		default:
			err = d.writeSnapshot(ctx, w.append)
		}
		if err != nil {
			return err
		}
	}
	return d.writeGroup(group)
}

func (d *Driver) writeGroup(group []*Append) error {
	if len(group) == 0 {
		return nil
	}
	var state *raftpb.HardState
	var entries []*raftpb.Entry
	for _, a := range group {
		if a.State != nil {
			state = a.State
		}
		entries = append(entries, a.Entries...)
	}
	err := d.log.Append(nil, state, entries)
	if err != nil {
		return err
	}
	d.finished.put(d.appended(group...))
	return nil
}

// writeSnapshot takes the state of another member: first to the disk, then into the state machine.
func (d *Driver) writeSnapshot(ctx context.Context, a *Append) error {
	err := d.log.Append(a.Snapshot, a.State, a.Entries)
	if err != nil {
		return err
	}

	installed := make(chan struct{})
	d.applies.put(func(context.Context) error {
		err := d.machine.Install(a.Snapshot)
		if err != nil {
			return err
		}
		d.checkpoint = a.Snapshot.GetMetadata().GetIndex()
		close(installed)
		return nil
	})
	select {
	case <-installed:
		d.finished.put(d.appended(a))
	case <-ctx.Done():
	}
	return nil
}

// appended tells the core what is on the disk, and others what they may know then.
func (d *Driver) appended(group ...*Append) func(*Core) error {
	return func(c *Core) error {
		for _, a := range group {
			others, err := c.Appended(a)
			if err != nil {
				return err
			}
			d.send(others)
		}
		return nil
	}
}

func (d *Driver) writeCheckpoint(meta *raftpb.SnapshotMetadata) error {
	err := d.log.Checkpoint(meta)
	if err != nil {
		return err
	}
	d.finished.put(func(c *Core) error { return c.Compact(meta, d.Keep) })
	return nil
}

// apply is the goroutine of the state machine.
func (d *Driver) apply(ctx context.Context) error {
	for {
		select {
		case <-d.applies.ready:
			for _, do := range d.applies.take() {
				err := do(ctx)
				if err != nil {
					return err
				}
			}
		case <-ctx.Done():
			return nil
		}
	}
}

func (d *Driver) applying(a *Apply) func(context.Context) error {
	return func(ctx context.Context) error {
		err := d.machine.Apply(a.Entries, func(change *raftpb.ConfChange) (group *raftpb.ConfState) {
			_ = d.do(ctx, func(c *Core) error {
				group = c.Configure(change)
				return nil
			})
			return group
		})
		if err != nil {
			return err
		}
		d.finished.put(func(c *Core) error {
			d.send(c.Applied(a))
			return nil
		})

		last := a.Entries[len(a.Entries)-1].GetIndex()
		if last < d.checkpoint+d.Every || d.sending.Load() > 0 {
			return nil // a member that gets a state wants the entries that follow it
		}
		meta := d.machine.Commit()
		d.checkpoint = meta.GetIndex()
		d.writes.put(write{checkpoint: meta})
		return nil
	}
}
