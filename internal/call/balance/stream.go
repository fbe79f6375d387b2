package balance

import (
	"bytes"
	"context"
	"errors"
	"io"
	"time"

	"github.com/divisi-go/divisi/codegen"
	"github.com/divisi-go/divisi/internal/call"
)

// Stream is a call that is answered by any number of elements. One goroutine at a time may use
// it, and must call Close unless Recv has returned an error.
type Stream struct {
	try   attempts
	feed  *call.Feed   // on the replica that is being tried
	rep   *replica     // that replica
	conn  *call.Client // the connection to it
	stop  func() bool
	begun bool // an element has come: the call cannot be made again
	err   error
}

// Stream begins a streaming call. It returns once a replica has been chosen and the request is
// on its way; a refusal by that replica shows at the first Recv, which tries others. ctx
// bounds the whole stream.
func (p *Pool) Stream(ctx context.Context, r *call.Request) (*Stream, error) {
	s := &Stream{try: attempts{pool: p, ctx: ctx, req: *r, now: time.Now()}}
	s.try.req.Args = bytes.Clone(r.Args)
	s.try.begin()
	if err := s.open(); err != nil {
		s.try.end(call.Reply{}, err)
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
		feed, err := c.Stream(s.try.ctx, &s.try.req)
		if err == nil {
			s.feed, s.rep, s.conn = feed, rep, c
			s.stop = context.AfterFunc(s.try.ctx, feed.Abandon)
			return nil
		}
		s.try.now = time.Now()
		s.try.pool.release(rep, c, s.try.now, outcome{stream: true, err: err})
		if !s.try.retriable(call.Reply{}, err) {
			return err
		}
		switch wait := s.try.again(rep, call.Reply{}, err); {
		case errors.Is(wait, errGaveUp):
			return err
		case wait != nil:
			return wait
		}
	}
}

// Recv returns the next element, which belongs to the caller. At the normal end of the stream
// the error is io.EOF, at an abnormal one a [*codegen.StatusError]; it is a [*call.Error] when the
// connection breaks, and wraps that of the stream's context when it ends. Later calls return the same.
func (s *Stream) Recv() ([]byte, error) {
	for s.err == nil {
		b, ended := s.feed.Next(s.try.ctx)
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
func (s *Stream) settle(ended error) (reply call.Reply, err error, again bool) {
	s.stop()
	if ended == call.ErrFeedEnded {
		reply, err = s.feed.Outcome()
	} else {
		// The answer may have come meanwhile, and elements before it that nobody has read.
		s.feed.Abandon()
		err = ended
	}
	s.try.now = time.Now()
	s.try.pool.release(s.rep, s.conn, s.try.now, outcome{stream: true, reply: reply, err: err})
	if s.begun || !s.try.retriable(reply, err) {
		return reply, err, false
	}
	switch wait := s.try.again(s.rep, reply, err); {
	case errors.Is(wait, errGaveUp):
		return reply, err, false
	case wait != nil:
		return call.Reply{}, wait, false
	}
	return call.Reply{}, nil, true
}

// Close ends the stream; the server is told unless it was at its end.
func (s *Stream) Close() error {
	if s.err == nil {
		s.err = call.ErrClosed
		s.stop()
		s.feed.Abandon()
		s.try.pool.release(s.rep, s.conn, time.Now(), outcome{stream: true, err: call.ErrClosed})
		s.try.end(call.Reply{}, nil)
	}
	return nil
}
