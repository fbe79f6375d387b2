// Package balance makes calls over several replicas: a [Pool] has a connection to each of them,
// chooses one for every call, by its load or by the shard of the call, and makes a call again that
// was surely not executed, or may be executed twice. docs/calls.md says when, and how often.
package balance

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"log/slog"
	"math/rand/v2"
	"net"
	"slices"
	"sort"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/divisi-go/divisi/codegen"
	"github.com/divisi-go/divisi/internal/call"
	"github.com/divisi-go/divisi/internal/call/link"
)

const (
	redialBase = 25 * time.Millisecond // longest first wait before connecting again, doubled for each failure
	redialCap  = 5 * time.Second

	ejectAfter = 3 // connections lost or not made without an answer between
	ejectBase  = time.Second
	ejectCap   = time.Minute

	// A replica that refuses calls has none in flight, and would draw more for it.
	avoidFor  = 250 * time.Millisecond
	avoidLoad = 1 << 20

	// overflow is how many calls more than a quarter above the mean a replica has in flight, at most,
	// of shards that are not assigned.
	overflow = 8
)

// PoolOptions configure a Pool. The zero value is the default.
type PoolOptions struct {
	// Dial connects to a replica. Default: link.Dial with TLS.
	Dial   func(ctx context.Context, addr string) (net.Conn, error)
	TLS    *tls.Config  // for replicas behind mtls://; default none
	Conn   link.Options // of each connection
	Logger *slog.Logger // default: logs nothing

	// DialTimeout bounds connecting to a replica and the handshakes with it. Default 5 s.
	DialTimeout time.Duration
	// GiveUp is how long a call whose context has no deadline goes on waiting and retrying
	// after its first failure; how long the first answer takes does not matter. Default 30 s.
	GiveUp time.Duration
}

func (o PoolOptions) withDefaults() PoolOptions {
	o.Conn = o.Conn.WithDefaults()
	o.DialTimeout = cmp.Or(o.DialTimeout, 5*time.Second)
	o.GiveUp = cmp.Or(o.GiveUp, 30*time.Second)
	o.Logger = cmp.Or(o.Logger, slog.New(slog.DiscardHandler))
	if o.Dial == nil {
		config := o.TLS
		o.Dial = func(ctx context.Context, addr string) (net.Conn, error) { return link.Dial(ctx, addr, config) }
	}
	return o
}

// Pool balances calls over replicas, each behind one connection that is made when it is first
// wanted. Its methods may be called from any goroutine.
//
// Invariants, whenever mu is free:
//   - replicas are sorted by address, and each address is there once;
//   - a replica has a connection only if that is among conns and the replica has not been removed;
//   - a replica's inFlight is the number of attempts that have acquired and not released it;
//   - changed is closed whenever a call that found no replica should look again.
type Pool struct {
	o      PoolOptions
	ctx    context.Context // ends with Close
	cancel context.CancelFunc
	wg     sync.WaitGroup

	calls    atomic.Uint64 // begun
	inFlight atomic.Int64  // of these
	errors   atomic.Uint64 // ended neither OK nor with an application's error

	mu          sync.Mutex
	replicas    []*replica // sorted by address
	slices      []Slice
	conns       map[*call.Client]struct{}
	changed     chan struct{} // closed and replaced when a waiting call should look again
	budget      float64       // retries that may be made
	lastFailure error         // of a connection
	stats       call.Stats    // but for the counts above
	usual       map[codegen.Key]*usual
	closed      bool
	picks       [3][]*replica // scratch of choose
}

// replica is one address. Everything in it belongs to the pool's mutex.
type replica struct {
	addr     string
	hash     uint64
	conn     *call.Client // nil unless connected
	dialing  bool
	removed  bool
	inFlight int

	avoid     time.Time // it refused a call: others are preferred until then
	failures  int       // connections lost or not made since the last answer
	redialAt  time.Time // when to connect again, after a failure
	ejections int
	ejected   time.Time // not used until then
	record
}

// leftOut reports whether calls go there only if there is nothing else.
func (r *replica) leftOut(now time.Time) bool {
	return now.Before(r.ejected) || r.trial && r.inFlight > 0
}

// healthy reports whether calls may go there: it is connected or has never failed to be.
func (r *replica) healthy(now time.Time) bool {
	return (r.conn != nil || r.failures == 0) && !r.leftOut(now)
}

// NewPool returns a Pool without replicas. It starts nothing until it is called.
func NewPool(o PoolOptions) *Pool {
	p := &Pool{
		o: o.withDefaults(), conns: map[*call.Client]struct{}{}, changed: make(chan struct{}), budget: budgetCap,
		usual: map[codegen.Key]*usual{},
	}
	p.ctx, p.cancel = context.WithCancel(context.Background())
	return p
}

// SetReplicas says which replicas there are. Those that are no longer among them finish their
// calls and are then disconnected.
func (p *Pool) SetReplicas(addrs []string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	old := p.replicas
	p.replicas = nil
	for _, addr := range slices.Compact(slices.Sorted(slices.Values(addrs))) {
		i, ok := slices.BinarySearchFunc(old, addr, func(r *replica, a string) int { return strings.Compare(r.addr, a) })
		if ok {
			p.replicas = append(p.replicas, old[i])
		} else {
			p.replicas = append(p.replicas, &replica{addr: addr, hash: hashAddr(addr)})
		}
	}
	for _, r := range old {
		if !slices.Contains(p.replicas, r) {
			r.removed = true
			if r.conn != nil {
				r.conn.Retire()
				r.conn = nil
			}
		}
	}
	p.broadcastLocked()
}

// SetAssignment says which replicas have which shards. With nil, the default, a shard goes to
// the replica that rendezvous hashing gives it; so does a shard none of whose replicas can be
// reached.
func (p *Pool) SetAssignment(parts []Slice) {
	parts = slices.Clone(parts)
	// A generic sort would be one more in every application.
	sort.SliceStable(parts, func(i, j int) bool { return parts[i].Start < parts[j].Start })
	p.mu.Lock()
	defer p.mu.Unlock()
	p.slices = parts
	p.broadcastLocked()
}

// Call makes a call and returns its answer. A call that surely was not executed is made again,
// and so is an idempotent one whose connection broke: on another replica first, then after a
// pause (full jitter, at most 1 s), until ctx ends or, if it has no deadline, GiveUp has passed.
// While no replica can be reached it waits for one. The error is ctx's, or a *call.Error.
func (p *Pool) Call(ctx context.Context, r *call.Request) (call.Reply, error) {
	reply, _, err := p.CallAt(ctx, r, time.Now())
	return reply, err
}

// CallAt is Call for whom the time concerns as well: it is told what the clock says, and returns when the call
// has ended. To read the clock often takes longer than all else that is done here.
func (p *Pool) CallAt(ctx context.Context, r *call.Request, now time.Time) (reply call.Reply, ended time.Time, err error) {
	a := attempts{pool: p, ctx: ctx, req: *r, now: now}
	a.begin()
	reply, err = a.call()
	a.end(reply, err)
	return reply, a.now, err
}

// Close ends all connections, calls and streams, and returns when their goroutines have ended.
func (p *Pool) Close() error {
	p.mu.Lock()
	p.closed = true
	for c := range p.conns {
		c.Close()
	}
	p.mu.Unlock()
	p.cancel()
	p.wg.Wait()
	return nil
}

// Stats returns what the pool has done so far.
func (p *Pool) Stats() call.Stats {
	p.mu.Lock()
	defer p.mu.Unlock()
	s := p.stats
	s.Calls, s.InFlight, s.Errors = p.calls.Load(), int(p.inFlight.Load()), p.errors.Load()
	s.Connections = len(p.conns)
	for c := range p.conns {
		in, out := c.Bytes()
		s.BytesIn += in
		s.BytesOut += out
	}
	return s
}

func (p *Pool) broadcastLocked() {
	close(p.changed)
	p.changed = make(chan struct{})
}

// chooseLocked returns a connected replica for the call, or how long to wait for a change before
// looking again. Replicas that were tried come last.
func (p *Pool) chooseLocked(now time.Time, req *call.Request, tried []*replica) (*replica, time.Duration) {
	fresh, stale, ejected := p.picks[0][:0], p.picks[1][:0], p.picks[2][:0]
	wait := retryCap
	for _, r := range p.replicas {
		if r.conn != nil && !r.conn.Usable() {
			p.lostLocked(r, now, r.conn.Cause())
		}
		switch {
		case r.conn == nil && r.failures > 0:
			if now.Before(r.redialAt) {
				wait = min(wait, r.redialAt.Sub(now))
			} else {
				p.dialLocked(r)
			}
		case r.leftOut(now):
			if now.Before(r.ejected) {
				wait = min(wait, r.ejected.Sub(now))
			}
			ejected = append(ejected, r)
		case slices.Contains(tried, r):
			stale = append(stale, r)
		default:
			fresh = append(fresh, r)
		}
	}
	p.picks = [3][]*replica{fresh, stale, ejected}
	for _, candidates := range p.picks {
		if len(candidates) > 0 {
			return p.pickLocked(now, candidates, req), wait
		}
	}
	return nil, wait
}

// pickLocked chooses among candidates; nil if the choice has to be connected first.
func (p *Pool) pickLocked(now time.Time, candidates []*replica, req *call.Request) *replica {
	var r *replica
	if req.Routed {
		r = p.ownerLocked(now, candidates, req.Shard)
	} else {
		r = lightest(now, candidates)
	}
	if r.conn != nil {
		return r
	}
	p.dialLocked(r)
	if req.Routed {
		return nil
	}
	connected := slices.DeleteFunc(candidates, func(r *replica) bool { return r.conn == nil })
	if len(connected) == 0 {
		return nil
	}
	return lightest(now, connected)
}

func lightest(now time.Time, rs []*replica) *replica {
	load := func(i int) int {
		if now.Before(rs[i].avoid) {
			return rs[i].inFlight + avoidLoad
		}
		return rs[i].inFlight
	}
	return rs[lighter(len(rs), load, rand.IntN)]
}

// ownerLocked returns the replica that a shard goes to.
func (p *Pool) ownerLocked(now time.Time, candidates []*replica, shard uint64) *replica {
	if len(p.slices) > 0 {
		addrs := p.slices[sliceOf(p.slices, shard)].Replicas
		var assigned []*replica
		for _, r := range candidates {
			if slices.Contains(addrs, r.addr) {
				assigned = append(assigned, r)
			}
		}
		if len(assigned) > 0 {
			return lightest(now, assigned)
		}
	}

	// A shard that is asked for far more than others overflows to the next replica.
	total := 0
	for _, r := range candidates {
		total += r.inFlight
	}
	most := total*5/(4*len(candidates)) + overflow
	return slices.MaxFunc(candidates, func(a, b *replica) int {
		if full, other := a.inFlight > most, b.inFlight > most; full != other {
			return cmp.Compare(b.inFlight, a.inFlight)
		}
		return cmp.Compare(score(shard, a.hash), score(shard, b.hash))
	})
}

// dialLocked connects to a replica in the background, unless that is under way.
func (p *Pool) dialLocked(r *replica) {
	if r.dialing || p.closed {
		return
	}
	r.dialing = true
	p.wg.Go(func() {
		if c := p.connect(r); c != nil {
			p.disconnected(r, c, c.Run())
		}
	})
}

// connect connects to a replica; it returns nil if it cannot. It runs without mu.
func (p *Pool) connect(r *replica) *call.Client {
	ctx, cancel := context.WithTimeout(p.ctx, p.o.DialTimeout)
	nc, err := p.o.Dial(ctx, r.addr)
	var c *call.Client
	if err == nil {
		c, err = call.NewClient(ctx, nc, r.addr, &p.o.Conn)
	}
	cancel()

	p.mu.Lock()
	r.dialing = false
	if c == nil {
		p.lostLocked(r, time.Now(), err)
		if _, other := errors.AsType[*link.OtherDeployment](err); other {
			p.stats.Refused++
		}
		failures := r.failures
		p.broadcastLocked()
		p.mu.Unlock()
		if failures == 1 && p.ctx.Err() == nil {
			p.o.Logger.Warn("cannot connect to a replica", "addr", r.addr, "err", err)
		}
		return nil
	}
	p.conns[c] = struct{}{}
	switch {
	case p.closed:
		c.Close()
	case r.removed:
		c.Retire()
	default:
		r.conn = c
		// It can be reached again. If that lasts, it is called.
		if soon := time.Now().Add(ejectBase); r.ejected.After(soon) {
			r.ejected = soon
		}
	}
	p.broadcastLocked()
	p.mu.Unlock()
	return c
}

// disconnected notes that a connection has ended, and why.
func (p *Pool) disconnected(r *replica, c *call.Client, err error) {
	p.mu.Lock()
	delete(p.conns, c)
	in, out := c.Bytes()
	p.stats.BytesIn += in
	p.stats.BytesOut += out
	if r.conn == c {
		p.lostLocked(r, time.Now(), err)
	}
	p.broadcastLocked()
	p.mu.Unlock()
	if !errors.Is(err, call.ErrClosed) {
		p.o.Logger.Warn("lost the connection to a replica", "addr", r.addr, "err", err)
	}
}

// lostLocked makes a replica one to connect to again, later. err is nil or call.ErrClosed if it is
// draining.
func (p *Pool) lostLocked(r *replica, now time.Time, err error) {
	r.conn = nil
	r.failures++
	r.redialAt = now.Add(jitter(min(redialCap, redialBase<<min(r.failures-1, 10))))
	if err == nil || errors.Is(err, call.ErrClosed) {
		return
	}
	p.lastFailure = err
	if r.failures >= ejectAfter && !now.Before(r.ejected) {
		p.ejectLocked(r, now)
	}
}

// release gives a replica back with the outcome of an attempt that has just ended. It is called without mu.
func (p *Pool) release(r *replica, c *call.Client, now time.Time, o outcome) {
	draining := o.err == nil && o.reply.Status == codegen.StatusDraining
	if draining {
		c.Retire() // its GOAWAY is under way
	}
	p.mu.Lock()
	r.inFlight--
	switch {
	case draining && r.conn == c:
		p.lostLocked(r, now, nil)
	case o.err == nil && r.conn == c:
		r.failures = 0
		if r.answers >= answersMin {
			r.ejections = 0
		}
	}
	if o.err == nil && o.reply.Status == codegen.StatusOverloaded {
		r.avoid = now.Add(avoidFor)
	}
	ejected, until := p.judgeLocked(r, now, &o), r.ejected
	p.mu.Unlock()
	if ejected {
		p.o.Logger.Warn("a replica does far worse than others, and is left out for a while", "addr", r.addr, "for", until.Sub(now))
	}
}
