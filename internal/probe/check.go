package probe

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"syscall"
	"time"
)

// Target is the server that is asked.
type Target struct {
	Listeners []Address
	Dir       string               // where files and commands are; "" for this process's own
	Env       []string             // of commands
	Attr      *syscall.SysProcAttr // of commands: who they run as; nil for this process's own
	Since     time.Time            // when it started; files that are older say nothing of it
}

// Address is where a server listens, in the words of package net, such as tcp and [::]:8080.
type Address struct{ Network, Address string }

// maxHeader bounds the head of an answer, in bytes.
const maxHeader = 64 << 10

// Check asks once, until ctx ends. The error says what was asked and what came of it.
//
// A socket that somebody else keeps open for the server accepts connections also while the server
// does not.
func (p Probe) Check(ctx context.Context, t Target) error {
	var err error
	switch p.Kind {
	case "":
		return nil
	case Port:
		err = p.dial(ctx, t)
	case HTTP:
		err = p.get(ctx, t)
	case File:
		err = p.stat(t)
	case Exec:
		err = p.run(ctx, t)
	default:
		err = errors.New("nobody can ask for that: the server says it by itself")
	}
	if err != nil {
		return fmt.Errorf("%s: %w", p, err)
	}

	return nil
}

var errNoListener = errors.New("the server has no listener: name the host and the port")

// dial connects to all listeners, or to the port at one of the hosts.
func (p Probe) dial(ctx context.Context, t Target) error {
	var errs []error
	for _, host := range p.hosts {
		err := connect(ctx, Address{"tcp", net.JoinHostPort(host, p.port)})
		if err == nil {
			return nil
		}
		errs = append(errs, err)
	}
	if len(p.hosts) > 0 {
		return errors.Join(errs...)
	}
	if len(t.Listeners) == 0 {
		return errNoListener
	}

	for _, address := range t.Listeners {
		if err := connect(ctx, address); err != nil {
			return err
		}
	}

	return nil
}

func connect(ctx context.Context, a Address) error {
	var d net.Dialer
	conn, err := d.DialContext(ctx, a.Network, a.Address)
	if err != nil {
		return err
	}

	return conn.Close()
}

// get sends a request of its own connection, and follows no redirection.
func (p Probe) get(ctx context.Context, t Target) error {
	address := *p.url
	transport := &http.Transport{
		DisableKeepAlives:      true,
		MaxResponseHeaderBytes: maxHeader,
		// Servers that are asked by their own host have certificates of other names, or of nobody.
		TLSClientConfig: &tls.Config{InsecureSkipVerify: true},
	}
	if address.Host == "" {
		if len(t.Listeners) == 0 {
			return errNoListener
		}
		address.Scheme, address.Host = "http", "localhost"
		transport.DialContext = func(ctx context.Context, _, _ string) (net.Conn, error) {
			var d net.Dialer
			return d.DialContext(ctx, t.Listeners[0].Network, t.Listeners[0].Address)
		}
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, address.String(), nil)
	if err != nil {
		return err
	}

	answer, err := transport.RoundTrip(request)
	if err != nil {
		return err
	}
	defer answer.Body.Close()
	if answer.StatusCode < 200 || answer.StatusCode > 399 {
		return fmt.Errorf("the answer is %s", answer.Status)
	}

	return nil
}

// clockStep is how much earlier than it was written a file may seem to be: its time is that of the
// last tick of the kernel's clock.
const clockStep = 10 * time.Millisecond

func (p Probe) stat(t Target) error {
	path := p.argument
	if !filepath.IsAbs(path) {
		path = filepath.Join(t.Dir, path)
	}
	info, err := os.Stat(path)
	if err != nil {
		return err
	}
	if info.ModTime().Before(t.Since.Add(-clockStep)) {
		return fmt.Errorf("%s is older than the server, which started at %s", path, t.Since.Format(time.RFC3339))
	}

	return nil
}
