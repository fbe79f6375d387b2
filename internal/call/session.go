package call

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/divisi-go/divisi/codegen"
	"github.com/divisi-go/divisi/internal/call/admission"
	"github.com/divisi-go/divisi/internal/call/link"
	"github.com/divisi-go/divisi/internal/wire"
)

const (
	// assemblies is how many messages of the longest length may arrive in chunks on one
	// connection at a time; requests beyond that are answered OVERLOADED.
	assemblies = 4
	overhead   = 4 << 10 // what even a short one counts
	// unfinished is how much memory all messages may take together of which chunks are missing; requests
	// that begin beyond that are answered OVERLOADED.
	unfinished = 512 << 20

	// madeAtOnce is how many calls are made at a time: a handler that keeps the context of one keeps
	// those of so many from being collected.
	madeAtOnce = 32
)

// toCome are calls to come, made several at a time, which costs less. All connections share them: one that
// is idle has none.
var toCome = sync.Pool{New: func() any { return new(batch) }}

// batch is calls of which so many have been used.
type batch struct {
	used  int
	calls [madeAtOnce]Incoming
}

// session is the server's end of a connection.
type session struct {
	link   *link.Link
	s      *Server
	ctx    context.Context
	cancel context.CancelFunc
	who    *Peer
	last   atomic.Uint32 // the call accepted last
	ended  func(error)   // told why the connection has ended, when it has
	turn   reading
	line   admission.Line // the entrance's

	mu     sync.Mutex
	calls  map[uint32]*Incoming // that wait for their answer
	active int                  // these, and cancelled ones whose handlers still run

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
	memory  int64 // that the message takes
}

func newSession(s *Server, nc net.Conn, who Peer, hello wire.Hello) *session {
	ss := &session{
		s: s, who: &who, calls: map[uint32]*Incoming{}, methods: map[uint16]*method{}, parts: map[uint32]*part{},
	}
	// Calls are cancelled after the connection has been cut, never before: what a handler
	// makes of its cancelled context is nothing a caller should take for an answer.
	ss.ctx, ss.cancel = context.WithCancel(context.Background())
	ss.link = link.New(nc, &s.o.Conn, hello, ss.inFlight)
	ss.turn.next = ss.serve
	return ss
}

// open has a goroutine read, which has nothing else on its stack as long as the connection is idle.
func (ss *session) open(ended func(error)) {
	ss.ended = ended
	ss.s.add(ss)
	go ss.serve()
}

// serve reads until the connection ends or another goroutine reads on. The end cancels its calls.
func (ss *session) serve() {
	err := ss.link.Serve(ss.handle)
	if err == link.ErrLeft {
		return
	}
	for id, p := range ss.parts {
		ss.forget(id, p)
	}
	ss.s.entrance.clear(ss)
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
		m := &method{key: key, handler: ss.s.o.Lookup(*ss.who, key)}
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
	cost, most := uint64(f.Length), uint64(ss.link.Options.MaxMessage)
	var p *part
	if f.First() {
		p = &part{arrived: time.Now()}
		cost = wire.Total(f)
	}

	switch {
	case cost > most:
		ss.refuse(f.Call, textReply(codegen.StatusBadArgs, "a request of %d bytes exceeds the replica's limit of %d", cost, most))
	case ss.s.draining.Load():
		ss.refuse(f.Call, Reply{Status: codegen.StatusDraining})
	case active+len(ss.parts) >= ss.link.Options.MaxInFlight, f.First() && ss.assembling+cost > assemblies*most+overhead,
		f.First() && ss.s.unfinished.Load() > unfinished:
		ss.refuse(f.Call, textReply(codegen.StatusOverloaded, tooMany))
	case !f.First() && f.Whole():
		return ss.start(f.Header, f.Body, time.Time{}, false, nil)
	case !f.First():
		arrived := time.Now()
		body, err := ss.link.Stay(f)
		if err != nil {
			return err
		}
		return ss.start(f.Header, body, arrived, true, nil)
	default:
		window := ss.link.Options.CallWindow
		p.rx.Left, p.rx.Used = int64(window)-f.Cost(), f.Cost()
		memory, credit := p.rx.Expect(cost, window)
		if len(f.Body) < wire.MaxChunk/2 { // not what a caller sends who means it
			memory = len(f.Body)
		}
		var err error
		if p.message, err = wire.NewMessage(f, memory); err != nil {
			return err
		}
		ss.link.SendCredit(f.Call, credit)
		p.budget = cost
		ss.assembling += cost
		ss.hold(p)
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
		ss.hold(p)
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
		return ss.start(p.message.First, p.message.Head(), p.arrived, true, p.message)
	}
	return nil
}

// hold accounts for the memory of a message of which chunks are missing.
func (ss *session) hold(p *part) {
	memory := int64(p.message.Memory())
	ss.s.unfinished.Add(memory - p.memory)
	p.memory = memory
}

func (ss *session) forget(id uint32, p *part) {
	delete(ss.parts, id)
	ss.assembling -= p.budget
	ss.s.unfinished.Add(-p.memory)
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
	c.life.End()
	ss.s.entrance.withdraw(c)
	if out != nil {
		ss.link.Out.Drop(out)
	}
	ss.s.note()
}

// refuse answers a call that is not executed.
func (ss *session) refuse(id uint32, r Reply) {
	ss.s.calls.Add(1)
	ss.s.errors.Add(1)
	if r.Status == codegen.StatusOverloaded {
		ss.s.shed.Add(1)
	}
	ss.link.Out.SendControl(append(ss.header(id, r).Append(nil), r.Body...))
}

func (ss *session) header(id uint32, r Reply) wire.Header {
	return wire.Header{
		Length: uint32(len(r.Body)), Call: id, Code: uint16(r.Status), Type: wire.TypeResponse,
		Aux: wire.LoadAux(int(ss.s.running.Load())),
	}
}

// start executes a request that has arrived completely: here if its method has proved fast, or else on
// a goroutine of its own. That it arrived at the zero time means just now: to read the clock may take as long as
// a method that is fast, so that is done where the time counts. The body may stay where it is, or must be copied.
// That of a message in chunks is its head; the handler's goroutine joins the rest.
func (ss *session) start(h wire.Header, body []byte, arrived time.Time, stays bool, whole *wire.Message) error {
	m, bound := ss.methods[h.Code]
	trace, meta, args, err := wire.ParseSections(h.Flags, body)
	here := bound && m.isFast() && len(body) <= shortBody
	left, bounded := wire.TimeLeft(h.Aux)
	late := bounded && !arrived.IsZero() && time.Since(arrived) >= left
	if arrived.IsZero() && (bounded || !here) {
		arrived = time.Now()
	}
	var deadline time.Time
	if bounded {
		deadline = arrived.Add(left)
	}

	switch {
	case !bound:
		ss.refuse(h.Call, textReply(codegen.StatusUnimplemented, "method %d was not bound", h.Code))
		return nil
	case err != nil:
		ss.refuse(h.Call, textReply(codegen.StatusBadArgs, "%v", err))
		return nil
	case late:
		ss.refuse(h.Call, Reply{Status: codegen.StatusDeadline})
		return nil
	case ss.s.running.Add(1) > int64(ss.s.o.MaxInFlight):
		ss.s.running.Add(-1)
		ss.refuse(h.Call, textReply(codegen.StatusOverloaded, tooMuch))
		return nil
	}

	if !stays {
		args = ss.link.Keep(args)
	}
	in := incoming()
	in.Method, in.Args, in.Trace, in.Meta, in.Peer = m.key, args, trace, meta, ss.who
	in.session, in.id, in.method = ss, h.Call, m
	in.whole, in.front = whole, len(body)-len(args)
	in.life.Begin(ss.ctx, deadline)
	in.tx.Credit = int64(ss.link.Peer.CallWindow)
	ss.mu.Lock()
	ss.calls[h.Call] = in
	ss.active++
	ss.mu.Unlock()
	ss.last.Store(h.Call)
	ss.link.Wake()

	if here {
		return ss.executeHere(in)
	}
	in.timed = true
	ss.s.entrance.enter(in, arrived)
	return nil
}

// incoming returns a new call. A handler may keep its context, so none is used twice.
func incoming() *Incoming {
	b := toCome.Get().(*batch)
	in := &b.calls[b.used]
	if b.used++; b.used < madeAtOnce {
		toCome.Put(b)
	}
	return in
}

// executeHere executes a call on the goroutine that reads. Its answer waits for those of the requests
// that are here already.
func (ss *session) executeHere(in *Incoming) error {
	m := in.method
	m.calls++
	in.here, in.timed = true, m.calls%sampled == 0
	in.more = ss.link.More() && m.calls%together != 0
	reads := false
	defer func() {
		if !reads {
			m.takes.Store(int64(unknown))
			ss.link.Out.Flush() // whoever reads now may have done so before the answer was there
		}
	}()
	if reads = ss.turn.lend(in); !reads {
		return link.ErrLeft
	}
	return nil
}
