package call

import (
	"context"
	"fmt"
	"net"
	"sync"
	"time"

	"github.com/divisi-go/divisi/codegen"
	"github.com/divisi-go/divisi/internal/call/link"
	"github.com/divisi-go/divisi/internal/wire"
)

const (
	maxSlots = 1 << link.CallBits

	// A slot is used again only when so many are free. With 4,096 generations of each, an
	// answer that comes late by less than 98,304 calls cannot be taken for another's.
	restingSlots = 24
)

// pending is a call that has no answer yet. That of a plain call is used again, once its caller has got
// the outcome from whoever gave its slot back: nobody else knows of it then.
type pending struct {
	id   uint32
	out  *link.Outgoing // the request, if it is long
	tx   link.Outflow   // the writer's
	feed *Feed          // of a stream; nil for a plain call

	answered chan struct{} // of a plain call, and of capacity 1: gets an element when reply or err is set
	reply    Reply
	err      error

	// The reading goroutine's:
	rx      link.Inflow
	message *wire.Message // a response in chunks, so far; once it is done and the outcome is set, its body
}

// slot holds the call whose index it has. Its generation is the upper part of the next id.
type slot struct {
	p          *pending
	generation uint32
}

// Client is the caller's end of a connection to one replica.
//
// Invariants, whenever mu is free:
//   - inFlight is the number of slots that hold a call, and at most limit;
//   - a call whose slot has been given back gets no answer any more, and its outcome is set by whoever
//     gave the slot back;
//   - a method has an index only once its BIND is in the queue.
type Client struct {
	link *link.Link
	addr string
	used sync.Pool // of *pending, to be used again

	mu       sync.Mutex
	slots    []slot
	free     []uint32 // indexes of free slots, the longest free first
	inFlight int
	limit    int
	slotFree link.Line // calls that wait for a slot
	methods  map[codegen.Key]uint16
	draining bool // the server takes no new calls, or we make none
	closed   bool
}

// NewClient does the handshake on nc, which it closes if that fails. The options have been given
// their defaults.
func NewClient(ctx context.Context, nc net.Conn, addr string, o *link.Options) (*Client, error) {
	nc.SetDeadline(time.Now().Add(o.HandshakeTimeout))
	stop := context.AfterFunc(ctx, func() { link.Cut(nc) })
	peer, err := link.Greet(nc, o)
	if !stop() {
		err = ctx.Err()
	}
	if err != nil {
		link.Cut(nc)
		return nil, err
	}
	nc.SetDeadline(time.Time{})
	c := &Client{addr: addr, methods: map[codegen.Key]uint16{}, slots: make([]slot, 1, 8)}
	c.limit = int(min(uint32(o.MaxInFlight), peer.MaxInFlight))
	c.slotFree = link.NewLine(&c.mu, func() bool { return c.inFlight < c.limit || c.closed || c.draining })
	c.link = link.New(nc, o, peer, c.pendingCalls)
	return c, nil
}

// Run reads until the connection ends; every call that is pending then fails.
func (c *Client) Run() error {
	err := c.link.Serve(c.handle)
	c.mu.Lock()
	c.closed = true
	slots := c.slots
	c.slots, c.inFlight = nil, 0
	c.slotFree.NextLocked()
	c.mu.Unlock()
	for _, s := range slots {
		if s.p != nil {
			s.p.finish(Reply{}, &Error{Addr: c.addr, Executed: true, Err: err})
		}
	}
	return err
}

// Close ends the connection; the calls on it fail.
func (c *Client) Close() { c.link.Fail(ErrClosed) }

// Cause is why the connection ended; nil while it lives.
func (c *Client) Cause() error { return c.link.Cause() }

// Bytes returns how much has been read and written, above TLS.
func (c *Client) Bytes() (in, out uint64) { return c.link.Bytes() }

func (c *Client) pendingCalls() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.inFlight
}

// Usable reports whether new calls may be made.
func (c *Client) Usable() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return !c.draining && !c.closed && !c.link.Ended()
}

// Retire lets the calls in flight finish, makes no new ones, and then closes.
func (c *Client) Retire() {
	c.mu.Lock()
	c.draining = true
	c.slotFree.NextLocked()
	idle := c.inFlight == 0
	c.mu.Unlock()
	if idle {
		c.Close()
	}
}

// enter gives p a slot, when its turn has come, and the method an index. A BIND goes out before
// anybody can use the index.
func (c *Client) enter(ctx context.Context, p *pending, method codegen.Key) (index uint16, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if err := c.slotFree.EnterLocked(ctx); err != nil {
		return 0, err
	}
	defer c.slotFree.NextLocked()
	if c.closed || c.draining {
		return 0, ErrClosed
	}

	index, ok := c.methods[method]
	if !ok {
		if len(c.methods) > 1<<16-1 {
			return 0, fmt.Errorf("more than %d methods on one connection", 1<<16)
		}
		index = uint16(len(c.methods))
		var b [wire.HeaderSize + 18]byte
		if err := c.link.Out.QueueOnly(wire.AppendBind(b[:0], index, method)); err != nil {
			return 0, err
		}
		c.methods[method] = index
	}
	var i uint32
	if len(c.free) > restingSlots || len(c.slots) == maxSlots {
		i, c.free = c.free[0], c.free[1:]
	} else {
		i = uint32(len(c.slots))
		c.slots = append(c.slots, slot{})
	}
	c.slots[i].p = p
	p.id = c.slots[i].generation<<link.CallBits | i
	if p.out != nil {
		p.out.Header.Call = p.id
	}
	c.inFlight++
	return index, nil
}

// leave gives p's slot back, and reports whether it still had it.
func (c *Client) leave(p *pending) bool { return c.take(p.id) != nil }

// take gives the slot of the call with the id back, and returns the call; nil if it has ended.
func (c *Client) take(id uint32) *pending {
	c.mu.Lock()
	p := c.findLocked(id)
	if p == nil {
		c.mu.Unlock()
		return nil
	}
	i := id & (maxSlots - 1)
	c.slots[i].p = nil
	c.slots[i].generation++
	c.free = append(c.free, i)
	c.inFlight--
	c.slotFree.NextLocked()
	idle := c.draining && c.inFlight == 0
	c.mu.Unlock()
	if idle {
		// The frames of the last call may still be on their way; none of them matters.
		c.Close()
	}
	return p
}

// find returns the call with the id; nil if it has ended.
func (c *Client) find(id uint32) *pending {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.findLocked(id)
}

func (c *Client) findLocked(id uint32) *pending {
	i := id & (maxSlots - 1)
	if int(i) < len(c.slots) && c.slots[i].p != nil && c.slots[i].p.id == id {
		return c.slots[i].p
	}
	return nil
}

// Call makes a call and waits for its answer. The error is an *Error, or ctx's.
func (c *Client) Call(ctx context.Context, r *Request) (Reply, error) {
	p, ok := c.used.Get().(*pending)
	if !ok {
		p = &pending{answered: make(chan struct{}, 1)}
	}
	if err := c.send(ctx, p, r); err != nil {
		return Reply{}, err
	}
	select {
	case <-p.answered:
	case <-ctx.Done():
		if c.abandon(p) {
			return Reply{}, ctx.Err()
		}
		<-p.answered
	}

	reply, err := p.outcome()
	*p = pending{answered: p.answered}
	c.used.Put(p)
	return reply, err
}

// Stream begins a call that is answered by a stream. Its errors mean that nothing was executed.
func (c *Client) Stream(ctx context.Context, r *Request) (*Feed, error) {
	p := &pending{}
	p.feed = newFeed(c, p)
	if err := c.send(ctx, p, r); err != nil {
		return nil, err
	}
	return p.feed, nil
}

// send sends the request of p, when its turn has come. Its errors mean that nothing was executed;
// an answer that needs no server is in p.
func (c *Client) send(ctx context.Context, p *pending, r *Request) error {
	h := wire.Header{Type: wire.TypeRequest}
	var scratch [128]byte
	head, flags, err := wire.AppendSections(scratch[:wire.HeaderSize], r.Trace, r.Meta)
	if err != nil {
		p.finish(textReply(codegen.StatusBadArgs, "%v", err), nil)
		return nil
	}
	h.Flags = flags
	if r.Idempotent {
		h.Flags |= wire.FlagIdempotent
	}
	size := len(head) - wire.HeaderSize + len(r.Args)
	if uint64(size) > c.link.Peer.MaxMessage {
		p.finish(textReply(codegen.StatusBadArgs, "a request of %d bytes exceeds the replica's limit of %d", size, c.link.Peer.MaxMessage), nil)
		return nil
	}
	p.tx.Credit = int64(c.link.Peer.CallWindow)
	p.rx.Left = int64(c.link.Options.CallWindow)
	if size > shortBody {
		sections := append([]byte(nil), head[wire.HeaderSize:]...)
		p.out = &link.Outgoing{Header: h, Head: sections, Body: r.Args, Flow: &p.tx}
	}
	if h.Code, err = c.enter(ctx, p, r.Method); err != nil {
		return c.unsent(ctx, err)
	}
	if deadline, ok := ctx.Deadline(); ok {
		left := time.Until(deadline)
		if left <= 0 {
			c.leave(p)
			return context.DeadlineExceeded
		}
		h.Aux = wire.TimeLeftAux(left)
	}
	c.link.Wake()
	how := link.Try
	if ctx.Done() == nil { // only who may wait for ever may be kept by a write
		how = link.Self
	}
	if p.out != nil {
		p.out.Header.Code, p.out.Header.Aux = h.Code, h.Aux
		err = c.link.Out.SendMessage(p.out, how)
	} else {
		h.Call, h.Length = p.id, uint32(size)
		h.Put(head)
		err = c.link.Out.Send(ctx, head, r.Args, how)
	}
	if err != nil {
		c.leave(p)
		return c.unsent(ctx, err)
	}
	return nil
}

// unsent is the error of a request that did not leave: that of its context, or an *Error.
func (c *Client) unsent(ctx context.Context, err error) error {
	if ended := ctx.Err(); ended != nil {
		return fmt.Errorf("%w while waiting for a turn to call %s", ended, c.addr)
	}
	return &Error{Addr: c.addr, Err: err}
}

// abandon ends a call that nobody waits for any more, and reports false if it had ended
// already. The server is told.
func (c *Client) abandon(p *pending) bool {
	if !c.leave(p) {
		return false
	}
	if p.out != nil {
		c.link.Out.Drop(p.out)
	}
	c.cancel(p.id)
	return true
}

func (c *Client) cancel(id uint32) {
	var b [wire.HeaderSize]byte
	c.link.Out.SendControl(wire.AppendCancel(b[:0], id))
}

// finish sets the outcome of a call whose slot has been given back, or of one that never had
// one. A plain call is its caller's from then on.
func (p *pending) finish(reply Reply, err error) {
	p.reply, p.err = reply, err
	if p.feed != nil {
		p.feed.end()
		return
	}
	p.answered <- struct{}{}
}

// outcome returns how the call has ended. Its caller joins a long answer: other answers wait for whoever reads.
func (p *pending) outcome() (Reply, error) {
	if p.err == nil && p.message != nil && p.message.Done() {
		p.reply.Body = p.message.Body()
	}
	return p.reply, p.err
}

// settle ends the call with an id on the reading goroutine, unless it has ended. If its request has not
// left completely, the server must be told that the rest is not coming.
func (c *Client) settle(id uint32, reply Reply, err error) {
	p := c.take(id)
	if p == nil {
		return
	}
	if p.out != nil && c.link.Out.Drop(p.out) {
		c.cancel(id)
	}
	p.finish(reply, err)
}

// handle is given every frame that concerns a call.
func (c *Client) handle(f wire.Frame) error {
	switch f.Type {
	case wire.TypeResponse, wire.TypeData:
		if f.Cost() > 0 {
			if p := c.find(f.Call); p != nil {
				return c.receive(p, f)
			}
			return nil // late
		}
		if !f.Whole() && c.find(f.Call) == nil {
			return nil // late
		}
		body, err := c.link.Stay(f)
		if err == nil {
			c.settle(f.Call, Reply{Status: codegen.Status(f.Code), Body: body}, nil)
		}
		return err
	case wire.TypeCredit:
		if p := c.find(f.Call); p != nil {
			return c.link.Grant(&p.tx, f)
		}
		return nil
	case wire.TypeGoAway:
		g := wire.ParseGoAway(f)
		if g.Reason != wire.ReasonDrain {
			return fmt.Errorf("the peer ended the connection: %s", g.Text)
		}
		c.Retire()
		return nil
	}
	return wire.Violation(fmt.Sprintf("%s from a server", f.Type))
}

// receive handles DATA, or a chunk of a RESPONSE, of a call that waits for it.
func (c *Client) receive(p *pending, f wire.Frame) error {
	cost := f.Cost()
	if !p.takeCredit(cost) {
		return wire.Violation("more data than the call has credit for")
	}
	var body []byte
	first := f.Header
	switch {
	case f.Type == wire.TypeData && p.feed == nil:
		c.settle(f.Call, textReply(codegen.StatusBadArgs, "the replica sends a stream to a call that expects one answer"), nil)
		c.cancel(f.Call)
		return nil
	case f.Type == wire.TypeResponse && f.Flags&wire.FlagCont == 0:
		p.message = nil // an element that was not finished never will be
	}
	switch {
	case f.First() && p.message == nil:
		if total := wire.Total(f); total > uint64(c.link.Options.MaxMessage) {
			c.settle(f.Call, textReply(codegen.StatusBadArgs, "an answer of %d bytes exceeds the caller's limit of %d", total, c.link.Options.MaxMessage), nil)
			c.cancel(f.Call)
			return nil
		}
		memory := c.link.Options.CallWindow
		if p.feed == nil {
			var credit uint32
			memory, credit = p.rx.Expect(wire.Total(f), memory)
			c.link.SendCredit(p.id, credit)
		}
		var err error
		p.message, err = wire.NewMessage(f, memory)
		c.received(p, cost)
		return err
	case p.message != nil:
		if err := p.message.Add(f); err != nil {
			return err
		}
		if !p.message.Done() {
			c.received(p, cost)
			return nil
		}
		if first = p.message.First; first.Type == wire.TypeData {
			p.feed.push(element{message: p.message, cost: cost})
			p.message = nil
			return nil
		}
	case f.Flags&wire.FlagCont != 0:
		return wire.Violation(fmt.Sprintf("continuation of a %s that was not started", f.Type))
	default:
		var err error
		if body, err = c.link.Stay(f); err != nil {
			return err
		}
	}
	if f.Type == wire.TypeData {
		p.feed.push(element{b: body, cost: cost})
		return nil
	}
	c.settle(f.Call, Reply{Status: codegen.Status(first.Code), Body: body}, nil)
	return nil
}

// takeCredit accounts for what has arrived for the call.
func (p *pending) takeCredit(cost int64) bool {
	if p.feed != nil {
		return p.feed.take(cost)
	}
	return p.rx.Take(cost)
}

// received gives credit back for a chunk that has been added to a message.
func (c *Client) received(p *pending, cost int64) {
	if p.feed != nil && p.message.First.Type == wire.TypeData {
		p.feed.part(cost)
		return
	}
	if p.feed != nil {
		c.link.SendCredit(p.id, p.feed.give(cost))
		return
	}
	c.link.SendCredit(p.id, p.rx.Give(cost, c.link.Options.CallWindow))
}
