package sandbox

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strconv"

	"github.com/divisi-go/divisi/internal/agent"
)

// Machine is a sandbox as package agent makes a host of it. It has no shell.
type Machine struct {
	Called string
	Reach  func(ctx context.Context) (net.Conn, error) // connects to its door
}

var _ agent.Bare = Machine{}

// Name implements [agent.Machine].
func (m Machine) Name() string { return m.Called }

// Dial implements [agent.Machine].
func (m Machine) Dial(ctx context.Context, network, address string) (net.Conn, error) {
	conn, err := m.Reach(ctx)
	if err != nil {
		return nil, err
	}
	return agent.DialThrough(ctx, conn, network, address)
}

// Run implements [agent.Machine].
func (Machine) Run(context.Context, io.Reader, io.Writer, ...string) error {
	return errors.New("a sandbox executes agents only")
}

// Execute implements [agent.Bare].
func (m Machine) Execute(ctx context.Context, in io.Reader, out io.Writer, sum, name string) error {
	return m.ask(ctx, in, out, "agent", url.Values{"sum": {sum}, "name": {name}})
}

// Arrive implements [agent.Bare].
func (m Machine) Arrive(ctx context.Context, in io.Reader, sum, name string, length int64) error {
	return m.ask(ctx, in, io.Discard, "arrive", url.Values{"sum": {sum}, "name": {name}, "length": {strconv.FormatInt(length, 10)}})
}

// ask has the first process run something, and returns when that has ended.
func (m Machine) ask(ctx context.Context, in io.Reader, out io.Writer, verb string, form url.Values) error {
	body, ok := in.(io.ReadCloser) // which ends a read that nobody waits for any more
	if !ok {
		body = io.NopCloser(in)
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://divisi/v1/"+verb+"?"+form.Encode(), body)
	if err != nil {
		return err
	}
	over := func() { body.Close() } // or the transport would wait for more of it
	defer context.AfterFunc(ctx, over)()
	dial := func(ctx context.Context, _, _ string) (net.Conn, error) {
		conn, err := m.Reach(ctx)
		return &ending{conn, over}, err
	}
	web := &http.Transport{DialContext: dial, DisableKeepAlives: true, DisableCompression: true}
	response, err := web.RoundTrip(request)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return fmt.Errorf("the sandbox answers %s: %s", verb, response.Status)
	}
	if _, err := io.Copy(out, response.Body); err != nil {
		return err
	}
	if quoted := response.Trailer.Get(errorTrailer); quoted != "" {
		text, err := strconv.Unquote(quoted)
		return errors.Join(err, errors.New(text))
	}
	return nil
}

// ending is a connection that tells of its end.
type ending struct {
	net.Conn
	over func()
}

func (e *ending) Read(p []byte) (int, error) {
	n, err := e.Conn.Read(p)
	if err != nil {
		e.over()
	}
	return n, err
}

// errorTrailer has the error of a command, if there is one.
const errorTrailer = "Divisi-Error"
