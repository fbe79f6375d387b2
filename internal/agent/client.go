package agent

import (
	"bufio"
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"sync"
	"time"

	"github.com/divisi-go/divisi/internal/keeper/door"
	"github.com/divisi-go/divisi/internal/keeper/frame"
	"github.com/divisi-go/divisi/internal/keeper/refusal"
)

// Client has an agent on a machine. When the agent ends, or the machine cannot be reached, it begins another one, and asks
// again for what was not answered: everything that an agent does may be done twice.
type Client struct {
	machine Machine
	builds  string          // folder with builds of the program for other systems
	ctx     context.Context // until Close
	stop    context.CancelFunc

	turn  chan struct{} // has room for who begins an agent
	build *build        // for the machine; used by who has the turn

	mu  sync.Mutex // guards what follows
	now *running   // the last agent; nil before there is one
}

var _ door.Way = (*Client)(nil)

// running is one agent.
type running struct {
	greeting
	web  http.Client
	stay io.Closer          // the input of the command, by whose end an agent ends
	end  context.CancelFunc // kills the command
	over chan struct{}      // closed when its command has ended
	err  error              // how, set before over is closed
}

// newClient returns a client that has no agent yet.
func newClient(m Machine, builds string) (*Client, error) {
	me, err := readSelf()
	if err != nil {
		return nil, err
	}
	c := &Client{machine: m, builds: builds, turn: make(chan struct{}, 1), build: me}
	c.ctx, c.stop = context.WithCancel(context.Background())
	return c, nil
}

// leaveTime is how long an agent may take to end.
const leaveTime = 2 * time.Second

// Close ends the agent. Everything else on the machine goes on.
func (c *Client) Close() {
	c.stop()
	c.turn <- struct{}{} // for good: nobody begins another one
	c.mu.Lock()
	now := c.now
	c.mu.Unlock()
	if now == nil {
		return
	}
	now.leave()
}

// leave ends the agent.
func (r *running) leave() {
	_ = r.stay.Close() // it always can be
	select {
	case <-r.over:
	case <-time.After(leaveTime):
		r.end()
		<-r.over
	}
}

// String returns the name of the host.
func (c *Client) String() string { return c.machine.Name() }

// ErrClosed is the error of a client that is closed.
var ErrClosed = errors.New("the host is closed")

// current returns the agent that runs, and begins one if there is none.
func (c *Client) current(ctx context.Context) (*running, error) {
	select {
	case c.turn <- struct{}{}:
		defer func() { <-c.turn }()
	case <-c.ctx.Done():
		return nil, ErrClosed
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
	c.mu.Lock()
	now := c.now
	c.mu.Unlock()
	if now != nil && !now.ended() {
		return now, nil
	}
	if c.ctx.Err() != nil {
		return nil, ErrClosed
	}

	next, err := c.begin(ctx)
	if err != nil {
		return nil, fmt.Errorf("cannot use the host %v: %w", c, err)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = next
	return next, nil
}

func (r *running) ended() bool {
	select {
	case <-r.over:
		return true
	default:
		return false
	}
}

// begin has an agent run, and sends the program before if the machine does not have it, or has it damaged. What was cut off
// goes on as long as more arrives.
func (c *Client) begin(ctx context.Context) (*running, error) {
	var failed error // of the last time that it was sent
	for sent, have := false, int64(-1); ; {
		r, err := c.run(ctx)
		switch {
		case err != nil || r.Socket != "":
			return r, err
		case r.Missing == "" && !r.Damaged:
			return nil, r.why()
		case sent && failed == nil:
			return nil, fmt.Errorf("the program was sent, and is no agent there: %w", r.why())
		case failed != nil && r.Have <= have:
			return nil, failed
		}

		if r.Missing != "" {
			fits, err := c.build.fit(r.Missing, c.builds)
			if err != nil {
				return nil, err
			}
			if fits.sum != c.build.sum {
				c.build = fits
				continue
			}
		}
		sent, have, failed = true, r.Have, c.bring(ctx, r.Have, r.Gzip)
		if ctx.Err() != nil {
			return nil, failed
		}
	}
}

// run has the machine run the program, and returns what that says first.
func (c *Client) run(ctx context.Context) (*running, error) {
	life, end := context.WithCancel(context.WithoutCancel(c.ctx))
	in, stay := io.Pipe()
	said, says := io.Pipe()
	r := &running{stay: stay, end: end, over: make(chan struct{})}
	go func() {
		defer close(r.over)
		if bare, ok := c.machine.(Bare); ok {
			r.err = bare.Execute(life, in, says, c.build.sum, c.build.name)
		} else {
			r.err = c.machine.Run(life, in, says, "sh", "-c", enter, "divisi", c.build.sum, c.build.name, rand.Text())
		}
		end()
		says.Close()
		in.Close()
	}()

	defer context.AfterFunc(ctx, end)()
	defer context.AfterFunc(c.ctx, end)()
	limit := time.AfterFunc(greetTime, end)
	defer limit.Stop()
	line, err := bufio.NewReader(io.LimitReader(said, maxGreet)).ReadBytes('\n')
	if err == nil {
		r.greeting, err = greet(line)
	}
	go func() { _, _ = io.Copy(io.Discard, said) }() // it says no more
	if err == nil && r.Socket != "" {
		dial := func(ctx context.Context, _, _ string) (net.Conn, error) { return c.machine.Dial(ctx, "unix", r.Socket) }
		r.web.Transport = &http.Transport{DialContext: dial, DisableCompression: true}
		go r.live(stay)
		return r, nil
	}

	r.leave()
	switch {
	case ctx.Err() != nil:
		return nil, context.Cause(ctx)
	case c.ctx.Err() != nil:
		return nil, ErrClosed
	}
	return r, nil
}

// live gives signs of life until the agent has ended.
func (r *running) live(to io.Writer) {
	tick := time.NewTicker(signTime)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			_, _ = to.Write([]byte{'\n'}) // who does not hear it has ended
		case <-r.over:
			return
		}
	}
}

// why says why a command was no agent.
func (r *running) why() error {
	if r.err != nil {
		return r.err
	}
	return errors.New("it has said nothing that is understood")
}

// Bounds of the wait before an agent that cannot be had is tried again.
const (
	firstPause = 100 * time.Millisecond
	lastPause  = 3 * time.Second
)

// call asks for something until that is answered, or ctx ends.
func (c *Client) call(ctx context.Context, verb string, a ask) (done answer, err error) {
	for pause := firstPause; ; pause = min(2*pause, lastPause) {
		var r *running
		r, err = c.current(ctx)
		if err == nil {
			if done, err = r.ask(ctx, verb, a); err == nil {
				return done, nil
			}
		}
		if errors.As(err, new(*refused)) || errors.Is(err, ErrClosed) {
			return done, fmt.Errorf("on %v: %w", c, err)
		}

		select {
		case <-time.After(pause):
		case <-ctx.Done():
			if cause := context.Cause(ctx); !errors.Is(err, cause) {
				err = fmt.Errorf("%w: %w", cause, err)
			}
			return done, fmt.Errorf("the host %v does not answer: %w", c, err)
		}
	}
}

// refused is the error of what an agent was asked for, and could not do.
type refused struct{ error }

func (r *refused) Unwrap() error { return r.error }

// ask makes one request. An agent that breaks off is over.
func (r *running) ask(ctx context.Context, verb string, a ask) (done answer, err error) {
	body, err := json.Marshal(a)
	if err != nil {
		return done, err
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://divisi/v1/"+verb, bytes.NewReader(body))
	if err != nil {
		return done, err
	}
	response, err := r.web.Do(request)
	if err != nil {
		if ctx.Err() == nil {
			r.end()
		}
		return done, err
	}
	defer response.Body.Close()
	err = told(verb, response, &done)
	return done, err
}

// told reads an answer.
func told(verb string, response *http.Response, done *answer) error {
	text := json.NewDecoder(io.LimitReader(response.Body, maxBody))
	if response.StatusCode == http.StatusOK {
		return text.Decode(done)
	}
	e := &frame.Error{}
	if err := text.Decode(e); err != nil || e.Text == "" {
		return &refused{fmt.Errorf("the agent answers %s: %s", verb, response.Status)}
	}
	if response.StatusCode == http.StatusServiceUnavailable {
		return refusal.Understood(e)
	}
	return &refused{refusal.Understood(e)}
}

// DialIn connects in the network of the host.
func (c *Client) DialIn(ctx context.Context, network, address string) (net.Conn, error) {
	r, err := c.current(ctx)
	if err != nil {
		return nil, err
	}
	conn, err := c.machine.Dial(ctx, "unix", r.Socket)
	if err != nil {
		return nil, fmt.Errorf("the host %v does not answer: %w", c, err)
	}
	through, err := DialThrough(ctx, conn, network, address)
	if err != nil {
		return nil, fmt.Errorf("cannot connect to %s on %v: %w", address, c, err)
	}
	return through, nil
}

// DialThrough has a connection to whoever has [ServeDial] be one to an address. It is closed if that cannot be had.
func DialThrough(ctx context.Context, conn net.Conn, network, address string) (net.Conn, error) {
	stop := context.AfterFunc(ctx, func() { _ = conn.SetDeadline(time.Unix(1, 0)) })
	through, err := upgrade(conn, network, address)
	if !stop() {
		err = errors.Join(context.Cause(ctx), err)
	}
	if err != nil {
		return nil, errors.Join(err, conn.Close())
	}
	return through, nil
}

// upgrade has a connection to an agent be one to an address.
func upgrade(conn net.Conn, network, address string) (net.Conn, error) {
	where := url.Values{"network": {network}, "address": {address}}.Encode()
	_, err := io.WriteString(conn, "POST /v1/dial?"+where+" HTTP/1.1\r\nHost: divisi\r\nConnection: Upgrade\r\nUpgrade: "+upgraded+"\r\nContent-Length: 0\r\n\r\n")
	if err != nil {
		return nil, err
	}
	said := bufio.NewReader(conn)
	response, err := http.ReadResponse(said, nil)
	if err != nil {
		return nil, err
	}
	if response.StatusCode == http.StatusSwitchingProtocols {
		return &through{conn, said}, nil
	}
	defer response.Body.Close()
	e := &frame.Error{}
	if err := json.NewDecoder(io.LimitReader(response.Body, maxBody)).Decode(e); err != nil {
		return nil, fmt.Errorf("the agent answers %s", response.Status)
	}
	return nil, refusal.Understood(e)
}

// through is a connection of which something was read ahead.
type through struct {
	net.Conn
	said *bufio.Reader
}

func (t *through) Read(p []byte) (int, error) { return t.said.Read(p) }

// CloseWrite says that nothing more is written.
func (t *through) CloseWrite() error {
	if half, ok := t.Conn.(interface{ CloseWrite() error }); ok {
		return half.CloseWrite()
	}
	return t.Conn.Close()
}

// Dial implements [door.Way].
func (c *Client) Dial(ctx context.Context) (net.Conn, error) {
	r, err := c.current(ctx)
	if err != nil {
		return nil, err
	}
	return c.machine.Dial(ctx, "unix", r.Door)
}

// Start implements [door.Way].
func (c *Client) Start(ctx context.Context) error {
	_, err := c.call(ctx, "keeper", ask{})
	return err
}

// Reach returns nil once the agent answers.
func (c *Client) Reach(ctx context.Context) error {
	_, err := c.call(ctx, "greet", ask{})
	return err
}
