// Package call is the two ends of a conversation: a [Client] makes calls and a [Server] executes
// them, any number of calls and streams at a time on one connection. What both ends have in common
// is in package link, and what concerns several replicas in package balance. Package wire has the
// format, docs/calls.md the protocol with its bounds.
//
// Goroutines: each connection has those of its link. A call has one at the server, unless its method has
// proved fast: then it runs on the one that reads.
package call

import (
	"errors"
	"fmt"

	"github.com/divisi-go/divisi/codegen"
	"github.com/divisi-go/divisi/internal/trace"
)

// Request is a call to make.
type Request struct {
	Method     codegen.Key
	Args       []byte // must stay unchanged until Call returns; Stream makes a copy
	Idempotent bool   // may be executed again when it is not known whether it was
	Routed     bool   // Shard chooses the replica
	Shard      uint64
	Trace      trace.SpanContext
	Meta       map[string]string // at most 64 KB in all
}

// Reply is the answer to a call. Its Body belongs to whoever receives it.
type Reply struct {
	Status codegen.Status
	Body   []byte
	Spent  func(body []byte) // gets the body of a handler's reply when it has been sent; may be nil
}

func textReply(s codegen.Status, format string, args ...any) Reply {
	return Reply{Status: s, Body: fmt.Appendf(nil, format, args...)}
}

var (
	// ErrTransport is what every *Error is.
	ErrTransport = errors.New("transport failure")
	// ErrClosed is the cause once a connection, or what it is used by, has been closed on this
	// side.
	ErrClosed = errors.New("closed")
	// ErrPeerGone is the cause once the caller of a stream has gone.
	ErrPeerGone = errors.New("the caller has gone")
)

// Error is a failure between caller and callee: a broken connection, or none to be had.
type Error struct {
	Addr     string // the replica; "" if none was tried
	Executed bool   // the call may have been executed
	Err      error
}

func (e *Error) Error() string {
	if e.Addr == "" {
		return fmt.Sprintf("cannot call: %v", e.Err)
	}
	note := "the call was not executed"
	if e.Executed {
		note = "the call may have been executed"
	}
	return fmt.Sprintf("cannot call %s: %v (%s)", e.Addr, e.Err, note)
}

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Err }

// Is reports that every Error is ErrTransport.
func (e *Error) Is(target error) bool { return target == ErrTransport }
