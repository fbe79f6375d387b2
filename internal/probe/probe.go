// Package probe is how one sees of a server whether it is ready, or well, and how people write that.
package probe

import (
	"errors"
	"fmt"
	"net"
	"net/url"
	"regexp"
	"strconv"
	"strings"
)

// Kind is where the answer comes from.
type Kind string

// The kinds. Whoever starts the server is told by Notify and Log; [Probe.Check] asks for the others.
const (
	Notify Kind = "notify" // it says READY=1 at NOTIFY_SOCKET
	Log    Kind = "log"    // a line of its output matches a regular expression
	Port   Kind = "port"   // its listeners, or a port, accept a connection
	HTTP   Kind = "http"   // a GET request is answered with a status from 200 to 399
	File   Kind = "file"   // a file exists, and is no older than the server
	Exec   Kind = "exec"   // a command line of the shell exits with 0
)

// Probe is one question. The zero value is none, which is always answered well.
type Probe struct {
	Kind Kind

	argument string
	port     string         // of Port: what follows the host; "" for the listeners
	hosts    []string       // of Port: one of them accepts
	url      *url.URL       // of HTTP; without a host it is at the first listener
	pattern  *regexp.Regexp // of Log
}

// Forms is what a probe may look like, for people.
const Forms = "notify, port, port:PORT, port:HOST:PORT, http:/PATH, http://HOST:PORT/PATH, file:PATH, exec:COMMAND or log:REGEXP"

// maxText bounds a probe, in bytes.
const maxText = 4096

// Parse reads a probe: notify, port (of its listeners), port:8080, port:db.local:5432,
// http:/healthz (at its first listener), http://localhost:8080/healthz, file:run/ready,
// "exec:pg_isready -q" or "log:listening on". The certificate of an address with https is not judged.
func Parse(text string) (Probe, error) {
	if len(text) > maxText {
		return Probe{}, fmt.Errorf("the probe %.40q... has %d bytes, and may have %d", text, len(text), maxText)
	}

	kind, argument, given := strings.Cut(text, ":")
	p := Probe{Kind: Kind(kind), argument: argument}
	var err error
	switch {
	case strings.ContainsRune(text, 0):
		err = errors.New("it has a zero byte")
	case kind == "https":
		p.Kind, p.argument = HTTP, text
		err = p.parseURL()
	case p.Kind == HTTP && strings.HasPrefix(argument, "//"):
		p.argument = text
		err = p.parseURL()
	case p.Kind == HTTP:
		err = p.parsePath()
	case p.Kind == Port:
		err = p.parsePort(given)
	case p.Kind == Log:
		if p.pattern, err = regexp.Compile(argument); argument == "" {
			err = errors.New("it has no regular expression")
		}
	case p.Kind == Notify && given:
		err = errors.New("notify has no argument")
	case p.Kind == Notify:
	case p.Kind != File && p.Kind != Exec:
		return Probe{}, fmt.Errorf("the probe %q is none of %s", text, Forms)
	case strings.TrimSpace(argument) == "":
		err = fmt.Errorf("%s has no argument", kind)
	}
	if err != nil {
		return Probe{}, fmt.Errorf("the probe %q: %w; write %s", text, err, Forms)
	}

	return p, nil
}

func (p *Probe) parsePort(given bool) error {
	if !given {
		return nil
	}

	// Whether the server listens at the one or the other is nothing that people think of.
	p.hosts, p.port = []string{"127.0.0.1", "::1"}, p.argument
	if strings.Contains(p.argument, ":") {
		host, port, err := net.SplitHostPort(p.argument)
		if err != nil {
			return err
		}
		p.port = port
		if host != "" {
			p.hosts = []string{host}
		}
	}
	if n, err := strconv.ParseUint(p.port, 10, 16); err != nil || n == 0 {
		return fmt.Errorf("%q is no port from 1 to 65535", p.port)
	}

	return nil
}

func (p *Probe) parsePath() error {
	if !strings.HasPrefix(p.argument, "/") {
		return errors.New("its path does not begin with /")
	}
	var err error
	p.url, err = url.ParseRequestURI(p.argument)

	return err
}

func (p *Probe) parseURL() error {
	var err error
	p.url, err = url.ParseRequestURI(p.argument)
	if err == nil && p.url.Hostname() == "" {
		err = errors.New("it has no host")
	}

	return err
}

// String returns what [Parse] reads.
func (p Probe) String() string {
	switch {
	case p.Kind == HTTP && p.url.Host != "":
		return p.argument
	case p.argument == "":
		return string(p.Kind)
	}

	return string(p.Kind) + ":" + p.argument
}

// Matches reports whether a line of output is what a probe of the kind Log waits for.
func (p Probe) Matches(line []byte) bool { return p.pattern != nil && p.pattern.Match(line) }
