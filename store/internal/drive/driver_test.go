package drive

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.etcd.io/raft/v3"
	"go.etcd.io/raft/v3/raftpb"
	"google.golang.org/protobuf/proto"
)

// peer is a member with a driver, in memory.
type peer struct {
	*Driver
	stop  context.CancelFunc
	ended chan error

	mu     sync.Mutex // guards all below
	delay  time.Duration
	broken error
	state  machineState
}

// group is members that reach each other.
type group struct {
	mu    sync.Mutex // guards all below
	peers map[uint64]*peer
	cut   map[[2]uint64]bool
}

func (g *group) Send(messages []*raftpb.Message) {
	for _, m := range messages {
		m = proto.Clone(m).(*raftpb.Message)
		go g.bring(m)
	}
}

func (g *group) bring(m *raftpb.Message) {
	time.Sleep(time.Millisecond)
	g.mu.Lock()
	to, cut := g.peers[m.GetTo()], g.cut[[2]uint64{m.GetFrom(), m.GetTo()}]
	g.mu.Unlock()
	if to != nil && !cut {
		_ = to.Step(context.Background(), m)
	}
}

func (g *group) SendSnapshot(context.Context, *raftpb.Message, Database) error {
	return errors.New("there are no snapshots here: the worlds have them")
}

func (p *peer) Append(_ *raftpb.Snapshot, state *raftpb.HardState, entries []*raftpb.Entry) error {
	p.mu.Lock()
	delay, broken := p.delay, p.broken
	p.mu.Unlock()
	time.Sleep(delay)
	return broken
}

func (p *peer) Checkpoint(*raftpb.SnapshotMetadata) error { return nil }

func (p *peer) Apply(entries []*raftpb.Entry, configure func(*raftpb.ConfChange) *raftpb.ConfState) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, e := range entries {
		if e.GetIndex() != p.state.index+1 {
			return fmt.Errorf("entry %d after %d", e.GetIndex(), p.state.index)
		}
		p.state.index = e.GetIndex()
		if e.GetType() == raftpb.EntryConfChange {
			var change raftpb.ConfChange
			if err := proto.Unmarshal(e.Data, &change); err != nil {
				return err
			}
			p.state.group = configure(&change)
			continue
		}
		if len(e.Data) > 0 {
			p.state.values = append(p.state.values, string(e.Data))
		}
	}
	return nil
}

func (p *peer) Commit() *raftpb.SnapshotMetadata { return snapshotOf(p.state).Metadata }
func (p *peer) Install(*raftpb.Snapshot) error   { return nil }
func (p *peer) Snapshot() (*raftpb.SnapshotMetadata, Database, error) {
	return nil, nil, errors.New("there is none")
}

func (p *peer) has(value string) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Contains(p.state.values, value)
}

func newGroup(t *testing.T, members int) *group {
	g := &group{peers: map[uint64]*peer{}, cut: map[[2]uint64]bool{}}
	var founders []raft.Peer
	for id := range uint64(members) {
		founders = append(founders, raft.Peer{ID: id + 1})
	}
	for _, f := range founders {
		core, err := NewCore(Origin{ID: f.ID, Founders: founders, Logger: quiet()})
		if err != nil {
			t.Fatal(err)
		}
		p := &peer{ended: make(chan error, 1)}
		p.Driver = New(core, p, p, g, nil)
		g.peers[f.ID] = p
		ctx, cancel := context.WithCancel(t.Context())
		p.stop = cancel
		go func() { p.ended <- p.Serve(ctx) }()
	}
	return g
}

// leader waits until one of the members leads that others follow.
func (g *group) leader(t *testing.T, without ...uint64) uint64 {
	t.Helper()
	for range 100 {
		time.Sleep(Tick)
		for id, p := range g.peers {
			if slices.Contains(without, id) {
				continue
			}
			status, err := p.Status(t.Context())
			if err == nil && status.RaftState == raft.StateLeader {
				return id
			}
		}
	}
	t.Fatal("nobody leads after a hundred ticks")
	return 0
}

func (g *group) propose(t *testing.T, at uint64, value string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 10*Election)
	defer cancel()
	if err := g.peers[at].Propose(ctx, []byte(value)); err != nil {
		t.Fatalf("member %d does not take a proposal: %v", at, err)
	}
	for range 100 {
		if g.peers[at].has(value) {
			return
		}
		time.Sleep(Tick)
	}
	t.Fatalf("%q is not applied at member %d after a hundred ticks", value, at)
}

// end stops all members, and sees that nothing of them is left: the bubble would wait for it.
func (g *group) end(t *testing.T) {
	for _, p := range g.peers {
		p.stop()
		if err := <-p.ended; err != nil && p.broken == nil {
			t.Error(err)
		}
	}
	time.Sleep(Election)
}

func TestDriver(t *testing.T) {
	for _, members := range []int{1, 3, 5} {
		synctest.Test(t, func(t *testing.T) {
			g := newGroup(t, members)
			defer g.end(t)
			first := g.leader(t)
			for i := range 20 {
				at := uint64(i%members) + 1
				g.propose(t, at, fmt.Sprint("value ", i))
			}
			if members == 1 {
				return
			}

			// Who does not hear of the leader any more follows another one, and the old one finds out.
			g.mu.Lock()
			for id := range g.peers {
				g.cut[[2]uint64{first, id}] = true
			}
			g.mu.Unlock()
			begin := time.Now()
			second := g.leader(t, first)
			if took := time.Since(begin); took > 5*Election {
				t.Errorf("the next leader led after %v", took)
			}
			g.propose(t, second, "after")
			g.mu.Lock()
			clear(g.cut)
			g.mu.Unlock()
			g.propose(t, first, "together again")
			if !g.peers[first].has("after") {
				t.Error("who led before has missed an entry")
			}
		})
	}
}

// TestGroupCommit: what is proposed during a write is one write later.
func TestGroupCommit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGroup(t, 1)
		defer g.end(t)
		g.leader(t)
		p := g.peers[1]
		p.mu.Lock()
		p.delay = 50 * time.Millisecond
		p.mu.Unlock()

		begin := time.Now()
		var all sync.WaitGroup
		for i := range 300 {
			all.Go(func() {
				if err := p.Propose(t.Context(), []byte(fmt.Sprint(i))); err != nil {
					t.Error(err)
				}
			})
		}
		all.Wait()
		for !p.has("299") || len(p.state.values) < 300 {
			time.Sleep(time.Millisecond)
		}
		if took := time.Since(begin); took > 500*time.Millisecond {
			t.Errorf("300 proposals took %v with writes of 50 ms", took)
		}
	})
}

// TestDiskFails: a failed write ends the member, which answers nothing any more.
func TestDiskFails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGroup(t, 3)
		defer g.end(t)
		first := g.leader(t)
		p := g.peers[first]
		p.mu.Lock()
		p.broken = errors.New("no space left on the disk")
		p.mu.Unlock()
		_ = p.Propose(t.Context(), []byte("lost"))
		err := <-p.ended
		p.ended <- err
		if !errors.Is(err, p.broken) {
			t.Errorf("it ended with %v", err)
		}
		if err := p.Propose(t.Context(), []byte("later")); !errors.Is(err, raft.ErrStopped) {
			t.Errorf("it takes proposals: %v", err)
		}
		if p.has("lost") {
			t.Error("it has applied what was not written")
		}
		g.propose(t, g.leader(t, first), "the others go on")
	})
}
