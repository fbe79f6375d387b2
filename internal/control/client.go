package control

import (
	"bufio"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"syscall"
	"time"

	"github.com/divisi-go/divisi/internal/event"
)

// Client is a client of one application's part of the API.
type Client struct {
	socket string
	app    string
	http   *http.Client
}

// NewClient returns a client of an application behind a door.
func NewClient(socket, app string) *Client {
	return &Client{socket: socket, app: app, http: &http.Client{Transport: &http.Transport{
		DisableKeepAlives: true,
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			var d net.Dialer
			return d.DialContext(ctx, "unix", socket)
		},
	}}}
}

// Bounds of answers.
const (
	maxReply = 256 << 20
	maxValue = 4 << 20 // of a stream
)

// request asks, and returns the body of an answer that is no refusal. What is posted is in the body of the
// request: it may be a secret, and addresses are written to logs.
func (c *Client) request(ctx context.Context, method, path string, form url.Values) (io.ReadCloser, error) {
	address, body := "http://divisi"+path, io.Reader(nil)
	if method == http.MethodPost {
		body = strings.NewReader(form.Encode())
	} else if len(form) > 0 {
		address += "?" + form.Encode()
	}
	request, err := http.NewRequestWithContext(ctx, method, address, body)
	if err != nil {
		return nil, err
	}
	if body != nil {
		request.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	response, err := c.http.Do(request)
	if err != nil {
		var outer *url.Error
		if errors.As(err, &outer) {
			err = outer.Err // the address says nothing
		}
		return nil, err
	}
	if response.StatusCode == http.StatusOK {
		return response.Body, nil
	}
	defer response.Body.Close()
	text, _ := io.ReadAll(io.LimitReader(response.Body, maxValue))
	e := &Error{Code: Failed}
	_ = json.Unmarshal(text, e)
	e.Text = cmp.Or(e.Text, strings.TrimSpace(string(text)), response.Status)
	return nil, e
}

func (c *Client) do(ctx context.Context, method, path string, form url.Values, v any) error {
	body, err := c.request(ctx, method, path, form)
	if err != nil {
		return err
	}
	defer body.Close()
	return json.NewDecoder(io.LimitReader(body, maxReply)).Decode(v)
}

// of returns the path of a subject of the application.
func (c *Client) of(subject string) string {
	return "/v1/apps/" + url.PathEscape(c.app) + "/" + subject
}

// Status returns what is known about the application.
func (c *Client) Status(ctx context.Context) (s Status, err error) {
	return s, c.do(ctx, "GET", c.of("status"), nil, &s)
}

// Metrics returns the metrics of all replicas that answer.
func (c *Client) Metrics(ctx context.Context) (m []ReplicaMetrics, err error) {
	return m, c.do(ctx, "GET", c.of("metrics"), nil, &m)
}

// Profile takes profiles of one replica of every group, or of one group. If some fail, there is
// no error unless all do.
func (c *Client) Profile(ctx context.Context, group, kind string, length time.Duration) (
	p Profiles, err error) {
	form := url.Values{"group": {group}, "kind": {kind}, "duration": {length.String()}}
	return p, c.do(ctx, "POST", c.of("profile"), form, &p)
}

// Stop drains and stops the application, and returns when the process that ran it has closed
// everything.
func (c *Client) Stop(ctx context.Context) error {
	err := c.do(ctx, "POST", c.of("stop"), nil, &Status{})
	// If that process is killed meanwhile, there is no answer; but then it has stopped.
	if err != nil && !gone(err) {
		return err
	}
	const often = 10 * time.Millisecond
	for {
		var d net.Dialer
		conn, err := d.DialContext(ctx, "unix", c.socket)
		if err != nil {
			if gone(err) {
				return nil
			}
			return err
		}
		conn.Close()
		select {
		case <-time.After(often):
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// gone reports whether an error says that nobody serves any more.
func gone(err error) bool {
	for _, sign := range []error{io.EOF, io.ErrUnexpectedEOF, syscall.ECONNRESET, syscall.EPIPE,
		syscall.ECONNREFUSED, syscall.ENOENT} {
		if errors.Is(err, sign) {
			return true
		}
	}
	return false
}

// Events returns what happened lately, the oldest first.
func (c *Client) Events(ctx context.Context) (list []event.Record, err error) {
	err = c.Stream(ctx, "events", url.Values{"follow": {"false"}}, func(line json.RawMessage) error {
		var r event.Record
		if err := json.Unmarshal(line, &r); err != nil {
			return err
		}
		list = append(list, r)
		return nil
	})
	return list, err
}

// Stream hands on the values of a stream, "logs" or "events", until it ends or ctx does.
func (c *Client) Stream(ctx context.Context, name string, form url.Values,
	show func(json.RawMessage) error) error {
	body, err := c.request(ctx, "GET", c.of(name), form)
	if err != nil {
		return err
	}
	defer body.Close()
	lines := bufio.NewScanner(body)
	lines.Buffer(nil, maxValue)
	for lines.Scan() {
		var e Error
		if json.Unmarshal(lines.Bytes(), &e) == nil && e.Text != "" {
			return &e
		}
		if err := show(lines.Bytes()); err != nil {
			return err
		}
	}
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	if err := lines.Err(); err != nil && !gone(err) {
		return fmt.Errorf("the stream %s broke off: %w", name, err)
	}
	return nil
}
