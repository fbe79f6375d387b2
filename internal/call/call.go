// Package call carries method calls between processes: a Pool at the caller, which balances
// over replicas, retries and routes, and a Server at the callee, with any number of calls and
// streams multiplexed on one connection. Package wire has the format, docs/calls.md the
// protocol with its bounds.
//
// Goroutines: each connection has one that reads and never blocks in a write, and one that
// writes while there is something to write; each call has one at the server. Whoever has a
// frame to send appends it to the connection's queue, and whoever writes, writes everybody's.
package call

import (
	"errors"
	"fmt"

	"github.com/divisi-go/divisi/codegen"
	"github.com/divisi-go/divisi/internal/trace"
)

// refused says that the call was not executed and may be sent to another replica.
func refused(s codegen.Status) bool {
	return s == codegen.StatusOverloaded || s == codegen.StatusDraining
}

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
}

func textReply(s codegen.Status, format string, args ...any) Reply {
	return Reply{Status: s, Body: fmt.Appendf(nil, format, args...)}
}

var (
	// ErrTransport is what every *Error is.
	ErrTransport = errors.New("transport failure")
	// ErrClosed is the cause once a Pool, a Stream or a connection has been closed on this
	// side.
	ErrClosed = errors.New("closed")
	// ErrNoReplica is the cause when nothing was there to call.
	ErrNoReplica = errors.New("no replica is available")
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
