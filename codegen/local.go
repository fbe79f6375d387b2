package codegen

import (
	"fmt"
	"runtime/debug"
	"time"
)

// Observer is what sees the calls that stay in a process. Without its functions they cost nothing.
type Observer struct {
	// Begin returns when a call of a method began, nil if its time is not wanted. End is told it.
	Begin func(method int) *time.Time
	End   func(method int, began *time.Time, failed bool)

	// Share is told of values whose memory a method leaves to caller and callee alike, by what
	// makes copies of them.
	Share func(method int, copies func() []any)
}

// Local is a call that stays in this process. It is small, so that the compiler keeps it in registers.
type Local struct {
	client *Client
	method int
	began  *time.Time
}

// Enter begins a call that stays in this process: defer c.Enter(method).Leave(&err).
func (c *Client) Enter(method int) Local {
	l := Local{client: c, method: method}
	if c.observer.Begin != nil {
		l.began = c.observer.Begin(method)
	}
	return l
}

// Leave ends the call. It makes an error of a panic, as a remote call does.
func (l Local) Leave(err *error) {
	if thrown := recover(); thrown != nil {
		*err = l.client.thrown(l.method, thrown)
	}
	if l.client.observer.End != nil {
		l.client.observer.End(l.method, l.began, *err != nil)
	}
}

// Sharing reports whether anybody wants to know what methods marked //divisi:shared hand over. Values
// that are given to Share move to the heap, so generated code asks before it gives any.
func (c *Client) Sharing() bool { return c.observer.Share != nil }

// Share tells of arguments or results that a method marked //divisi:shared hands over as they are.
func (c *Client) Share(method int, copies func() []any) {
	if c.observer.Share != nil {
		c.observer.Share(method, copies)
	}
}

func (c *Client) thrown(method int, thrown any) error {
	m := &c.component.Methods[method]
	name := c.component.Info.Name + "." + m.Name
	if code, ok := thrown.(codeError); ok {
		return fmt.Errorf("cannot encode a value for %s: %w", name, code.error)
	}
	c.target.Panicked(m, thrown, debug.Stack())
	return &panicError{panicText(name, thrown)}
}

// panicError is what a caller gets for a panic of the callee.
type panicError struct{ text string }

func (e *panicError) Error() string { return ErrPanic.Error() + ": " + e.text }
func (e *panicError) Unwrap() error { return ErrPanic }
