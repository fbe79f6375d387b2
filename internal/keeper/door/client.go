//go:build linux

package door

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	mathrand "math/rand/v2"
	"os"
	"sync"
	"syscall"
	"time"

	"github.com/divisi-go/divisi/internal/home"
	"github.com/divisi-go/divisi/internal/keeper"
	"github.com/divisi-go/divisi/internal/keeper/frame"
	"github.com/divisi-go/divisi/internal/keeper/link"
	"github.com/divisi-go/divisi/internal/keeper/record"
	"github.com/divisi-go/divisi/internal/keeper/refusal"
)

// Client is the session of a keeper in another process. When its connection ends, because the
// keeper does, it attaches again, to a keeper that it starts if there is none, renews its claim, and asks
// again for what was not answered. The end of a keeper is never taken for that of a process.
type Client struct {
	way   way
	claim keeper.Claim
	ctx   context.Context // until Release
	stop  context.CancelFunc
	done  chan struct{} // closed when the last connection is over

	mu      sync.Mutex // guards what follows
	link    *link.Link // nil while there is none
	holder  keeper.Holder
	err     error         // why there will be none any more
	changed chan struct{} // closed when link or err changes
}

// Attach returns a client of the keeper of a home, which it starts if none answers. While somebody
// else has the claim it waits, until ctx ends; the error then is [keeper.ErrHeld].
func Attach(ctx context.Context, h home.Home, claim keeper.Claim) (*Client, error) {
	return come(ctx, here{h}, claim)
}

// AttachBy is [Attach] for the keeper of another host.
func AttachBy(ctx context.Context, w Way, claim keeper.Claim) (*Client, error) {
	return come(ctx, far{w}, claim)
}

func come(ctx context.Context, w way, claim keeper.Claim) (*Client, error) {
	claim.Token = rand.Text()
	l, err := connect(ctx, w, claim)
	if err != nil {
		return nil, fmt.Errorf("cannot use the keeper of %v: %w", w, err)
	}
	return newClient(w, claim, l), nil
}

// newClient returns a client that is attached.
func newClient(w way, claim keeper.Claim, l *link.Link) *Client {
	c := &Client{
		way: w, claim: claim, link: l, holder: l.Holder,
		done: make(chan struct{}), changed: make(chan struct{}),
	}
	c.ctx, c.stop = context.WithCancel(context.Background())
	go c.stay(l)
	return c
}

// Find returns a client that looks at what the keeper of a home has. If there is no keeper, but one that
// was killed has left something, the next one is started. The error is [ErrNone] if there is nothing.
func Find(ctx context.Context, h home.Home) (*Client, error) {
	for pause := firstPause; ; pause = min(2*pause, lastPause) {
		l, err := link.Reach(ctx, h, keeper.Claim{})
		switch {
		case err == nil:
			return newClient(here{h}, keeper.Claim{}, l), nil
		case refuses(err):
			before, err := record.Load(h.Keeper().State)
			if err != nil {
				return nil, err
			}
			if !before.Holds() {
				return nil, ErrNone
			}
			return Attach(ctx, h, keeper.Claim{})
		case !errors.Is(err, link.ErrAbsent):
			return nil, fmt.Errorf("cannot ask the keeper of %s: %w", h.Dir, err)
		}

		select { // it is about to end
		case <-time.After(pause):
		case <-ctx.Done():
			return nil, fmt.Errorf("cannot ask the keeper of %s: %w: %w", h.Dir, context.Cause(ctx), err)
		}
	}
}

// Info returns what the keeper has said of itself.
func (c *Client) Info(ctx context.Context) (link.Info, error) {
	l, err := c.current(ctx)
	if err != nil {
		return link.Info{}, err
	}
	return l.Keeper, nil
}

// Bounds of the wait before a keeper that could not be started is tried again.
const (
	firstRetry = 100 * time.Millisecond
	lastRetry  = 5 * time.Second
)

// stay stays attached until Release, or until somebody else has taken the domain.
func (c *Client) stay(l *link.Link) {
	defer close(c.done)
	for {
		select {
		case <-l.Served:
		case <-c.ctx.Done():
			c.become(nil, keeper.ErrClosed)
			l.Close()
			return
		}
		if l.Ended.Load() {
			c.become(nil, keeper.ErrClosed)
			return
		}
		c.become(nil, nil)

		next, err := c.again(l.Holder.Epoch)
		if err != nil {
			c.become(nil, err)
			return
		}
		c.become(next, nil)
		l = next
	}
}

// again attaches again.
func (c *Client) again(epoch uint64) (*link.Link, error) {
	claim := c.claim
	claim.Epoch, claim.Take = epoch, false
	for pause := firstRetry; ; pause = min(2*pause, lastRetry) {
		l, err := connect(c.ctx, c.way, claim)
		switch {
		case err == nil:
			return l, nil
		case c.ctx.Err() != nil:
			return nil, keeper.ErrClosed
		case errors.Is(err, keeper.ErrFenced), errors.Is(err, refusal.ErrProtocol):
			return nil, err
		}

		select { // as a full disk or process table may have room again
		case <-time.After(mathrand.N(pause)):
		case <-c.ctx.Done():
		}
	}
}

// become takes note of another link, of none, or of why there is none any more.
func (c *Client) become(l *link.Link, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.link, c.err = l, err
	if l != nil {
		c.holder = l.Holder
	}
	close(c.changed)
	c.changed = make(chan struct{})
}

// current returns the link, and waits until there is one.
func (c *Client) current(ctx context.Context) (*link.Link, error) {
	for {
		c.mu.Lock()
		l, err, changed := c.link, c.err, c.changed
		c.mu.Unlock()
		switch {
		case err != nil:
			return nil, err
		case l != nil && !over(l):
			return l, nil
		}

		select {
		case <-changed:
		case <-ctx.Done():
			return nil, fmt.Errorf("no keeper answers: %w", context.Cause(ctx))
		}
	}
}

// over reports whether a connection has ended.
func over(l *link.Link) bool {
	select {
	case <-l.Conn.Over():
		return true
	default:
		return false
	}
}

// call makes a request. If the keeper ends without an answer, nobody knows whether it has done what it was
// asked for: the next one is asked again, and a.Again is set.
func (c *Client) call(ctx context.Context, verb string, a *link.Ask, files []*os.File, out any) ([]*os.File, error) {
	for {
		l, err := c.current(ctx)
		if err != nil {
			return nil, fmt.Errorf("cannot %s: %w", verb, err)
		}
		got, err := l.Conn.Call(ctx, verb, a, files, out)
		if !errors.Is(err, frame.ErrClosed) {
			return got, refusal.Understood(err)
		}
		a.Again = true
	}
}

// file makes a request that is answered with a file.
func (c *Client) file(ctx context.Context, verb string, a *link.Ask) (*os.File, error) {
	files, err := c.call(ctx, verb, a, nil, nil)
	if err != nil {
		return nil, err
	}
	if len(files) != 1 {
		for _, f := range files {
			f.Close()
		}
		return nil, fmt.Errorf("%w: it answers %s with %d files", refusal.ErrProtocol, verb, len(files))
	}
	return files[0], nil
}

// Holder returns the claim of the client, which has another epoch after each time that it was
// renewed.
func (c *Client) Holder() keeper.Holder {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.holder
}

// releaseTime bounds how long a keeper is told that the client goes. It sees that by itself, later.
const releaseTime = 2 * time.Second

// Release ends the session. Nothing of what it has started ends.
func (c *Client) Release() error {
	ctx, cancel := context.WithTimeout(c.ctx, releaseTime)
	defer cancel()
	c.mu.Lock()
	l := c.link
	c.mu.Unlock()
	if l != nil {
		_, _ = l.Conn.Call(ctx, "release", link.Ask{}, nil, nil) // it has ended, or sees the end of the connection
	}
	c.stop()
	<-c.done
	return nil
}

// Shutdown kills all that the keeper holds, whoever has it, and ends the keeper and the sessions of all
// its clients. It returns when it answers nobody any more.
func (c *Client) Shutdown(ctx context.Context) error {
	a := &link.Ask{}
	_, err := c.call(ctx, "shutdown", a, nil, nil)
	told := a.Again && errors.Is(err, keeper.ErrClosed) // it had ended before it answered
	if err != nil && !told {
		return err
	}
	select {
	case <-c.done:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// Upgrade has another program take over the keeper in the same process, and returns what that says of
// itself. Nothing that the keeper holds is disturbed. If the program cannot, the keeper goes on as it was.
func (c *Client) Upgrade(ctx context.Context, program string) (info link.Info, err error) {
	l, err := c.current(ctx)
	if err != nil {
		return link.Info{}, err
	}

	_, err = l.Conn.Call(ctx, "upgrade", link.Ask{Program: program}, nil, &info)
	var e *frame.Error
	switch {
	case errors.As(err, &e) && e.Code == frame.CodeUnknownVerb:
		return link.Info{}, &frame.Error{
			Text: fmt.Sprintf("this keeper (process %d, %s) is too old to be upgraded in place", l.Keeper.Pid, l.Keeper.Program),
			Way: fmt.Sprintf("end it by kill %d: all that it holds runs on, and the next command starts the newer one",
				l.Keeper.Pid),
		}
	case errors.Is(err, frame.ErrClosed): // asked again, it would end again
		return link.Info{}, fmt.Errorf("the keeper ended while %s took over, and the next client starts another one: see %s",
			program, c.way.log())
	}
	return info, refusal.Understood(err)
}

// Fenced returns once the client may change nothing any more, and says why. See [hold.Session.Fenced]. Of
// a keeper that is too old to tell at once, it learns that when the claim cannot be renewed.
func (c *Client) Fenced(ctx context.Context) error {
	for {
		l, err := c.current(ctx)
		if err != nil {
			return err
		}

		_, err = l.Conn.Call(ctx, "fenced", link.Ask{}, nil, nil)
		var e *frame.Error
		switch {
		case errors.Is(err, frame.ErrClosed):
		case errors.As(err, &e) && e.Code == frame.CodeUnknownVerb:
			select {
			case <-l.Conn.Over():
			case <-ctx.Done():
				return context.Cause(ctx)
			}
		default:
			return refusal.Understood(err)
		}
	}
}

// Answers returns once there is a keeper that answers, or once there is none, and with an error when there will be
// none any more.
func (c *Client) Answers(ctx context.Context, wanted bool) error {
	for {
		c.mu.Lock()
		is, err, changed := c.link != nil, c.err, c.changed
		c.mu.Unlock()
		if err != nil || is == wanted {
			return err
		}

		select {
		case <-changed:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// Listen opens a listening socket and keeps it under a key. See [hold.Session.Listen].
func (c *Client) Listen(ctx context.Context, want keeper.Socket) (got keeper.Socket, err error) {
	_, err = c.call(ctx, "listen", &link.Ask{Socket: &want}, nil, &got)
	return got, err
}

// Unlisten closes a socket.
func (c *Client) Unlisten(ctx context.Context, domain, key string) error {
	a := &link.Ask{Domain: domain, Key: key}
	_, err := c.call(ctx, "unlisten", a, nil, nil)
	if a.Again && errors.Is(err, keeper.ErrUnknown) {
		return nil // the keeper that has ended had closed it
	}
	return err
}

// Take returns a copy of a listening socket.
func (c *Client) Take(ctx context.Context, domain, key string) (*os.File, error) {
	return c.file(ctx, "take", &link.Ask{Domain: domain, Key: key})
}

// Sockets returns the sockets of a domain and of those below it.
func (c *Client) Sockets(ctx context.Context, domain string) (list []keeper.Socket, err error) {
	_, err = c.call(ctx, "sockets", &link.Ask{Domain: domain}, nil, &list)
	return list, err
}

// Put keeps a file in a slot of a domain, in place of what is there, or nothing if the file is nil. It
// becomes the keeper's.
func (c *Client) Put(ctx context.Context, domain, slot string, f *os.File) error {
	var files []*os.File
	if f != nil {
		files = []*os.File{f}
		defer f.Close()
	}
	_, err := c.call(ctx, "put", &link.Ask{Domain: domain, Key: slot}, files, nil)
	return err
}

// Get returns a copy of the file in a slot.
func (c *Client) Get(ctx context.Context, domain, slot string) (*os.File, error) {
	return c.file(ctx, "get", &link.Ask{Domain: domain, Key: slot})
}

// Start starts a server, once, however many keepers end meanwhile. See [hold.Session.Start] and
// [hold.Session.Again].
func (c *Client) Start(ctx context.Context, spec keeper.Spec) (p keeper.Proc, err error) {
	spec.Token = rand.Text()
	a := &link.Ask{Spec: &spec}
	var files []*os.File
	for _, f := range spec.Files {
		defer f.File.Close()
		files = append(files, f.File)
		a.Variables = append(a.Variables, f.Var)
	}
	_, err = c.call(ctx, "start", a, files, &p)
	return p, err
}

// Signal sends a signal to a process and its children, once more if the keeper ends without an answer.
func (c *Client) Signal(ctx context.Context, id keeper.ID, number syscall.Signal) error {
	_, err := c.call(ctx, "signal", &link.Ask{ID: id, Signal: int(number)}, nil, nil)
	return err
}

// Stop ends a server that nobody wants any more. See [hold.Session.Stop].
func (c *Client) Stop(ctx context.Context, id keeper.ID) (exit keeper.Exit, err error) {
	a := &link.Ask{ID: id}
	_, err = c.call(ctx, "stop", a, nil, &exit)
	if a.Again && errors.Is(err, keeper.ErrUnknown) {
		return c.Wait(ctx, id) // the keeper that has ended had stopped it
	}
	return exit, err
}

// Wait returns how one start of a server has ended, once it has. See [hold.Session.Wait].
func (c *Client) Wait(ctx context.Context, id keeper.ID) (exit keeper.Exit, err error) {
	_, err = c.call(ctx, "wait", &link.Ask{ID: id}, nil, &exit)
	return exit, err
}

// List returns the servers of a domain and of those below it, by name.
func (c *Client) List(ctx context.Context, domain string) (list []keeper.Proc, err error) {
	_, err = c.call(ctx, "list", &link.Ask{Domain: domain}, nil, &list)
	return list, err
}

// Spec returns how a server was asked for. See [hold.Session.Spec].
func (c *Client) Spec(ctx context.Context, id keeper.ID) (spec keeper.Spec, err error) {
	_, err = c.call(ctx, "spec", &link.Ask{ID: id}, nil, &spec)
	return spec, err
}

// Exits returns the ends of the processes of a domain and of those below it, behind a number.
func (c *Client) Exits(ctx context.Context, domain string, after uint64) (list []keeper.ExitRecord, err error) {
	_, err = c.call(ctx, "exits", &link.Ask{Domain: domain, After: after}, nil, &list)
	return list, err
}

// Next returns the events of a domain and of those below it, behind a number. See
// [hold.Session.Next].
func (c *Client) Next(ctx context.Context, domain string, after uint64) (list []keeper.Event, err error) {
	_, err = c.call(ctx, "next", &link.Ask{Domain: domain, After: after}, nil, &list)
	return list, err
}
