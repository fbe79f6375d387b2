// Package pipe is the conversation between an envelope and a weavelet, over any pair of byte
// streams. Either end makes requests with an id x, which are answered with the id -x in any
// order; the weavelet also sends messages that nobody answers, which stay in order.
//
// Nothing that a handler does keeps messages from being read, and nothing that is written keeps
// them either: both ends may flood each other and go on.
package pipe

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/divisi-go/divisi/internal/message"
)

// Bounds of what waits.
const (
	// maxRequests and maxRequestMemory bound the requests that wait or are being answered. A peer that
	// makes more has lost count, and the conversation ends.
	maxRequests      = 1 << 14
	maxRequestMemory = 256 << 20

	// maxUnheard and maxUnheardMemory bound the messages without an answer that wait for their
	// handler. More are dropped and counted: log entries must hold up neither requests nor the
	// weavelet.
	maxUnheard       = 1 << 14
	maxUnheardMemory = 64 << 20
)

// ErrClosed is the error of requests when the conversation is over.
var ErrClosed = errors.New("the conversation with the other process is over")

// ErrRefused is the error of a handshake that the other process refuses, with its reason.
var ErrRefused = errors.New("the other process refuses the conversation")

// errLeft is why a request ends whose asker no longer waits.
var errLeft = errors.New("the other process no longer waits for the answer")

// frame is what the two kinds of messages have in common.
type frame interface {
	*message.EnvelopeMsg | *message.WeaveletMsg
	message.Message
}

// speech is how one end reads and writes what the two kinds of messages have in common.
type speech[In, Out frame] struct {
	newIn   func() In
	newOut  func() Out
	split   func(In) (id int64, failure string)
	setID   func(Out, int64, string)
	dropped func(n int) In     // what stands in for messages that were dropped
	cancels func(In) int64     // the request that the peer no longer waits for, 0 if none
	cancel  func(id int64) Out // says so to the peer; nil if it would not understand
}

// conn is one end: it receives messages of the type In and sends messages of the type Out.
//
// When mu is free:
//   - pending has an entry for each call that waits for its reply, and for no other;
//   - no more than maxRequests requests wait or are being answered;
//   - lost is zero unless there is no room in unheard, or there was none when the last came;
//   - err is nil until over is closed, and never changes afterwards.
type conn[In, Out frame] struct {
	speech[In, Out]
	r io.ReadCloser
	w io.WriteCloser

	writing sync.Mutex // held while a message is written

	mu        sync.Mutex // guards what follows
	last      int64      // the id of the last call
	pending   map[int64]chan In
	requests  queue[In]                         // that wait for serve
	answering map[int64]context.CancelCauseFunc // ends the requests that their handlers have, by id
	asked     int                               // requests that wait or are being answered
	handled   int                               // the memory of those that are being answered
	unheard   queue[In]                         // messages without an answer that wait for serve
	lost      int                               // messages dropped since the last one in unheard
	wanted    sync.Cond                         // requests has another one, or the conversation is over
	told      sync.Cond                         // the same of unheard
	err       error                             // why the conversation is over
	over      chan struct{}

	heard atomic.Bool // something has come since the last call of Heard
}

// newConn returns an end that does not receive yet.
func newConn[In, Out frame](r io.ReadCloser, w io.WriteCloser, s speech[In, Out]) *conn[In, Out] {
	c := &conn[In, Out]{
		speech: s, r: r, w: w,
		pending:   map[int64]chan In{},
		answering: map[int64]context.CancelCauseFunc{},
		over:      make(chan struct{}),
	}
	c.wanted.L, c.told.L = &c.mu, &c.mu
	return c
}

// queue is messages in the order of their arrival.
type queue[In frame] struct {
	list   []arrived[In]
	memory int // of all of them
}

// arrived is a message, and about how much memory it takes.
type arrived[In frame] struct {
	message In
	memory  int
}

func (q *queue[In]) push(a arrived[In]) {
	q.list = append(q.list, a)
	q.memory += a.memory
}

// pop takes the first message, if there is one.
func (q *queue[In]) pop() (a arrived[In], ok bool) {
	if len(q.list) == 0 {
		return a, false
	}
	a, q.list[0] = q.list[0], a
	q.list = q.list[1:]
	q.memory -= a.memory
	return a, true
}

// remove takes out some messages.
func (q *queue[In]) remove(which func(In) bool) {
	q.list = slices.DeleteFunc(q.list, func(a arrived[In]) bool {
		chosen := which(a.message)
		if chosen {
			q.memory -= a.memory
		}
		return chosen
	})
}

// receive reads the first message, of the handshake.
func (c *conn[In, Out]) receive() (In, error) {
	m := c.newIn()
	_, err := message.Read(c.r, m)
	return m, err
}

// read receives until the conversation is over. It waits for nothing else. It begins with the
// handshake and not with serve, because calls may be made, and answered, before.
func (c *conn[In, Out]) read() {
	for {
		m := c.newIn()
		memory, err := message.Read(c.r, m)
		switch {
		case err == io.EOF:
			err = ErrClosed
		case err != nil:
			err = fmt.Errorf("%w: %w", ErrClosed, err)
		default:
			c.heard.Store(true)
			err = c.sort(arrived[In]{m, memory})
		}
		if err != nil {
			c.fail(err)
			return
		}
	}
}

// sort puts a message where it is waited for.
func (c *conn[In, Out]) sort(a arrived[In]) error {
	id, _ := c.split(a.message)
	left := c.cancels(a.message)

	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case id < 0:
		if reply, ok := c.pending[-id]; ok {
			delete(c.pending, -id)
			reply <- a.message
		}
		return nil

	case id > 0:
		if c.asked >= maxRequests || c.requests.memory+c.handled+a.memory > maxRequestMemory {
			return fmt.Errorf("%w: the other side makes more than %d requests at once, or larger ones than %d bytes",
				ErrClosed, maxRequests, maxRequestMemory)
		}
		c.requests.push(a)
		c.asked++
		c.wanted.Signal()

	case left > 0:
		c.abandon(left)
		return nil

	case len(c.unheard.list) >= maxUnheard || c.unheard.memory+a.memory > maxUnheardMemory:
		c.lost++
		c.told.Signal()

	default:
		c.tellLoss()
		c.unheard.push(a)
		c.told.Signal()
	}
	return nil
}

// abandon ends a request of the peer, wherever it is. The caller holds c.mu.
func (c *conn[In, Out]) abandon(request int64) {
	if cancel, ok := c.answering[request]; ok {
		cancel(errLeft)
	}
	c.requests.remove(func(m In) bool {
		id, _ := c.split(m)
		if id == request {
			c.asked--
		}
		return id == request
	})
}

// tellLoss puts a message in the place of those that were dropped. The caller holds c.mu.
func (c *conn[In, Out]) tellLoss() {
	if c.lost > 0 {
		c.unheard.push(arrived[In]{message: c.dropped(c.lost)})
		c.lost = 0
	}
}

// fail ends the conversation.
func (c *conn[In, Out]) fail(err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.err == nil {
		c.err = err
		close(c.over)
	}
	c.wanted.Broadcast()
	c.told.Broadcast()
}

// Over is closed when the conversation is over.
func (c *conn[In, Out]) Over() <-chan struct{} { return c.over }

// Heard reports whether anything has come since it was last called.
func (c *conn[In, Out]) Heard() bool { return c.heard.Swap(false) }

// Close ends the conversation; the other side reads its end.
func (c *conn[In, Out]) Close() error {
	c.fail(ErrClosed)
	return errors.Join(c.w.Close(), c.r.Close())
}

// send writes one message.
func (c *conn[In, Out]) send(m Out) error {
	var frame bytes.Buffer
	if err := message.Write(&frame, m); err != nil {
		return err
	}
	return c.write(frame.Bytes())
}

func (c *conn[In, Out]) write(frame []byte) error {
	c.writing.Lock()
	defer c.writing.Unlock()
	if _, err := c.w.Write(frame); err != nil {
		// Half a message may have been written: nothing after it can be understood.
		err = fmt.Errorf("%w: %w", ErrClosed, err)
		c.fail(err)
		return err
	}
	return nil
}

// ask sends a request, and returns the content of its reply. A reply without content, as deployers
// may send that build messages by hand, has an empty one.
func ask[Reply any, In, Out frame](ctx context.Context, c *conn[In, Out], request Out,
	content func(In) *Reply) (*Reply, error) {
	in, err := c.call(ctx, request)
	if err != nil {
		return nil, err
	}
	return orEmpty(content(in)), nil
}

// call sends a request and waits for its reply.
func (c *conn[In, Out]) call(ctx context.Context, m Out) (In, error) {
	reply := make(chan In, 1)
	c.mu.Lock()
	if c.err != nil {
		c.mu.Unlock()
		return nil, c.err
	}
	c.last++
	id := c.last
	c.pending[id] = reply
	c.mu.Unlock()

	defer func() {
		c.mu.Lock()
		delete(c.pending, id)
		c.mu.Unlock()
	}()

	c.setID(m, id, "")
	var frame bytes.Buffer
	if err := message.Write(&frame, m); err != nil {
		return nil, err
	}
	// A process that has been stopped reads nothing: ctx must end the wait for it, too.
	written := make(chan struct{})
	go func() {
		defer close(written)
		_ = c.write(frame.Bytes()) // it fails with the conversation
	}()

	var in In
	select {
	case in = <-reply:
	case <-c.over:
		select {
		case in = <-reply: // it was the last to arrive
		default:
			return nil, c.err
		}
	case <-ctx.Done():
		c.leave(id, written)
		return nil, context.Cause(ctx)
	}

	if _, failure := c.split(in); failure != "" {
		return nil, errors.New(failure)
	}
	return in, nil
}

// leave tells the peer, after a request was written, that nobody waits for the reply any more.
func (c *conn[In, Out]) leave(id int64, written <-chan struct{}) {
	if c.cancel == nil {
		return
	}
	go func() {
		<-written
		_ = c.send(c.cancel(id)) // it fails with the conversation
	}()
}

// serve hands what arrives to handle: messages without an answer one after the other, requests
// each in a goroutine of its own. It returns when the conversation is over and all messages
// without an answer have been handled, with the reason; it does not wait for requests, whose
// replies would reach nobody.
func (c *conn[In, Out]) serve(ctx context.Context, handle func(context.Context, In) (Out, error)) error {
	stop := context.AfterFunc(ctx, func() { c.fail(context.Cause(ctx)) })
	defer stop()

	heard := make(chan struct{})
	go func() {
		defer close(heard)
		for m := c.nextUnheard(); m != nil; m = c.nextUnheard() {
			_, _ = handle(ctx, m) // an error cannot be told to anybody
		}
	}()

	answering, cancel := context.WithCancel(ctx)
	defer cancel()
	for {
		request, ctx, ok := c.nextRequest(answering)
		if !ok {
			break
		}
		go c.answer(ctx, request, handle)
	}
	cancel()

	<-heard
	return c.err
}

// nextUnheard takes the next message without an answer. It returns nil when there is none and the
// conversation is over.
func (c *conn[In, Out]) nextUnheard() In {
	c.mu.Lock()
	defer c.mu.Unlock()
	for {
		if len(c.unheard.list) == 0 {
			c.tellLoss()
		}
		if a, ok := c.unheard.pop(); ok {
			return a.message
		}
		if c.err != nil {
			return nil
		}
		c.told.Wait()
	}
}

// nextRequest takes the next request, and returns the context to answer it in. It returns false
// when there is none and the conversation is over.
func (c *conn[In, Out]) nextRequest(ctx context.Context) (arrived[In], context.Context, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for {
		if a, ok := c.requests.pop(); ok {
			ctx, cancel := context.WithCancelCause(ctx)
			id, _ := c.split(a.message)
			c.answering[id] = cancel
			c.handled += a.memory
			return a, ctx, true
		}
		if c.err != nil {
			return arrived[In]{}, nil, false
		}
		c.wanted.Wait()
	}
}

// answer handles a request and sends the reply.
func (c *conn[In, Out]) answer(ctx context.Context, request arrived[In],
	handle func(context.Context, In) (Out, error)) {
	id, _ := c.split(request.message)
	defer c.answered(id, request.memory)

	reply, err := handle(ctx, request.message)
	failure := ""
	if err != nil {
		failure = err.Error()
	}
	c.setID(reply, -id, failure)
	if err := c.send(reply); err != nil && !errors.Is(err, ErrClosed) {
		refusal := c.newOut()
		c.setID(refusal, -id, err.Error())
		_ = c.send(refusal) // it fails only when the conversation is over
	}
}

// answered forgets a request.
func (c *conn[In, Out]) answered(id int64, memory int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.asked--
	c.handled -= memory
	// A peer may use an id twice at once, against the rules.
	if cancel, ok := c.answering[id]; ok {
		cancel(nil)
		delete(c.answering, id)
	}
}

// Unknown is the answer to a request from the future.
func Unknown(id int64) error {
	return fmt.Errorf("request %d has no content that this version knows", id)
}

// Filled is what a handler returns, with a reply without content in the place of none: peers of
// v0.20 take a message without a reply for an error.
func Filled[T any](reply *T, err error) (*T, error) {
	if err == nil {
		reply = orEmpty(reply)
	}
	return reply, err
}

func orEmpty[T any](reply *T) *T {
	if reply == nil {
		reply = new(T)
	}
	return reply
}
