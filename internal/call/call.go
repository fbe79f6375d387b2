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

	"github.com/divisi-go/divisi/internal/wire"
)

// Key names a method: a hash of its component, its name, and the layout of its arguments and
// results, so that two builds which differ never misread each other.
type Key [16]byte

// Status is how a call ended at the server.
type Status uint16

// The statuses. OVERLOADED, DEADLINE and DRAINING mean that the call was not executed, and so
// does UNIMPLEMENTED.
const (
	StatusOK            Status = 0
	StatusAppError      Status = 1 // body: the error, encoded by the application's layer
	StatusPanic         Status = 2 // body: the panic's message
	StatusUnimplemented Status = 3 // the replica has no such method
	StatusOverloaded    Status = 4 // too many calls in flight
	StatusDeadline      Status = 5 // the deadline had passed before the call could start
	StatusDraining      Status = 6 // the replica takes no new calls
	StatusBadArgs       Status = 7 // arguments or results that cannot be carried; body: why
	StatusCancelled     Status = 8 // the call was cancelled
)

var statusNames = [...]string{
	"OK", "APP_ERROR", "PANIC", "UNIMPLEMENTED", "OVERLOADED", "DEADLINE", "DRAINING", "BAD_ARGS", "CANCELLED",
}

func (s Status) String() string {
	if int(s) < len(statusNames) {
		return statusNames[s]
	}
	return fmt.Sprintf("status %d", uint16(s))
}

// refused says that the call was not executed and may be sent to another replica.
func (s Status) refused() bool { return s == StatusOverloaded || s == StatusDraining }

// Trace is a position in a trace; the zero value is none.
type Trace = wire.Trace

// Request is a call to make.
type Request struct {
	Method     Key
	Args       []byte // must stay unchanged until Call returns; Stream makes a copy
	Idempotent bool   // may be executed again when it is not known whether it was
	Routed     bool   // Shard chooses the replica
	Shard      uint64
	Trace      Trace
	Meta       map[string]string // at most 64 KB in all
}

// Reply is the answer to a call. Its Body belongs to whoever receives it.
type Reply struct {
	Status Status
	Body   []byte
}

func textReply(s Status, format string, args ...any) Reply {
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

// StatusError is the abnormal end of a stream.
type StatusError struct {
	Status Status
	Body   []byte
}

func (e *StatusError) Error() string {
	if e.Status == StatusAppError || len(e.Body) == 0 {
		return fmt.Sprintf("the stream ended with %v", e.Status)
	}
	return fmt.Sprintf("the stream ended with %v: %s", e.Status, e.Body)
}
