package call

import (
	"bytes"
	"context"
	"errors"
	"io"
	"sync"

	"github.com/divisi-go/divisi/codegen"
)

// feed is the receiving end of a stream on one connection. The reading goroutine puts elements
// in, Recv takes them out; credit for an element goes back when it is taken, so a consumer
// that stops holds one window.
type feed struct {
	c *client
	p *pending

	mu      sync.Mutex
	queue   []element
	rx      inflow
	parts   int64         // credit held by an element of which chunks are missing
	waiting bool          // Recv waits for that element
	wake    chan struct{} // of capacity 1
}

type element struct {
	b    []byte
	cost int64
}

func newFeed(c *client, p *pending) *feed {
	f := &feed{c: c, p: p, wake: make(chan struct{}, 1)}
	f.rx.left = int64(c.o.CallWindow)
	return f
}

func (f *feed) take(cost int64) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.rx.take(cost)
}

func (f *feed) give(cost int64) uint32 {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.rx.give(cost, f.c.o.CallWindow)
}

// part accounts for a chunk of an element. An element longer than the window can only be
// finished while somebody waits for it.
func (f *feed) part(cost int64) {
	f.mu.Lock()
	f.parts += cost
	n := f.giveParts()
	f.mu.Unlock()
	f.c.sendCredit(f.p.id, n)
}

func (f *feed) giveParts() uint32 {
	if !f.waiting {
		return 0
	}
	cost := f.parts
	f.parts = 0
	return f.rx.give(cost, f.c.o.CallWindow)
}

func (f *feed) push(b []byte, cost int64) {
	f.mu.Lock()
	f.queue = append(f.queue, element{b, cost + f.parts})
	f.parts, f.waiting = 0, false
	f.mu.Unlock()
	select {
	case f.wake <- struct{}{}:
	default:
	}
}

// errFeedEnded says that all elements have been taken and that the call has its outcome.
var errFeedEnded = errors.New("the stream on this connection has ended")

// next returns the next element. Its error is errFeedEnded, or that of ctx.
func (f *feed) next(ctx context.Context) ([]byte, error) {
	for {
		ended := false
		select {
		case <-f.p.done: // nothing is pushed after that
			ended = true
		default:
		}
		f.mu.Lock()
		if len(f.queue) > 0 {
			e := f.queue[0]
			f.queue[0] = element{}
			f.queue = f.queue[1:]
			n := f.rx.give(e.cost, f.c.o.CallWindow)
			f.mu.Unlock()
			f.c.sendCredit(f.p.id, n)
			return e.b, nil
		}
		f.waiting = !ended
		n := f.giveParts()
		f.mu.Unlock()
		if ended {
			return nil, errFeedEnded
		}
		f.c.sendCredit(f.p.id, n)
		select {
		case <-f.wake:
		case <-f.p.done:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

// Stream is a call that is answered by any number of elements. One goroutine at a time may use
// it, and must call Close unless Recv has returned an error.
type Stream struct {
	try   attempts
	req   Request
	cur   *feed    // on the replica that is being tried
	rep   *replica // that replica
	stop  func() bool
	begun bool // an element has come: the call cannot be made again
	err   error
}

// Stream begins a streaming call. It returns once a replica has been chosen and the request is
// on its way; a refusal by that replica shows at the first Recv, which tries others. ctx
// bounds the whole stream.
func (p *Pool) Stream(ctx context.Context, r *Request) (*Stream, error) {
	s := &Stream{req: *r}
	s.req.Args = bytes.Clone(r.Args)
	s.try.begin(ctx, p, &s.req)
	if err := s.open(); err != nil {
		s.try.end(Reply{}, err)
		return nil, err
	}
	return s, nil
}

// open sends the request to one replica after the other until one takes it.
func (s *Stream) open() error {
	for {
		rep, c, err := s.try.acquire()
		if err != nil {
			return err
		}
		p := &pending{done: make(chan struct{})}
		p.feed = newFeed(c, p)
		if err = c.send(s.try.ctx, p, &s.req); err == nil {
			s.cur, s.rep = p.feed, rep
			s.stop = context.AfterFunc(s.try.ctx, func() { c.abandon(p) })
			return nil
		}
		s.try.pool.release(rep, c, Reply{}, err)
		if !s.try.retriable(Reply{}, err) {
			return err
		}
		switch wait := s.try.again(rep, Reply{}, err); {
		case errors.Is(wait, errGaveUp):
			return err
		case wait != nil:
			return wait
		}
	}
}

// Recv returns the next element, which belongs to the caller. At the normal end of the stream
// the error is io.EOF, at an abnormal one a *codegen.StatusError; it is an *Error when the connection
// breaks, and wraps that of the stream's context when it ends. Later calls return the same.
func (s *Stream) Recv() ([]byte, error) {
	for s.err == nil {
		b, ended := s.cur.next(s.try.ctx)
		if ended == nil {
			s.begun = true
			return b, nil
		}
		reply, err, again := s.settle(ended)
		if again {
			if err = s.open(); err == nil {
				continue
			}
		}
		s.try.end(reply, err)
		switch {
		case err != nil:
			s.err = err
		case reply.Status == codegen.StatusOK:
			s.err = io.EOF
		default:
			s.err = &codegen.StatusError{Status: reply.Status, Text: string(reply.Body)}
		}
	}
	return nil, s.err
}

// settle ends the attempt that gives no more elements, because of ended. It says how it ended, or
// that the call is to be made again.
func (s *Stream) settle(ended error) (reply Reply, err error, again bool) {
	c, p := s.cur.c, s.cur.p
	s.stop()
	if ended == errFeedEnded {
		reply, err = p.reply, p.err
	} else {
		// The answer may have come meanwhile, and elements before it that nobody has read.
		c.abandon(p)
		err = ended
	}
	s.try.pool.release(s.rep, c, reply, err)
	if s.begun || !s.try.retriable(reply, err) {
		return reply, err, false
	}
	switch wait := s.try.again(s.rep, reply, err); {
	case errors.Is(wait, errGaveUp):
		return reply, err, false
	case wait != nil:
		return Reply{}, wait, false
	}
	return Reply{}, nil, true
}

// Close ends the stream; the server is told unless it was at its end.
func (s *Stream) Close() error {
	if s.err == nil {
		s.err = ErrClosed
		s.stop()
		s.cur.c.abandon(s.cur.p)
		s.try.pool.release(s.rep, s.cur.c, Reply{}, ErrClosed)
		s.try.end(Reply{}, nil)
	}
	return nil
}
