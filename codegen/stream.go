package codegen

import (
	"context"
	"errors"
	"io"
	"iter"
	"sync/atomic"
	"time"
)

// ErrStreamUsed is what a stream yields when it is read a second time.
var ErrStreamUsed = errors.New("a stream can be read only once")

// StreamOf tells how to read one stream of a component.
type StreamOf[T any] struct {
	Args  func(*Encoder)                     // encodes the arguments
	Route func(*Call)                        // nil, or chooses the replica
	Elem  func(*Decoder) T                   // decodes an element
	Copy  func(T) T                          // copies an element of a local stream; nil if it needs none
	Share bool                               // elements are handed over as they are all the same
	Local func(impl any) iter.Seq2[T, error] // opens the stream of a local implementation
}

// Stream returns a stream that opens when it is first read, ends when the loop over it ends, and
// can be read once. A failure to go on is its last element's error.
func Stream[T any](ctx context.Context, c *Client, method int, s StreamOf[T]) iter.Seq2[T, error] {
	var used atomic.Bool
	return func(yield func(T, error) bool) {
		var zero T
		if used.Swap(true) {
			yield(zero, ErrStreamUsed)
			return
		}

		impl, err := c.Local(ctx)
		switch {
		case err != nil:
		case impl != nil:
			localStream(ctx, c, method, s, impl, yield)
		default:
			err = remoteStream(ctx, c, method, s, yield)
		}
		if err != nil {
			yield(zero, err)
		}
	}
}

// localStream yields copies of the elements until ctx ends, whose error is the last element's then.
// A panic of the stream becomes an error; one of the loop's body goes on.
func localStream[T any](ctx context.Context, c *Client, method int, s StreamOf[T], impl any,
	yield func(T, error) bool) {
	inBody, done := false, false
	err := func() (err error) {
		defer func() {
			if inBody {
				return
			}
			if thrown := recover(); thrown != nil {
				err = c.thrown(method, thrown)
			}
		}()
		for v, err := range s.Local(impl) {
			if ctx.Err() != nil {
				return ctx.Err()
			}

			switch {
			case s.Share:
				if c.Sharing() {
					element, copied := v, s.Copy
					c.Share(method, func() []any { return []any{copied(element)} })
				}
			case s.Copy != nil:
				v = s.Copy(v)
			}
			inBody = true
			more := yield(v, err)
			inBody = false
			if !more {
				done = true
				return nil
			}
		}
		return ctx.Err() // a sequence may end because its context has
	}()
	if err != nil && !done {
		var zero T
		yield(zero, err)
	}
}

// remoteStream returns the error that ended the stream, if the loop did not.
func remoteStream[T any](ctx context.Context, c *Client, method int, s StreamOf[T],
	yield func(T, error) bool) error {
	call := c.Call(ctx, method)
	defer call.End()
	s.Args(&call.Args)
	if err := call.Args.Err(); err != nil {
		return call.codeError("encode an argument of", err)
	}
	if s.Route != nil {
		s.Route(call)
	}
	call.request.Args = call.Args.Data()
	r, err := c.target.Stream(ctx, &call.request)
	if err != nil {
		return err
	}
	defer r.Close()
	for {
		data, err := r.Recv()
		if err == io.EOF {
			return nil
		}
		if ended, ok := errors.AsType[*StatusError](err); ok {
			if late := expired(ctx); late != nil && ended.Status == StatusCancelled {
				return late
			}
			return statusError(c.component, call.request.Method, ended.Status, ended.Text)
		}
		if err != nil {
			return err
		}
		d := NewDecoder(data, c.errors)
		elemErr := d.Error()
		v := s.Elem(&d)
		if bad := d.Done(); bad != nil {
			return call.codeError("decode an element of", bad)
		}
		if !yield(v, elemErr) {
			return nil
		}
	}
}

// expired returns the error of a context that has ended, or whose deadline has passed: on a busy
// machine the context may be the last to notice.
func expired(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if deadline, ok := ctx.Deadline(); ok && !time.Now().Before(deadline) {
		return context.DeadlineExceeded
	}
	return nil
}
