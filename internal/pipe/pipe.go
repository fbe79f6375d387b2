// Package pipe is the conversation between an envelope and a weavelet, over any pair of byte
// streams. Either end makes requests with an id x, which are answered with the id -x in any
// order; the weavelet also sends messages that nobody answers, which stay in order.
package pipe

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"

	"github.com/divisi-go/divisi/envelope/protomsg"
	"github.com/divisi-go/divisi/envelope/protos"
)

// maxWaiting bounds the messages that wait for Serve. Beyond it the other side is no longer
// read, so that it notices.
const maxWaiting = 1 << 14

// ErrClosed is the error of requests when the conversation is over.
var ErrClosed = errors.New("the conversation with the other process is over")

// frame is what the two kinds of messages have in common.
type frame interface {
	*protos.EnvelopeMsg | *protos.WeaveletMsg
	protos.Message
}

// conn is one end: it sends messages of the type Out and receives such of the type In.
type conn[In, Out frame] struct {
	r     io.ReadCloser
	w     io.WriteCloser
	newIn func() In
	split func(In) (id int64, failure string)
	setID func(Out, int64, string)

	writing sync.Mutex // held while a message is written

	mu      sync.Mutex // guards what follows
	last    int64
	pending map[int64]chan In
	waiting []In
	changed sync.Cond
	err     error // why the conversation is over
	over    chan struct{}
}

func (c *conn[In, Out]) init() {
	c.pending = map[int64]chan In{}
	c.changed.L = &c.mu
	c.over = make(chan struct{})
}

// read receives until the conversation is over. It never waits for Serve to answer requests, so
// replies come through however busy that is.
func (c *conn[In, Out]) read() {
	for {
		m := c.newIn()
		if err := protomsg.Read(c.r, m); err != nil {
			if err == io.EOF {
				c.fail(ErrClosed)
			} else {
				c.fail(fmt.Errorf("%w: %w", ErrClosed, err))
			}
			return
		}
		id, _ := c.split(m)
		c.mu.Lock()
		if id < 0 {
			if reply, ok := c.pending[-id]; ok {
				delete(c.pending, -id)
				reply <- m
			}
		} else {
			for len(c.waiting) >= maxWaiting && c.err == nil {
				c.changed.Wait()
			}
			c.waiting = append(c.waiting, m)
			c.changed.Broadcast()
		}
		c.mu.Unlock()
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
	c.writing.Lock()
	defer c.writing.Unlock()
	if err := protomsg.Write(c.w, m); err != nil {
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
	c.setID(m, id, "")
	if err := c.send(m); err != nil {
		return nil, err
	}
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
		c.mu.Lock()
		delete(c.pending, id)
		c.mu.Unlock()
		return nil, context.Cause(ctx)
	}
	if _, failure := c.split(in); failure != "" {
		return nil, errors.New(failure)
	}
	return in, nil
}

// serve hands what arrives to handle: messages without an answer one after the other, requests
// each in a goroutine of its own. It returns when the conversation is over, with the reason.
func (c *conn[In, Out]) serve(ctx context.Context, handle func(context.Context, In) (Out, error)) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	stop := context.AfterFunc(ctx, func() { c.fail(context.Cause(ctx)) })
	defer stop()
	for {
		c.mu.Lock()
		for len(c.waiting) == 0 && c.err == nil {
			c.changed.Wait()
		}
		if len(c.waiting) == 0 {
			defer c.mu.Unlock()
			return c.err
		}
		m := c.waiting[0]
		c.waiting = c.waiting[1:]
		c.changed.Broadcast()
		c.mu.Unlock()
		id, _ := c.split(m)
		if id == 0 {
			handle(ctx, m)
			continue
		}
		go func() {
			reply, err := handle(ctx, m)
			failure := ""
			if err != nil {
				failure = err.Error()
			}
			c.setID(reply, -id, failure)
			c.send(reply)
		}()
	}
}

// errUnknown is the answer to a request from the future.
func errUnknown(id int64) error {
	return fmt.Errorf("request %d has no content that this version knows", id)
}
