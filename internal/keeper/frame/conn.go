//go:build linux

package frame

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"sync"
	"syscall"

	"github.com/divisi-go/divisi/internal/memfd"
)

// Request is what the peer asks for.
type Request struct {
	Verb  string
	Body  json.RawMessage
	Files []*os.File // closed once the handler returns; it takes them by setting this to nil
	Again bool       // a former program was asked, which has paused the connection before it answered

	// Answered is called when the answer was written, unless the handler leaves it nil.
	Answered func()
}

// Decode reads the body. Members that v does not have are skipped.
func (r *Request) Decode(v any) error {
	if len(r.Body) == 0 {
		return nil
	}
	if err := json.Unmarshal(r.Body, v); err != nil {
		return &Error{Text: fmt.Sprintf("the body of %s is malformed: %v", quote(r.Verb), err), Code: CodeInvalid}
	}
	return nil
}

// Handler answers requests, many at a time. Its context ends when nobody waits for
// the answer any more. What it returns is encoded as JSON; the files are closed when they are sent.
type Handler func(context.Context, *Request) (body any, files []*os.File, err error)

// Conn is one end of a connection. It is safe for concurrent use.
//
// When mu is free:
//   - calls has an entry for each call whose answer has not come, and for no other;
//   - answering has an entry for each request that a handler has, at most MaxRequests;
//   - queued is the length of all lines in queue, at most maxQueue;
//   - queue is empty unless a goroutine writes what is in it, as writing says;
//   - once over is closed, err says why and does not change, and queue stays empty.
type Conn struct {
	socket *net.UnixConn
	plain  bool           // it passes no files
	own    sync.WaitGroup // for the goroutines that read, answer and write

	mu        sync.Mutex // guards what follows
	last      uint64     // the id of the last call
	calls     map[uint64]chan answer
	answering map[uint64]context.CancelCauseFunc
	writing   bool
	queue     []outgoing
	queued    int
	pausing   bool   // nothing more is to be read
	paused    Paused // where the connection stands then
	err       error
	over      chan struct{}
}

// outgoing is a line to be written, or what is left of it, with what it passes.
type outgoing struct {
	line []byte
	descriptors
}

// answer is what came for a call.
type answer struct {
	frame
	passed
}

// New returns an end of a connection, which it owns. Nothing is read before Serve.
func New(socket *net.UnixConn) *Conn {
	return &Conn{
		socket:    socket,
		calls:     map[uint64]chan answer{},
		answering: map[uint64]context.CancelCauseFunc{},
		over:      make(chan struct{}),
	}
}

// NewPlain is [New] for a connection that comes from another host, whose ends both have to know that: it passes no
// files, and long answers are in their frames.
func NewPlain(socket *net.UnixConn) *Conn {
	c := New(socket)
	c.plain = true
	return c
}

// most returns how long a frame may be, in bytes.
func (c *Conn) most() int {
	if c.plain {
		return maxPlain
	}
	return MaxFrame
}

// Over is closed when the connection is over.
func (c *Conn) Over() <-chan struct{} { return c.over }

// Close ends the connection.
func (c *Conn) Close() error {
	c.fail(ErrClosed)
	return nil
}

// fail ends the connection: its calls fail, and its requests are not waited for any more.
func (c *Conn) fail(err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.end(err)
}

// end is fail for who holds mu.
func (c *Conn) end(err error) {
	if c.err != nil {
		return
	}

	c.err = err
	close(c.over)
	for _, cancel := range c.answering {
		cancel(nil)
	}
	for _, o := range c.queue {
		o.close()
	}
	c.queue, c.queued = nil, 0
	c.socket.Close()
}

// Serve reads until the connection is over or ctx ends, and hands requests to the handler; without one,
// every request is refused. It returns when nothing of the connection is left: nil if
// the peer has closed it, else why. That is [ErrPaused] after [Conn.Pause].
func (c *Conn) Serve(ctx context.Context, handle Handler) error {
	if handle == nil {
		handle = func(_ context.Context, r *Request) (any, []*os.File, error) {
			return nil, nil, Unknown(r.Verb)
		}
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(ctx, func() { c.fail(fmt.Errorf("%w: %w", ErrClosed, context.Cause(ctx))) })()

	for _, f := range c.paused.take() {
		f.again = true
		if own, ok := c.admit(ctx, f, passed{}); ok {
			c.own.Go(func() { c.answer(own, f, passed{}, handle) })
		}
	}
	r := newReader(c.socket, c.most())
	r.line, r.own = c.paused.Line, passed{c.paused.Files, c.paused.Cut}
	c.read(ctx, r, handle)
	c.own.Wait()

	switch {
	case c.err == nil:
		return ErrPaused
	case errors.Is(c.err, io.EOF):
		return nil
	}
	return c.err
}

// read receives until the connection is over, or paused. Who receives a request answers it, at once;
// another goroutine goes on to receive.
func (c *Conn) read(ctx context.Context, r *reader, handle Handler) {
	for {
		f, came, err := r.next()
		switch {
		case errors.Is(err, os.ErrDeadlineExceeded) && c.interrupt(r):
			r.close()
			return
		case err != nil:
			r.close()
			c.fail(fmt.Errorf("%w: %w", ErrClosed, err))
			return
		case f.Cancel:
			came.close()
			c.abandon(f.ID)
		case f.Verb == "":
			c.settle(answer{f, came})
		default:
			own, ok := c.admit(ctx, f, came)
			if !ok {
				continue
			}
			c.own.Go(func() { c.read(ctx, r, handle) })
			c.answer(own, f, came, handle)
			return
		}
	}
}

// admit returns the context of a request, unless it is refused, as when too many are open.
func (c *Conn) admit(ctx context.Context, f frame, came passed) (context.Context, bool) {
	if came.cut {
		came.close()
		c.refuse(f.ID, errCut)
		return nil, false
	}

	c.mu.Lock()
	_, twice := c.answering[f.ID]
	full := len(c.answering) >= MaxRequests
	if !twice && !full && c.err == nil {
		own, cancel := context.WithCancelCause(ctx)
		c.answering[f.ID] = cancel
		c.mu.Unlock()
		return own, true
	}
	c.mu.Unlock()

	came.close()
	if twice {
		c.fail(fmt.Errorf("%w: the request %d is made while it is open", ErrClosed, f.ID))
		return nil, false
	}
	c.refuse(f.ID, errBusy)
	return nil, false
}

var (
	errBusy = &Error{
		Text: fmt.Sprintf("%d requests of this connection are open", MaxRequests), Code: CodeBusy,
		Way: "wait for some of them",
	}
	errPlain = &Error{
		Text: "files cannot be passed between hosts", Code: CodeNoFiles,
		Way: "have a process on the host of the keeper do it",
	}
	errCut = &Error{
		Text: "the files did not arrive: the receiving process cannot open more", Code: CodeNoFiles,
		Way: "raise its limit of open files (ulimit -n)",
	}
)

// answer has a handler answer a request.
func (c *Conn) answer(ctx context.Context, f frame, came passed, handle Handler) {
	request := &Request{Verb: f.Verb, Body: f.Body, Files: came.open(), Again: f.again}
	body, files, err := handle(ctx, request)
	closeFiles(request.Files)
	defer closeFiles(files)

	// It is over before the peer can know and use the id again.
	c.mu.Lock()
	interrupted := err != nil && context.Cause(ctx) == ErrPaused && f.Files == 0
	if interrupted {
		c.paused.Open = append(c.paused.Open, f)
	}
	c.answering[f.ID](nil)
	delete(c.answering, f.ID)
	c.mu.Unlock()

	if interrupted {
		return
	}
	if err == nil {
		err = c.post(frame{ID: f.ID}, body, files)
	}
	if err != nil {
		c.refuse(f.ID, err)
	}
	if request.Answered != nil {
		request.Answered()
	}
}

// refuse answers a request with an error.
func (c *Conn) refuse(id uint64, err error) {
	refusal := asError(err)
	if c.post(frame{ID: id, Error: refusal}, nil, nil) != nil {
		// Its text or detail is too long.
		refusal = Error{Text: quote(refusal.Text), Code: refusal.Code}
		_ = c.post(frame{ID: id, Error: refusal}, nil, nil) // the connection is over
	}
}

// abandon ends a request that the peer does not wait for any more.
func (c *Conn) abandon(id uint64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if cancel, open := c.answering[id]; open {
		cancel(nil)
	}
}

// settle hands an answer to the call that waits for it.
func (c *Conn) settle(a answer) {
	c.mu.Lock()
	call, waits := c.calls[a.ID]
	delete(c.calls, a.ID)
	c.mu.Unlock()

	if !waits {
		a.close()
		return
	}
	call <- a
}

// Call makes a request and decodes its answer into out, unless that is nil. The files are copied:
// the caller's stay its own. Those of the answer are the caller's as well. When ctx ends, the peer
// is told that nobody waits any more, and does what it has begun by then: it begins in any case. A
// refusal is an [Error]; if the connection ends, the error is [ErrClosed].
func (c *Conn) Call(ctx context.Context, verb string, in any, files []*os.File, out any) ([]*os.File, error) {
	id, came := c.begin()
	if err := c.post(frame{ID: id, Verb: verb}, in, files); err != nil {
		if !c.forget(id) {
			(<-came).close() // the peer has answered what it was not asked
		}
		return nil, err
	}

	var a answer
	select {
	case a = <-came:
	case <-c.over:
		if !c.forget(id) {
			a = <-came // it was the last to come
			break
		}
		return nil, c.err
	case <-ctx.Done():
		if !c.forget(id) {
			a = <-came
			break
		}
		_ = c.post(frame{ID: id, Cancel: true}, nil, nil) // the connection is over
		return nil, context.Cause(ctx)
	}
	return a.read(out)
}

// begin makes an entry in calls.
func (c *Conn) begin() (uint64, <-chan answer) {
	came := make(chan answer, 1)
	c.mu.Lock()
	defer c.mu.Unlock()
	c.last++
	c.calls[c.last] = came
	return c.last, came
}

// forget removes a call, and reports whether its answer had not come.
func (c *Conn) forget(id uint64) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	_, waits := c.calls[id]
	delete(c.calls, id)
	return waits
}

// read returns what an answer says.
func (a answer) read(out any) ([]*os.File, error) {
	files, body := a.open(), []byte(a.Body)
	err := a.check()
	if err == nil && a.Long {
		last := len(files) - 1
		body, err = memfd.Read(files[last], MaxAnswer)
		err = errors.Join(err, files[last].Close())
		files = files[:last]
	}
	if err == nil && out != nil && len(body) > 0 {
		err = json.Unmarshal(body, out)
	}
	if err != nil {
		closeFiles(files)
		return nil, err
	}
	return files, nil
}

func (a answer) check() error {
	switch {
	case a.Text != "" || a.Code != "":
		refusal := a.Error
		return &refusal
	case a.cut:
		return errCut
	}
	return nil
}

// post sends a frame. It does not wait: what the peer has no room for is queued, and a peer that does
// not read until the queue is full loses its connection. An error is one of this frame, or [ErrClosed].
func (c *Conn) post(f frame, body any, files []*os.File) error {
	var text []byte
	if body != nil {
		var err error
		if text, err = json.Marshal(body); err != nil {
			return err
		}
	}
	if c.plain && len(files) > 0 {
		return errPlain
	}
	if len(text) > maxInline && f.Verb == "" && !c.plain {
		file, err := appendix(text)
		if err != nil {
			return err
		}
		defer file.Close()
		files, f.Long, text = append(files[:len(files):len(files)], file), true, nil
	}
	f.Files = len(files)
	line, err := f.encode(text, c.most())
	if err != nil {
		return &Error{Text: err.Error(), Code: CodeTooLong}
	}
	fds, err := copies(files)
	if err != nil {
		return err
	}

	if err := c.push(outgoing{line, fds}); err != nil {
		fds.close()
		return err
	}
	return nil
}

// appendix returns a file that has a long answer.
func appendix(text []byte) (*os.File, error) {
	if len(text) > MaxAnswer {
		return nil, &Error{Text: fmt.Sprintf("an answer is longer than %d bytes", MaxAnswer), Code: CodeTooLong}
	}
	return memfd.New("answer", text)
}

// push writes a line, at once if nothing is queued and there is room.
func (c *Conn) push(o outgoing) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.err != nil {
		return c.err
	}

	if !c.writing {
		if err := o.write(c.socket, false); err != nil {
			c.end(fmt.Errorf("%w: %w", ErrClosed, err))
			return c.err
		}
		if len(o.line) == 0 {
			return nil
		}
		c.writing = true
		c.own.Go(c.write)
	}

	if c.queued+len(o.line) > maxQueue {
		c.end(fmt.Errorf("%w: the peer does not read what it asked for", ErrClosed))
		return c.err
	}
	c.queue = append(c.queue, o)
	c.queued += len(o.line)
	return nil
}

// write writes what is in the queue until there is no more.
func (c *Conn) write() {
	for {
		o, ok := c.pop()
		if !ok {
			return
		}
		err := o.write(c.socket, true)
		if err != nil {
			o.close()
			c.fail(fmt.Errorf("%w: %w", ErrClosed, err))
		}
	}
}

// pop takes a line out of the queue. It returns false if there is none, which ends writing.
func (c *Conn) pop() (outgoing, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.queue) == 0 {
		c.writing = false
		return outgoing{}, false
	}

	o := c.queue[0]
	c.queue[0] = outgoing{}
	c.queue = c.queue[1:]
	c.queued -= len(o.line)
	return o, true
}

// write writes the line, all of it if it may wait, else as much as there is room for. What it passes
// goes with the first bytes, and is closed once they are written.
func (o *outgoing) write(socket *net.UnixConn, wait bool) error {
	raw, err := socket.SyscallConn()
	if err != nil {
		return err
	}
	var failed error
	err = raw.Write(func(fd uintptr) bool {
		failed = o.send(int(fd))
		return failed != nil || len(o.line) == 0 || !wait
	})
	return errors.Join(err, failed)
}

// send writes as much of the line as there is room for.
func (o *outgoing) send(fd int) error {
	for len(o.line) > 0 {
		var rights []byte
		if len(o.descriptors) > 0 {
			rights = syscall.UnixRights(o.descriptors...)
		}
		n, err := syscall.SendmsgN(fd, o.line, rights, nil, 0)
		switch {
		case err == syscall.EINTR:
			continue
		case err == syscall.EAGAIN:
			return nil
		case err != nil:
			return os.NewSyscallError("sendmsg", err)
		}
		o.line = o.line[n:]
		o.close()
		o.descriptors = nil
	}
	return nil
}
