package call

import (
	"fmt"
	"runtime/debug"
	"time"

	"github.com/divisi-go/divisi/codegen"
	"github.com/divisi-go/divisi/internal/call/admission"
	"github.com/divisi-go/divisi/internal/call/lifetime"
	"github.com/divisi-go/divisi/internal/call/link"
	"github.com/divisi-go/divisi/internal/trace"
	"github.com/divisi-go/divisi/internal/wire"
)

// Incoming is a call that has arrived. It is a handler's until that returns, and its Args even longer.
type Incoming struct {
	Method codegen.Key
	Args   []byte // belongs to the handler
	Trace  trace.SpanContext
	Meta   map[string]string
	Peer   *Peer // the same for all calls on a connection

	Carrier trace.Carrier // for the handler, which may make it its context

	session *session
	id      uint32
	method  *method
	life    lifetime.Lifetime
	tx      link.Outflow   // the writer's
	out     *link.Outgoing // being sent; the session's mutex
	gone    bool           // the caller takes no answer; the session's mutex

	whole *wire.Message // Args are in it, after so many bytes, until the handler is called; nil if they came in one frame
	front int

	place *admission.Call // at the entrance; nil if it runs on the goroutine that reads

	here  bool // runs on the goroutine that reads
	more  bool // requests are here that will be answered soon
	timed bool // what the handler takes is to be learned
}

// execute runs the handler and sends its answer.
func (in *Incoming) execute() {
	s := in.session.s
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
		in.end(reply)
	}()
	reply = in.handle()
	returned = true
}

// handle runs the handler.
func (in *Incoming) handle() Reply {
	m := in.method
	if m.handler == nil {
		return textReply(codegen.StatusUnimplemented, "the replica has no method %x", in.Method)
	}
	if in.whole != nil {
		in.Args, in.whole = in.whole.Body()[in.front:], nil
	}
	if !in.timed {
		return m.handler(&in.life, in)
	}
	began := time.Now()
	reply := m.handler(&in.life, in)
	m.learn(time.Since(began))
	return reply
}

// end ends a call whose handler has ended.
func (in *Incoming) end(reply Reply) {
	ss := in.session
	s := ss.s
	in.life.End()
	in.Args, in.Meta, in.whole = nil, nil, nil // whatever keeps the context does not keep these
	s.running.Add(-1)
	s.entrance.leave(in)
	if size, most := uint64(len(reply.Body)), ss.link.Peer.MaxMessage; size > most {
		reply = textReply(codegen.StatusBadArgs, "a result of %d bytes exceeds the caller's limit of %d", size, most)
	}
	if reply.Status > codegen.StatusAppError {
		s.errors.Add(1)
	}
	if in.here && len(reply.Body) > shortBody {
		go in.answer(reply) // which may take as long as the caller likes
		return
	}
	in.answer(reply)
}

// answer sends the reply, unless nobody waits for it any more.
func (in *Incoming) answer(r Reply) {
	ss := in.session
	defer ss.s.note()
	if r.Spent != nil {
		defer r.Spent(r.Body)
	}
	h := ss.header(in.id, r)
	if len(r.Body) > shortBody {
		in.answerLong(h, r.Body)
		return
	}
	if !in.leave() {
		return
	}
	how := link.Self
	if in.more {
		how = link.Later
	}
	var head [wire.HeaderSize]byte
	ss.link.Out.Send(ss.ctx, h.Append(head[:0]), r.Body, how)
}

// answerLong sends a long answer, unless the caller has withdrawn it.
func (in *Incoming) answerLong(h wire.Header, body []byte) {
	out := &link.Outgoing{Header: h, Body: body, Flow: &in.tx, Done: make(chan struct{})}
	wanted := in.leave
	if len(body) > wire.MaxBody { // in chunks: credit for it may come, and a CANCEL may stop it
		wanted = func() bool { return in.sending(out) }
		defer in.leave()
	}
	if wanted() && in.session.link.Out.SendMessage(out, link.Self) == nil {
		<-out.Done
	}
}

// sending notes what is being sent, and reports whether the caller still wants it.
func (in *Incoming) sending(out *link.Outgoing) bool {
	in.session.mu.Lock()
	defer in.session.mu.Unlock()
	in.out = out
	return !in.gone
}

// leave ends the call, and reports whether the caller still waited.
func (in *Incoming) leave() bool {
	in.session.mu.Lock()
	defer in.session.mu.Unlock()
	in.session.active--
	wanted := !in.gone
	in.gone = true
	if wanted {
		delete(in.session.calls, in.id)
	}
	return wanted
}

// Send sends one element of a stream. It returns once elem may be reused, which takes as long
// as the caller leaves the credit of its stream unused. Its error, once the caller has gone or
// the call's context has ended, is not to be sent to anybody. One goroutine at a time may use
// it, and only until the handler returns.
func (in *Incoming) Send(elem []byte) error {
	ss := in.session
	if err := in.life.Err(); err != nil {
		return in.unsent(err)
	}
	if uint64(len(elem)) > ss.link.Peer.MaxMessage {
		return fmt.Errorf("cannot send an element of %d bytes: the caller's limit is %d", len(elem), ss.link.Peer.MaxMessage)
	}
	out := &link.Outgoing{
		Header: wire.Header{Call: in.id, Type: wire.TypeData}, Body: elem, Flow: &in.tx, Done: make(chan struct{}),
	}
	if !in.sending(out) {
		return in.unsent(ErrPeerGone)
	}
	if err := ss.link.Out.SendMessage(out, link.Self); err != nil {
		return in.unsent(err)
	}
	select {
	case <-out.Done:
	case <-in.life.Done():
		ss.link.Out.Drop(out)
		<-out.Done
	}
	if out.Err != nil {
		return in.unsent(out.Err)
	}
	return nil
}

func (in *Incoming) unsent(err error) error {
	if ended := in.life.Err(); ended != nil {
		err = ended
	}
	return fmt.Errorf("cannot send an element to the caller: %w", err)
}
