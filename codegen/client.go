package codegen

import (
	"context"
	"fmt"
	"sync"

	"github.com/divisi-go/divisi/internal/shard"
)

// Request is one call on its way to another process.
type Request struct {
	Method *MethodInfo
	Index  int    // of the method among those of the component
	Args   []byte // must not be kept after the call
	Routed bool   // the shard chooses the replica
	Shard  uint64
}

// A Target is where the calls of one component go. A transport implements it.
type Target interface {
	// Local returns the implementation if it lives in this process, and nil if it does not. It
	// waits until that is known and the implementation has started. The error, ErrRemoteCall in
	// it, is that of ctx or of the start.
	Local(ctx context.Context) (any, error)

	// Call executes a method of an implementation that Local has said to be elsewhere. The error is
	// that of the way, ErrRemoteCall in it.
	Call(ctx context.Context, r *Request) (Status, []byte, error)

	// Stream opens a stream of such an implementation.
	Stream(ctx context.Context, r *Request) (Receiver, error)

	// Panicked is told of a panic that a local call caught.
	Panicked(method *MethodInfo, thrown any, stack []byte)
}

// Receiver is the receiving end of a stream. Recv returns io.EOF at its end. Close may be called
// at any time, and ends the other side when that has not ended.
type Receiver interface {
	Recv() ([]byte, error)
	Close() error
}

// Client is one component as another one sees it: stubs are made of it.
type Client struct {
	component *Component
	errors    *Errors
	target    Target
	observer  Observer
}

// NewClient returns a client of a component whose calls go to target. The observer sees the calls
// that stay in this process.
func NewClient(component *Component, errors *Errors, target Target, observer Observer) *Client {
	return &Client{component: component, errors: errors, target: target, observer: observer}
}

// Local returns the implementation if it lives in this process, else nil.
func (c *Client) Local(ctx context.Context) (any, error) { return c.target.Local(ctx) }

var calls = sync.Pool{New: func() any { return new(Call) }}

// Call is one remote call of a stub.
type Call struct {
	Args    Encoder
	Results Decoder
	ctx     context.Context
	client  *Client
	request Request
	err     error
}

// Call begins a remote call of the method with an index.
func (c *Client) Call(ctx context.Context, method int) *Call {
	call := calls.Get().(*Call)
	call.ctx, call.client = ctx, c
	call.Args.errors = c.errors
	call.request.Method, call.request.Index = &c.component.Methods[method], method
	return call
}

// Route makes the call go to the replica that a key belongs to.
func (c *Call) Route(key any) {
	c.request.Routed, c.request.Shard = true, shard.Of(key)
}

// Do sends the arguments and waits for the results. It reports whether there are any.
func (c *Call) Do() bool {
	if err := c.Args.Err(); err != nil {
		c.err = c.codeError("encode an argument of", err)
		return false
	}
	c.request.Args = c.Args.Data()
	status, body, err := c.client.target.Call(c.ctx, &c.request)
	if err != nil {
		c.err = err
		return false
	}
	switch status {
	case StatusOK:
		c.Results = NewDecoder(body, c.client.errors)
		return true
	case StatusAppError:
		c.Results = NewDecoder(body, c.client.errors)
		c.err = c.client.errors.decode(&c.Results)
		return c.Results.err == nil
	default:
		c.err = statusError(c.client.component, c.request.Method, status, string(body))
		return false
	}
}

// End returns the error of the call, which must not be used afterwards.
func (c *Call) End() error {
	err := c.err
	if bad := c.Results.Done(); bad != nil {
		err = c.codeError("decode the results of", bad)
	}
	buf := c.Args.buf[:0]
	if cap(buf) > maxKept {
		buf = nil
	}
	*c = Call{Args: Encoder{buf: buf}}
	calls.Put(c)
	return err
}

func (c *Call) codeError(what string, err error) error {
	return fmt.Errorf("cannot %s %s.%s: %w",
		what, c.client.component.Info.Name, c.request.Method.Name, err)
}

// statusError is the error of a call whose method did not return.
func statusError(c *Component, m *MethodInfo, status Status, text string) error {
	switch status {
	case StatusPanic:
		return &panicError{text}
	case StatusBadArgs:
		return fmt.Errorf("%s.%s cannot carry its arguments or results: %s: %w",
			c.Info.Name, m.Name, text, ErrRemoteCall)
	case StatusCancelled:
		return fmt.Errorf("%s.%s was cut by the end of its context: %w", c.Info.Name, m.Name, ErrRemoteCall)
	default:
		if text != "" {
			text = ": " + text
		}
		return fmt.Errorf("%s.%s ended with %v%s: %w", c.Info.Name, m.Name, status, text, ErrRemoteCall)
	}
}
