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
	"sync"

	"github.com/divisi-go/divisi/envelope/protomsg"
	"github.com/divisi-go/divisi/envelope/protos"
)

const (
	// maxRequests bounds the requests that wait or are being answered. A peer that makes more
	// has lost count, and the conversation ends.
	maxRequests = 1 << 14

	// maxUnheard bounds the messages without an answer that wait for their handler. More are
	// dropped and counted: log entries must hold up neither requests nor the weavelet.
	maxUnheard = 1 << 14
)

// ErrClosed is the error of requests when the conversation is over.
var ErrClosed = errors.New("the conversation with the other process is over")

// frame is what the two kinds of messages have in common.
type frame interface {
	*protos.EnvelopeMsg | *protos.WeaveletMsg
	protos.Message
}

// conn is one end: it sends messages of the type Out and receives such of the type In.
type conn[In, Out frame] struct {
	r       io.ReadCloser
	w       io.WriteCloser
	newIn   func() In
	newOut  func() Out
	split   func(In) (id int64, failure string)
	setID   func(Out, int64, string)
	dropped func(n int) In // what stands in for messages that were dropped

	writing sync.Mutex // held while a message is written

	mu        sync.Mutex // guards what follows
	last      int64
	pending   map[int64]chan In
	requests  []In // that wait for Serve
	answering int  // requests that their handlers have
	unheard   []In // messages without an answer that wait for Serve
	lost      int  // messages dropped since the last one in unheard
	changed   sync.Cond
	err       error // why the conversation is over
	over      chan struct{}
}

func (c *conn[In, Out]) init() {
	c.pending = map[int64]chan In{}
	c.changed.L = &c.mu
	c.over = make(chan struct{})
}

// read receives until the conversation is over. It waits for nothing else.
func (c *conn[In, Out]) read() {
	for {
		m := c.newIn()
		err := protomsg.Read(c.r, m)
		switch {
		case err == io.EOF:
			err = ErrClosed
		case err != nil:
			err = fmt.Errorf("%w: %w", ErrClosed, err)
		default:
			err = c.sort(m)
		}
		if err != nil {
			c.fail(err)
			return
		}
	}
}

// sort puts a message where it is waited for.
func (c *conn[In, Out]) sort(m In) error {
	id, _ := c.split(m)
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case id < 0:
		if reply, ok := c.pending[-id]; ok {
			delete(c.pending, -id)
			reply <- m
		}
		return nil
	case id > 0 && len(c.requests)+c.answering >= maxRequests:
		return fmt.Errorf("%w: the other side makes more than %d requests at once", ErrClosed, maxRequests)
	case id > 0:
		c.requests = append(c.requests, m)
	case len(c.unheard) >= maxUnheard:
		c.lost++
	default:
		c.tellLoss()
		c.unheard = append(c.unheard, m)
	}
	c.changed.Broadcast()
	return nil
}

// tellLoss puts a message in the place of those that were dropped. The caller holds c.mu.
func (c *conn[In, Out]) tellLoss() {
	if c.lost > 0 {
		c.unheard = append(c.unheard, c.dropped(c.lost))
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
	c.changed.Broadcast()
}

// Close ends the conversation; the other side reads its end.
func (c *conn[In, Out]) Close() error {
	c.fail(ErrClosed)
	return errors.Join(c.w.Close(), c.r.Close())
}

// send writes one message.
func (c *conn[In, Out]) send(m Out) error {
	var frame bytes.Buffer
	if err := protomsg.Write(&frame, m); err != nil {
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
	if err := protomsg.Write(&frame, m); err != nil {
		return nil, err
	}
	// A process that has been stopped reads nothing: ctx must end the wait for it, too.
	go c.write(frame.Bytes())
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
		return nil, context.Cause(ctx)
	}
	if _, failure := c.split(in); failure != "" {
		return nil, errors.New(failure)
	}
	return in, nil
}

// serve hands what arrives to handle: messages without an answer one after the other, requests
// each in a goroutine of its own. It returns when the conversation is over and all messages
// without an answer have been handled, with the reason; it does not wait for requests, whose
// replies would reach nobody.
func (c *conn[In, Out]) serve(ctx context.Context, handle func(context.Context, In) (Out, error)) error {
	answering, cancel := context.WithCancel(ctx)
	defer cancel()
	stop := context.AfterFunc(ctx, func() { c.fail(context.Cause(ctx)) })
	defer stop()
	heard := make(chan struct{})
	go func() {
		defer close(heard)
		for m := c.next(&c.unheard); m != nil; m = c.next(&c.unheard) {
			// An error of the handler has nobody to go to.
			_, _ = handle(ctx, m)
		}
	}()
	for m := c.next(&c.requests); m != nil; m = c.next(&c.requests) {
		go c.answer(answering, m, handle)
	}
	cancel()
	<-heard
	return c.err
}

// next takes the first message of a queue. It returns nil when the queue is empty and the
// conversation is over.
func (c *conn[In, Out]) next(queue *[]In) In {
	c.mu.Lock()
	defer c.mu.Unlock()
	for {
		if queue == &c.unheard && len(c.unheard) == 0 {
			c.tellLoss()
		}
		if len(*queue) > 0 {
			m := (*queue)[0]
			(*queue)[0], *queue = nil, (*queue)[1:]
			if queue == &c.requests {
				c.answering++
			}
			return m
		}
		if c.err != nil {
			return nil
		}
		c.changed.Wait()
	}
}

// answer handles a request and sends the reply.
func (c *conn[In, Out]) answer(ctx context.Context, m In, handle func(context.Context, In) (Out, error)) {
	defer func() {
		c.mu.Lock()
		c.answering--
		c.mu.Unlock()
	}()
	id, _ := c.split(m)
	reply, err := handle(ctx, m)
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

// errUnknown is the answer to a request from the future.
func errUnknown(id int64) error {
	return fmt.Errorf("request %d has no content that this version knows", id)
}

// filled is what a handler returns, with a reply without content in the place of none: peers of
// v0.20 take a message without a reply for an error.
func filled[T any](reply *T, err error) (*T, error) {
	if err == nil {
		reply = orEmpty(reply)
	}
	return reply, err
}

// orEmpty stands in for a reply without content, as deployers may send that build messages by
// hand.
func orEmpty[T any](reply *T) *T {
	if reply == nil {
		reply = new(T)
	}
	return reply
}
