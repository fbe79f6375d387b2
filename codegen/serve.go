package codegen

import (
	"context"
	"iter"
	"runtime/debug"
	"sync"

	"github.com/divisi-go/divisi/internal/shard"
)

// Served is one call that a component answers.
type Served struct {
	Args    Decoder
	Results Encoder
	ctx     context.Context
	status  Status
	body    []byte
	ended   bool
	hooks   Hooks
}

var servings = sync.Pool{New: func() any { return new(Served) }}

// Hooks are what a transport offers to a call that it has served.
type Hooks struct {
	Send     func(elem []byte) error        // sends an element of a stream
	Panicked func(thrown any, stack []byte) // is told of a panic
	Routed   func(shard uint64)             // is told of the key of a routed call; may be nil
}

// Route tells which key the call was routed by.
func (s *Served) Route(key any) {
	if s.hooks.Routed != nil {
		s.hooks.Routed(shard.Of(key))
	}
}

// Ready reports whether the arguments could be decoded, to the last byte.
func (s *Served) Ready() bool {
	if err := s.Args.Done(); err != nil {
		s.end(StatusBadArgs, []byte(err.Error()))
		return false
	}
	return true
}

// End gives the method's error, after its results.
func (s *Served) End(err error) {
	if bad := s.Results.Err(); bad != nil {
		s.end(StatusBadArgs, []byte("its results do not encode: "+bad.Error()))
		return
	}
	if err == nil {
		s.end(StatusOK, s.Results.buf)
		return
	}
	tree := Encoder{errors: s.Results.errors}
	tree.errors.encode(&tree, err)
	s.end(StatusAppError, append(tree.buf, s.Results.buf...))
}

func (s *Served) end(status Status, body []byte) {
	s.status, s.body, s.ended = status, body, true
}

// Serve executes a method and returns how it ended and the body of the answer, which may go to
// Recycle later. The elements of a stream go through hooks.Send. A panic is told to hooks.Panicked and
// becomes a status.
func Serve(ctx context.Context, c *Component, m *MethodInfo, impl any, table *Errors, args []byte,
	hooks Hooks) (Status, []byte) {
	s := servings.Get().(*Served)
	*s = Served{
		ctx:     ctx,
		Args:    NewDecoder(args, table),
		Results: Encoder{buf: takeBuffer(), errors: table},
		hooks:   hooks,
	}
	returned := false
	func() {
		defer func() {
			if thrown := recover(); thrown != nil {
				hooks.Panicked(thrown, debug.Stack())
				s.end(StatusPanic, []byte(panicText(c.Info.Name+"."+m.Name, thrown)))
			}
		}()
		m.Serve(ctx, impl, s)
		returned = true
	}()
	if !s.ended { // the method ended its goroutine by runtime.Goexit
		s.end(StatusPanic, []byte(panicText(c.Info.Name+"."+m.Name, "runtime.Goexit")))
	}

	status, body := s.status, s.body
	if returned { // nobody has it any more
		*s = Served{}
		servings.Put(s)
	}
	return status, body
}

// ServeStream sends the elements of a stream, each with its error if it has one, until the
// stream ends or its reader has gone. Only a sequence that ended by itself, while its reader still
// waited, ends without an error.
func ServeStream[T any](s *Served, stream iter.Seq2[T, error], enc func(*Encoder, T)) {
	for v, err := range stream {
		e := Encoder{errors: s.Results.errors}
		e.Error(err)
		enc(&e, v)
		if bad := e.Err(); bad != nil {
			s.end(StatusBadArgs, []byte("an element does not encode: "+bad.Error()))
			return
		}

		if unsent := s.hooks.Send(e.buf); unsent != nil {
			s.cut(unsent)
			return
		}
	}

	if ended := s.ctx.Err(); ended != nil {
		s.cut(ended) // a sequence may end because its context has
		return
	}
	s.end(StatusOK, nil)
}

// cut ends a stream before its sequence has ended.
func (s *Served) cut(err error) {
	if s.ctx.Err() != nil {
		s.end(StatusCancelled, nil)
		return
	}
	s.end(StatusBadArgs, []byte(err.Error()))
}
