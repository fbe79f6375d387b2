package world

import (
	"context"
	"errors"
	"io"
	"math/rand/v2"
	"sync"
	"time"

	"go.etcd.io/raft/v3/raftpb"
	"google.golang.org/protobuf/proto"

	"github.com/divisi-go/divisi/store/internal/drive"
	"github.com/divisi-go/divisi/store/internal/server"
	"github.com/divisi-go/divisi/store/internal/shipment"
)

// delay is how long a message takes at most.
const delay = 20 * time.Millisecond

var errLost = errors.New("it was lost on its way")

// network brings what members send, or does not.
type network struct {
	mu      sync.Mutex // guards all below
	random  *rand.Rand
	members map[uint64]*server.Server // those that run
	cut     map[[2]uint64]bool
	loss    int // of a hundred messages
	repeat  int // of a hundred messages
	harm    int // so many states more are changed on their way
	states  int // that have arrived
}

func newNetwork(random *rand.Rand) *network {
	return &network{random: random, members: map[uint64]*server.Server{}, cut: map[[2]uint64]bool{}}
}

// trip returns how long the next message takes, and whether it is lost.
func (n *network) trip(from, to uint64) (time.Duration, bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	return time.Duration(n.random.Int64N(int64(delay))), n.cut[[2]uint64{from, to}] || n.random.IntN(100) < n.loss
}

func (n *network) chance(percent func() int) bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.random.IntN(100) < percent()
}

func (n *network) member(id uint64) *server.Server {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.members[id]
}

func (n *network) join(id uint64, s *server.Server) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.members[id] = s
}

func (n *network) leave(id uint64) {
	n.mu.Lock()
	defer n.mu.Unlock()
	delete(n.members, id)
}

// isolate cuts a member off in both directions.
func (n *network) isolate(id uint64, all []uint64) {
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, other := range all {
		n.cut[[2]uint64{id, other}], n.cut[[2]uint64{other, id}] = true, true
	}
}

func (n *network) heal() {
	n.mu.Lock()
	defer n.mu.Unlock()
	clear(n.cut)
	n.loss, n.repeat, n.harm = 0, 0, 0
}

// port is the network as one member sees it.
type port struct {
	*network
	id uint64
}

func (p port) Send(messages []*raftpb.Message) {
	for _, m := range messages {
		m = proto.Clone(m).(*raftpb.Message)
		go p.bring(m)
		if m.GetType() != raftpb.MsgProp && p.chance(func() int { return p.repeat }) {
			go p.bring(proto.Clone(m).(*raftpb.Message))
		}
	}
}

func (p port) bring(m *raftpb.Message) {
	wait, lost := p.trip(p.id, m.GetTo())
	sleep(context.Background(), wait)
	to, from := p.member(m.GetTo()), p.member(p.id)
	if lost || to == nil {
		if to == nil && from != nil {
			from.Unreachable(m.GetTo())
		}
		return
	}
	err := to.Step(context.Background(), m)
	if errors.Is(err, server.ErrRemovedSender) && from != nil {
		from.Removed()
	}
}

func (p port) SendSnapshot(ctx context.Context, m *raftpb.Message, database drive.Database) error {
	wait, lost := p.trip(p.id, m.GetTo())
	sleep(context.Background(), wait)
	to := p.member(m.GetTo())
	if lost || to == nil {
		return errLost
	}

	reader, writer := io.Pipe()
	written := make(chan struct{})
	go func() {
		defer close(written)
		err := shipment.Write(p.harmed(writer), m, database)
		_ = writer.CloseWithError(err)
	}()
	err := to.Receive(ctx, reader)
	_ = reader.CloseWithError(errLost)
	<-written
	if err == nil {
		p.mu.Lock()
		p.states++
		p.mu.Unlock()
	}
	return err
}

// harmed returns a writer that changes a state, if that is to be.
func (p port) harmed(w io.Writer) io.Writer {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.harm == 0 {
		return w
	}
	p.harm--
	return &harmer{w: w, at: p.random.Int64N(20_000)}
}

// harmer changes one byte.
type harmer struct {
	w  io.Writer
	at int64
}

func (h *harmer) Write(b []byte) (int, error) {
	if h.at >= 0 && h.at < int64(len(b)) {
		b = append([]byte{}, b...)
		b[h.at] ^= 0x10
	}
	h.at -= int64(len(b))
	return h.w.Write(b)
}

func (p port) Ask(ctx context.Context, member uint64, question []byte) ([]byte, error) {
	there, lost := p.trip(p.id, member)
	back, lostToo := p.trip(member, p.id)
	if !sleep(ctx, there) {
		return nil, ctx.Err()
	}
	to := p.member(member)
	if to == nil {
		return nil, errLost
	}
	if lost {
		<-ctx.Done()
		return nil, ctx.Err()
	}
	answer := to.Answer(ctx, question)
	if !sleep(ctx, back) || lostToo {
		<-ctx.Done()
		return nil, ctx.Err()
	}
	return answer, nil
}

func sleep(ctx context.Context, d time.Duration) bool {
	select {
	case <-time.After(d):
		return true
	case <-ctx.Done():
		return false
	}
}
