package main

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"regexp"
	"strconv"
	"strings"
)

// step is a line of a recorded visit.
type step struct {
	line   int
	user   string // not "": who makes the steps from here on
	status int    // that the answer is to have
	method string
	path   string
	form   url.Values
}

// readJourney reads a recorded visit. A line is one of
//
//	user NAME
//	STATUS METHOD PATH [FORM]
//
// where the form is written as in a query: a=b&c=d. Empty lines and those that begin with # are
// for the reader.
func readJourney(name string) ([]step, error) {
	text, err := os.ReadFile(name)
	if err != nil {
		return nil, fmt.Errorf("cannot read the journey: %w", err)
	}
	return parseJourney(name, text)
}

func parseJourney(name string, text []byte) ([]step, error) {
	var steps []step
	lines := bufio.NewScanner(bytes.NewReader(text))
	for n := 1; lines.Scan(); n++ {
		line := strings.TrimSpace(lines.Text())
		if line == "" || line[0] == '#' {
			continue
		}
		s, err := parseStep(line)
		if err != nil {
			return nil, fmt.Errorf("%s:%d: %w", name, n, err)
		}
		s.line = n
		steps = append(steps, s)
	}
	if err := lines.Err(); err != nil {
		return nil, fmt.Errorf("cannot read the journey: %w", err)
	}
	if len(steps) == 0 || steps[0].user == "" {
		return nil, fmt.Errorf("%s: a journey begins with a line \"user NAME\"", name)
	}
	return steps, nil
}

func parseStep(line string) (step, error) {
	fields := strings.Fields(line)
	if fields[0] == "user" && len(fields) == 2 {
		return step{user: fields[1]}, nil
	}
	if len(fields) < 3 || len(fields) > 4 {
		return step{}, fmt.Errorf("%q is neither \"user NAME\" nor \"STATUS METHOD PATH [FORM]\"", line)
	}
	s := step{method: fields[1], path: fields[2]}
	var err error
	if s.status, err = strconv.Atoi(fields[0]); err != nil {
		return step{}, fmt.Errorf("%q is not a status", fields[0])
	}
	if s.method != http.MethodGet && s.method != http.MethodPost {
		return step{}, fmt.Errorf("method %q: a journey knows GET and POST", s.method)
	}
	if s.path[0] != '/' {
		return step{}, fmt.Errorf("path %q does not begin with /", s.path)
	}
	if len(fields) == 4 {
		if s.form, err = url.ParseQuery(fields[3]); err != nil {
			return step{}, fmt.Errorf("cannot read the form: %w", err)
		}
	}
	return s, nil
}

// replay makes a recorded visit and writes what it sees, without what differs between
// deployments and from one time to the next.
func replay(to *target, steps []step, stdout, stderr io.Writer) error {
	c := client{target: to}
	defer c.close()
	wrong := 0
	for _, s := range steps {
		if s.user != "" {
			c.cookies = map[string]string{"shop_user": s.user}
			fmt.Fprintf(stdout, "=== user %s\n", s.user)
			continue
		}
		a, _, err := c.do(s.method, s.path, s.form)
		if err != nil {
			return fmt.Errorf("line %d of the journey, %s %s: %w", s.line, s.method, s.path, err)
		}
		if a.status != s.status {
			wrong++
			fmt.Fprintf(stderr, "load: line %d of the journey, %s %s: status %d, want %d: %s\n",
				s.line, s.method, s.path, a.status, s.status, excerpt(a.body))
		}
		fmt.Fprintf(stdout, "=== %d %s %s\n", a.status, s.method, s.path)
		for _, name := range []string{"Content-Type", "Location", "Etag"} {
			if value := a.header.Get(name); value != "" {
				fmt.Fprintf(stdout, "%s: %s\n", name, value)
			}
		}
		if _, err := fmt.Fprintf(stdout, "\n%s\n", normalise(a)); err != nil {
			return fmt.Errorf("cannot write what was seen: %w", err)
		}
	}
	if wrong > 0 {
		return errFailed
	}
	return nil
}

// What differs: who served a page, and the number of a request.
var (
	servedMark  = regexp.MustCompile(`(?s)<section id="served".*?</section>\n?`)
	requestMark = regexp.MustCompile(`<code id="request">[^<]*</code>`)
)

func normalise(a *answer) []byte {
	if !strings.HasPrefix(a.header.Get("Content-Type"), "text/") {
		return fmt.Appendf(nil, "%d bytes, sha256 %x", len(a.body), sha256.Sum256(a.body))
	}
	body := servedMark.ReplaceAll(a.body, nil)
	return requestMark.ReplaceAll(body, []byte(`<code id="request"></code>`))
}
