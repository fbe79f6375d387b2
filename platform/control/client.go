package control

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/divisi-go/divisi/envelope/metrics"
	"github.com/divisi-go/divisi/internal/deployer"
)

// Client is a client of one application's API.
type Client struct {
	http *http.Client
}

// NewClient returns a client of the API on a socket.
func NewClient(socket string) *Client {
	return &Client{http: &http.Client{Transport: &http.Transport{
		DisableKeepAlives: true,
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			var d net.Dialer
			return d.DialContext(ctx, "unix", socket)
		},
	}}}
}

// maxReply bounds an answer.
const maxReply = 256 << 20

func (c *Client) do(ctx context.Context, method, path string, form url.Values, v any) error {
	request, err := http.NewRequestWithContext(ctx, method, "http://divisi"+path+"?"+form.Encode(), nil)
	if err != nil {
		return err
	}
	response, err := c.http.Do(request)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	body := io.LimitReader(response.Body, maxReply)
	if response.StatusCode != http.StatusOK {
		text, _ := io.ReadAll(body)
		return errors.New(cmp.Or(strings.TrimSpace(string(text)), response.Status))
	}
	return json.NewDecoder(body).Decode(v)
}

// Status returns what is known about the application.
func (c *Client) Status(ctx context.Context) (s deployer.Status, err error) {
	return s, c.do(ctx, "GET", "/v1/status", nil, &s)
}

// Info returns what else there is to know.
func (c *Client) Info(ctx context.Context) (i Info, err error) {
	return i, c.do(ctx, "GET", "/v1/info", nil, &i)
}

// Metrics returns the metrics of all replicas, by their names.
func (c *Client) Metrics(ctx context.Context) (m map[string][]*metrics.MetricSnapshot, err error) {
	return m, c.do(ctx, "GET", "/v1/metrics", nil, &m)
}

// Profile takes profiles of one replica of every group, or of one group.
func (c *Client) Profile(ctx context.Context, group, kind string, length time.Duration) (
	p map[string][]byte, err error) {
	form := url.Values{"group": {group}, "kind": {kind}, "duration": {length.String()}}
	return p, c.do(ctx, "POST", "/v1/profile", form, &p)
}

// Stop drains and stops the application, and returns when it has stopped.
func (c *Client) Stop(ctx context.Context) error {
	err := c.do(ctx, "POST", "/v1/stop", nil, &deployer.Status{})
	// The process may be gone before its answer is through; that is what was asked for.
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, syscall.ECONNRESET) {
		return nil
	}
	return err
}

// Running is an application that runs.
type Running struct {
	*Client
	Status deployer.Status
	Info   Info
}

// askTime bounds how long an application that does not answer delays a list.
const askTime = 3 * time.Second

// Find returns the applications that run, by name and start. Sockets whose process is gone are
// removed.
func Find(ctx context.Context, runtimeDir string) ([]Running, error) {
	paths, err := sockets(runtimeDir)
	if err != nil {
		return nil, err
	}
	var list []Running
	for _, path := range paths {
		client := NewClient(path)
		asked, cancel := context.WithTimeout(ctx, askTime)
		info, err := client.Info(asked)
		var status deployer.Status
		if err == nil {
			status, err = client.Status(asked)
		}
		cancel()
		switch {
		case errors.Is(err, syscall.ECONNREFUSED):
			os.Remove(path)
		case errors.Is(err, os.ErrNotExist):
		case err != nil:
			return nil, fmt.Errorf("an application does not answer on %s: %w", path, err)
		default:
			list = append(list, Running{client, status, info})
		}
	}
	slices.SortFunc(list, func(a, b Running) int {
		return cmp.Or(strings.Compare(a.Status.App, b.Status.App), a.Status.Started.Compare(b.Status.Started))
	})
	return list, nil
}
