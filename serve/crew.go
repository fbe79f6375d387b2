package serve

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"runtime"
	"slices"
	"strings"
	"time"
)

// crew are the members of a program that have started.
type crew struct {
	base    context.Context // has the values of the members' contexts
	time    *endTime
	working []*work
	ended   chan *work // gets every member that has returned
	left    int        // members that have not come from there
}

// work is a member at work.
type work struct {
	member Member
	ctx    context.Context
	cancel context.CancelFunc
	err    error         // set before done is closed
	done   chan struct{} // closed when the member has returned
}

func newCrew(ctx context.Context, limit time.Duration, size int) *crew {
	end := &endTime{limit: limit}
	base := context.WithValue(context.WithoutCancel(ctx), endTimeKey{}, end)
	return &crew{base: base, time: end, ended: make(chan *work, size)}
}

// errGoexit is the error of a member that has ended its goroutine.
var errGoexit = errors.New("a member ended its goroutine")

// begin starts a member.
func (c *crew) begin(m Member) *work {
	w := &work{member: m, err: errGoexit, done: make(chan struct{})}
	w.ctx, w.cancel = context.WithCancel(c.base)
	c.working = append(c.working, w)
	c.left++
	go func() {
		defer func() {
			// Nobody may hear that the member has ended, and end the process before the panic does.
			if thrown := recover(); thrown != nil {
				panic(thrown)
			}
			close(w.done)
			c.ended <- w
		}()
		w.err = m.Serve(w.ctx)
	}()
	return w
}

// start starts members, one after the other, until ctx ends or a member fails.
func (c *crew) start(ctx context.Context, members []Member) error {
	for _, m := range members {
		if ctx.Err() != nil {
			return nil
		}
		if err := c.ready(ctx, c.begin(m)); err != nil {
			return err
		}
	}
	return nil
}

// ready returns when a member is ready, or has returned, or a member has failed, or ctx has ended.
func (c *crew) ready(ctx context.Context, w *work) error {
	m, ok := w.member.(interface{ Ready(context.Context) error })
	if !ok {
		return nil
	}

	asking, stop := context.WithCancel(w.ctx)
	defer stop()
	ready := make(chan error, 1)
	go func() { ready <- m.Ready(asking) }()
	for {
		select {
		case err := <-ready:
			if err != nil {
				return fmt.Errorf("%s is not ready: %w", nameOf(w.member), err)
			}
			return nil
		case ended := <-c.ended:
			c.left--
			if ended.err != nil || ended == w {
				return ended.err
			}
		case <-ctx.Done():
			return nil
		}
	}
}

// wait returns when all members have returned, one has failed, or ctx has ended.
func (c *crew) wait(ctx context.Context) error {
	for c.left > 0 {
		select {
		case w := <-c.ended:
			c.left--
			if w.err != nil {
				return w.err
			}
		case <-ctx.Done():
			return nil
		}
	}
	return nil
}

// end ends the members that are left, the last one first, and returns why they all had to end, and what
// went wrong then.
func (c *crew) end(cause error) error {
	turns, over := c.time.begin(time.Now())
	for _, w := range slices.Backward(c.working) {
		w.cancel()
		select {
		case <-w.done:
		case <-turns:
		}
	}

	var errs []error
	var stuck []string
	if cause != nil {
		errs = append(errs, cause)
	}
	for _, w := range slices.Backward(c.working) {
		select {
		case <-w.done:
		case <-over:
		}
		select {
		case <-w.done:
			if w.err != nil && !errors.Is(w.err, context.Canceled) && !errors.Is(cause, w.err) {
				errs = append(errs, w.err)
			}
		default:
			stuck = append(stuck, nameOf(w.member))
		}
	}
	if len(stuck) > 0 {
		errs = append(errs, fmt.Errorf("not ended within %v: %s", c.time.limit, strings.Join(stuck, ", ")))
	}
	if len(errs) == 1 {
		return errs[0]
	}
	return errors.Join(errs...)
}

// nameOf returns how an error calls a member: by its String method, the name of its function, or its
// type.
func nameOf(m Member) string {
	switch m := m.(type) {
	case fmt.Stringer:
		return m.String()
	case Func:
		if f := runtime.FuncForPC(reflect.ValueOf(m).Pointer()); f != nil {
			return f.Name()
		}
	}
	return fmt.Sprintf("%T", m)
}
