package call

import (
	"context"
	"errors"
	"fmt"
	"net"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"time"

	"github.com/divisi-go/divisi/codegen"
	"github.com/divisi-go/divisi/internal/call/link"
	"github.com/divisi-go/divisi/internal/trace"
	"github.com/divisi-go/divisi/internal/wire"
)

const (
	// assemblies is how many messages of the longest length may arrive in chunks on one
	// connection at a time; requests beyond that are answered OVERLOADED.
	assemblies = 4
	overhead   = 4 << 10 // what even a short one counts
)

// session is the server's end of a connection.
type session struct {
	link   *link.Link
	s      *Server
	ctx    context.Context
	cancel context.CancelFunc
	who    Peer
	last   atomic.Uint32 // the call accepted last
	ended  func(error)   // told why the connection has ended, when it has
	turn   reading

	mu     sync.Mutex
	calls  map[uint32]*incomingCall // that wait for their answer
	active int                      // these, and cancelled ones whose handlers still run

	// The reading goroutine's:
	methods    map[uint16]*method
	parts      map[uint32]*part
	assembling uint64 // bytes that the messages in parts may come to
}

// part is a request of which not all chunks have arrived.
type part struct {
	message *wire.Message // nil: refused, what still comes is dropped
	rx      link.Inflow
	arrived time.Time
	budget  uint64
}

// incomingCall is a call being executed or answered.
type incomingCall struct {
	ss     *session
	id     uint32
	cancel context.CancelFunc
	tx     link.Outflow   // the writer's
	out    *link.Outgoing // being sent; the session's mutex
	gone   bool           // the caller takes no answer; the session's mutex

	method *method
	here   bool // runs on the goroutine that reads
	more   bool // requests are here that will be answered soon
	timed  bool // what the handler takes is to be learned
}

func newSession(s *Server, nc net.Conn, who Peer, hello wire.Hello) *session {
	ss := &session{
		s: s, who: who, calls: map[uint32]*incomingCall{}, methods: map[uint16]*method{}, parts: map[uint32]*part{},
	}
	// Calls are cancelled after the connection has been cut, never before: what a handler
	// makes of its cancelled context is nothing a caller should take for an answer.
	ss.ctx, ss.cancel = context.WithCancel(context.Background())
	ss.link = link.New(nc, &s.o.Conn, hello, ss.inFlight)
	ss.turn.next = ss.serve
	return ss
}

// run reads until the connection ends or another goroutine reads on. The end cancels its calls.
func (ss *session) run(ended func(error)) {
	ss.ended = ended
	ss.s.add(ss)
	ss.serve()
}

func (ss *session) serve() {
	err := ss.link.Serve(ss.handle)
	if err == link.ErrLeft {
		return
	}
	ss.cancel()
	ss.s.remove(ss)
	ss.ended(err)
}

// worthLogging tells the end of a connection that somebody should know of from a caller that
// has hung up.
func worthLogging(err error) bool {
	_, violated := errors.AsType[wire.Violation](err)
	return violated || errors.Is(err, link.ErrSilent) || errors.Is(err, link.ErrStalled) || errors.Is(err, link.ErrSlowPeer)
}

func (ss *session) inFlight() int {
	ss.mu.Lock()
	defer ss.mu.Unlock()
	return len(ss.calls)
}

func (ss *session) goAway() {
	g := wire.GoAway{Reason: wire.ReasonDrain, Last: ss.last.Load(), Text: "this replica takes no new calls"}
	ss.link.Out.SendControl(g.Append(nil))
}

func (ss *session) handle(f wire.Frame) error {
	switch f.Type {
	case wire.TypeBind:
		index, key := wire.ParseBind(f.Body)
		if _, ok := ss.methods[index]; ok {
			return wire.Violation(fmt.Sprintf("method %d is bound twice", index))
		}
		m := &method{key: key}
		m.takes.Store(int64(unknown))
		ss.methods[index] = m
		return nil
	case wire.TypeRequest:
		if f.Flags&wire.FlagCont != 0 {
			return ss.proceed(f)
		}
		return ss.begin(f)
	case wire.TypeCancel:
		ss.cancelled(f.Call)
		return nil
	case wire.TypeCredit:
		ss.mu.Lock()
		c := ss.calls[f.Call]
		ss.mu.Unlock()
		if c != nil {
			return ss.link.Grant(&c.tx, f)
		}
		return nil
	case wire.TypeGoAway:
		return nil // a caller says so by hanging up
	}
	return wire.Violation(fmt.Sprintf("%s from a caller", f.Type))
}

// begin handles the first frame of a request.
func (ss *session) begin(f wire.Frame) error {
	ss.mu.Lock()
	known, active := ss.calls[f.Call] != nil, ss.active
	ss.mu.Unlock()
	if known || ss.parts[f.Call] != nil {
		return wire.Violation(fmt.Sprintf("call %#x is begun twice", f.Call))
	}
	now := time.Now()
	cost, most := uint64(len(f.Body)), uint64(ss.link.Options.MaxMessage)
	var p *part
	if f.First() {
		p = &part{arrived: now}
		cost = wire.Total(f)
	}

	switch {
	case cost > most:
		ss.refuse(f.Call, textReply(codegen.StatusBadArgs, "a request of %d bytes exceeds the replica's limit of %d", cost, most))
	case ss.s.draining.Load():
		ss.refuse(f.Call, Reply{Status: codegen.StatusDraining})
	case active+len(ss.parts) >= ss.link.Options.MaxInFlight, f.First() && ss.assembling+cost > assemblies*most+overhead:
		ss.refuse(f.Call, Reply{Status: codegen.StatusOverloaded})
	case !f.First():
		return ss.start(f.Header, append(make([]byte, 0, len(f.Body)), f.Body...), now)
	default:
		window := ss.link.Options.CallWindow
		p.rx.Left, p.rx.Used = int64(window)-f.Cost(), f.Cost()
		memory, credit := p.rx.Expect(cost, window)
		var err error
		if p.message, err = wire.NewMessage(f, memory); err != nil {
			return err
		}
		ss.link.SendCredit(f.Call, credit)
		p.budget = cost
		ss.assembling += cost
	}

	if p != nil {
		if len(ss.parts) >= 2*ss.link.Options.MaxInFlight {
			return wire.Violation("too many requests that are not finished")
		}
		ss.parts[f.Call] = p
	}
	return nil
}

// proceed handles another chunk of a request.
func (ss *session) proceed(f wire.Frame) error {
	p := ss.parts[f.Call]
	if p == nil {
		return wire.Violation("continuation of a REQUEST that was not started")
	}
	if p.message != nil {
		if !p.rx.Take(f.Cost()) {
			return wire.Violation("more data than the call has credit for")
		}
		if err := p.message.Add(f); err != nil {
			return err
		}
	}
	if f.Flags&wire.FlagMore != 0 {
		if p.message != nil {
			ss.link.SendCredit(f.Call, p.rx.Give(f.Cost(), ss.link.Options.CallWindow))
		}
		return nil
	}
	ss.forget(f.Call, p)
	switch {
	case p.message == nil:
	case ss.s.draining.Load():
		ss.refuse(f.Call, Reply{Status: codegen.StatusDraining})
	default:
		return ss.start(p.message.First, p.message.Body(), p.arrived)
	}
	return nil
}

func (ss *session) forget(id uint32, p *part) {
	delete(ss.parts, id)
	ss.assembling -= p.budget
}

// cancelled ends what the caller does not want any more.
func (ss *session) cancelled(id uint32) {
	if p := ss.parts[id]; p != nil {
		ss.forget(id, p)
		return
	}
	ss.mu.Lock()
	c := ss.calls[id]
	if c == nil {
		ss.mu.Unlock()
		return
	}
	delete(ss.calls, id)
	c.gone = true
	out := c.out
	ss.mu.Unlock()
	c.cancel()
	if out != nil {
		ss.link.Out.Drop(out)
	}
	ss.s.note()
}

// refuse answers a call that is not executed, from the reading goroutine.
func (ss *session) refuse(id uint32, r Reply) {
	ss.s.calls.Add(1)
	ss.s.errors.Add(1)
	ss.link.Out.SendControl(append(ss.header(id, r).Append(nil), r.Body...))
}

func (ss *session) header(id uint32, r Reply) wire.Header {
	return wire.Header{
		Length: uint32(len(r.Body)), Call: id, Code: uint16(r.Status), Type: wire.TypeResponse,
		Aux: wire.LoadAux(int(ss.s.running.Load())),
	}
}

// start executes a request that has arrived completely: here if its method has proved fast, or else on
// a goroutine of its own.
func (ss *session) start(h wire.Header, body []byte, arrived time.Time) error {
	m, bound := ss.methods[h.Code]
	trace, meta, args, err := wire.ParseSections(h.Flags, body)
	left, bounded := wire.TimeLeft(h.Aux)
	deadline := arrived.Add(left)
	switch {
	case !bound:
		ss.refuse(h.Call, textReply(codegen.StatusUnimplemented, "method %d was not bound", h.Code))
		return nil
	case err != nil:
		ss.refuse(h.Call, textReply(codegen.StatusBadArgs, "%v", err))
		return nil
	case bounded && !time.Now().Before(deadline):
		ss.refuse(h.Call, Reply{Status: codegen.StatusDeadline})
		return nil
	case ss.s.running.Add(1) > int64(ss.s.o.MaxInFlight):
		ss.s.running.Add(-1)
		ss.refuse(h.Call, Reply{Status: codegen.StatusOverloaded})
		return nil
	}
	c := &incomingCall{ss: ss, id: h.Call, method: m}
	c.tx.Credit = int64(ss.link.Peer.CallWindow)
	var ctx context.Context
	if bounded {
		ctx, c.cancel = context.WithDeadline(ss.ctx, deadline)
	} else {
		ctx, c.cancel = context.WithCancel(ss.ctx)
	}
	ss.mu.Lock()
	ss.calls[h.Call] = c
	ss.active++
	ss.mu.Unlock()
	ss.last.Store(h.Call)
	ss.link.Wake()
	in := &Incoming{Method: m.key, Args: args, Trace: trace, Meta: meta, Peer: ss.who, ctx: ctx, call: c}
	if m.isFast() && len(body) <= shortBody {
		return ss.executeHere(c, ctx, in)
	}
	c.timed = true
	go c.execute(ctx, in)
	return nil
}

// executeHere executes a call on the goroutine that reads. Its answer waits for those of the requests
// that are here already.
func (ss *session) executeHere(c *incomingCall, ctx context.Context, in *Incoming) error {
	m := c.method
	m.calls++
	c.here, c.timed = true, m.calls%sampled == 0
	c.more = ss.link.More() && m.calls%together != 0
	reads := false
	defer func() {
		if !reads {
			m.takes.Store(int64(unknown))
			ss.link.Out.Flush() // whoever reads now may have done so before the answer was there
		}
	}()
	if reads = ss.turn.lend(func() { c.execute(ctx, in) }); !reads {
		return link.ErrLeft
	}
	return nil
}

// execute runs the handler and sends its answer.
func (c *incomingCall) execute(ctx context.Context, in *Incoming) {
	s := c.ss.s
	s.calls.Add(1)
	reply := Reply{Status: codegen.StatusPanic}
	returned := false
	defer func() {
		if p := recover(); p != nil {
			reply.Body = fmt.Append(nil, p)
			s.o.Logger.Error("a call panicked", "err", p, "stack", string(debug.Stack()))
		}
		if !returned && reply.Body == nil {
			reply.Body = []byte("the handler ended its goroutine")
		}
		c.cancel()
		s.running.Add(-1)
		if size, most := uint64(len(reply.Body)), c.ss.link.Peer.MaxMessage; size > most {
			reply = textReply(codegen.StatusBadArgs, "a result of %d bytes exceeds the caller's limit of %d", size, most)
		}
		if reply.Status > codegen.StatusAppError {
			s.errors.Add(1)
		}
		if c.here && len(reply.Body) > shortBody {
			go c.answer(reply) // which may take as long as the caller likes
		} else {
			c.answer(reply)
		}
	}()
	handler := s.o.Lookup(in.Peer, in.Method)
	if handler == nil {
		reply = textReply(codegen.StatusUnimplemented, "the replica has no method %x", in.Method)
		returned = true
		return
	}
	if !c.timed {
		reply = handler(ctx, in)
		returned = true
		return
	}
	began := time.Now()
	reply = handler(ctx, in)
	c.method.learn(time.Since(began))
	returned = true
}

// answer sends the reply, unless nobody waits for it any more.
func (c *incomingCall) answer(r Reply) {
	ss := c.ss
	defer ss.s.note()
	if r.Spent != nil {
		defer r.Spent(r.Body)
	}
	h := ss.header(c.id, r)
	if len(r.Body) > wire.MaxChunk {
		out := &link.Outgoing{Header: h, Body: r.Body, Flow: &c.tx, Done: make(chan struct{})}
		if c.sending(out) && ss.link.Out.SendMessage(out, link.Self) == nil {
			<-out.Done
		}
		c.leave()
		return
	}
	if !c.leave() {
		return
	}
	how := link.Self
	if c.more {
		how = link.Later
	}
	var head [wire.HeaderSize]byte
	ss.link.Out.Send(ss.ctx, h.Append(head[:0]), r.Body, how)
}

// sending notes what is being sent, and reports whether the caller still wants it.
func (c *incomingCall) sending(out *link.Outgoing) bool {
	c.ss.mu.Lock()
	defer c.ss.mu.Unlock()
	c.out = out
	return !c.gone
}

// leave ends the call, and reports whether the caller still waited.
func (c *incomingCall) leave() bool {
	c.ss.mu.Lock()
	defer c.ss.mu.Unlock()
	c.ss.active--
	wanted := !c.gone
	c.gone = true
	if wanted {
		delete(c.ss.calls, c.id)
	}
	return wanted
}

// Incoming is a call that has arrived.
type Incoming struct {
	Method codegen.Key
	Args   []byte // belongs to the handler
	Trace  trace.SpanContext
	Meta   map[string]string
	Peer   Peer

	ctx  context.Context
	call *incomingCall
}

// Send sends one element of a stream. It returns once elem may be reused, which takes as long
// as the caller leaves the credit of its stream unused. Its error, once the caller has gone or
// the call's context has ended, is not to be sent to anybody. One goroutine at a time may use
// it, and only until the handler returns.
func (in *Incoming) Send(elem []byte) error {
	c := in.call
	ss := c.ss
	if err := in.ctx.Err(); err != nil {
		return in.unsent(err)
	}
	if uint64(len(elem)) > ss.link.Peer.MaxMessage {
		return fmt.Errorf("cannot send an element of %d bytes: the caller's limit is %d", len(elem), ss.link.Peer.MaxMessage)
	}
	out := &link.Outgoing{
		Header: wire.Header{Call: c.id, Type: wire.TypeData}, Body: elem, Flow: &c.tx, Done: make(chan struct{}),
	}
	if !c.sending(out) {
		return in.unsent(ErrPeerGone)
	}
	if err := ss.link.Out.SendMessage(out, link.Self); err != nil {
		return in.unsent(err)
	}
	select {
	case <-out.Done:
	case <-in.ctx.Done():
		ss.link.Out.Drop(out)
		<-out.Done
	}
	if out.Err != nil {
		return in.unsent(out.Err)
	}
	return nil
}

func (in *Incoming) unsent(err error) error {
	if ended := in.ctx.Err(); ended != nil {
		err = ended
	}
	return fmt.Errorf("cannot send an element to the caller: %w", err)
}
