package consulapi

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/divisi-go/divisi/store/internal/consul/poll"
)

// Kinds of bodies.
const (
	plain = "text/plain; charset=utf-8"
	jason = "application/json"
)

// Error is what a client is told in place of an answer.
type failure struct {
	status int
	text   string
}

func (f *failure) Error() string { return f.text }

func refuse(status int, format string, a ...any) error {
	return &failure{status, fmt.Sprintf(format, a...)}
}

// call is one request.
type call struct {
	*http.Request
	w     http.ResponseWriter
	query url.Values
	rest  string // of the path, after that of the endpoint
	terms terms
}

// terms are what every request may say.
type terms struct {
	index  int64         // answer when there is something newer; 0: at once
	wait   time.Duration // at most so long
	stale  bool          // an older state will do
	pretty bool          // for people
}

const (
	defaultWait = 5 * time.Minute
	maxWait     = 10 * time.Minute
)

// parse reads what every request may say.
func (s *Server) parse(query url.Values) (terms, error) {
	t := terms{wait: defaultWait, stale: query.Has("stale"), pretty: query.Has("pretty")}
	if t.stale && query.Has("consistent") {
		return t, refuse(http.StatusBadRequest, "Cannot specify ?stale with ?consistent, conflicting semantics.")
	}
	if text := query.Get("wait"); text != "" {
		wait, err := time.ParseDuration(text)
		if err != nil {
			return t, refuse(http.StatusBadRequest, "Invalid wait time")
		}
		if wait > 0 {
			t.wait = min(wait, maxWait)
		}
	}
	if text := query.Get("index"); text != "" {
		index, err := strconv.ParseUint(text, 10, 64)
		if err != nil {
			return t, refuse(http.StatusBadRequest, "Invalid index")
		}
		t.index = int64(min(index, 1<<62))
	}

	for _, name := range []string{"dc", "datacenter"} {
		dc := query.Get(name)
		if dc != "" && dc != s.options.Datacenter {
			return t, refuse(http.StatusInternalServerError, "No path to datacenter")
		}
	}
	for name, feature := range map[string]string{"ns": "Namespaces are", "partition": "Partitions are"} {
		if value := query.Get(name); value != "" && value != "default" {
			return t, refuse(http.StatusBadRequest, "Invalid query parameter: %q - %s a Consul Enterprise feature", name, feature)
		}
	}
	return t, nil
}

// endpoint is a path of the API, or what paths begin with if it ends with a slash.
type endpoint map[string]func(*Server, *call) error // by method

// find returns the endpoint of a path, and what follows it.
func find(path string) (endpoint, string) {
	e := endpoints[path]
	if e != nil && !strings.HasSuffix(path, "/") {
		return e, ""
	}
	// The longest paths have six slashes, as in /v1/agent/check/pass/ID; the longest that fits is meant.
	var rest string
	for end, slashes := 0, 0; end < len(path) && slashes < 6; end++ {
		if path[end] != '/' {
			continue
		}
		slashes++
		longer := endpoints[path[:end+1]]
		if longer != nil {
			e, rest = longer, path[end+1:]
		}
	}
	return e, rest
}

// ServeHTTP answers one request. Before Serve is called it answers nothing.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	err := s.serve(w, r)
	if err == nil || r.Context().Err() != nil {
		return
	}
	var f *failure
	if !errors.As(err, &f) {
		f = s.problem(err)
	}
	w.Header().Set("Content-Type", plain)
	w.Header().Set("Content-Length", strconv.Itoa(len(f.text)))
	w.WriteHeader(f.status)
	_, _ = io.WriteString(w, f.text)
}

// problem is what a client is told where the store has failed. Clients try again after a 500.
func (s *Server) problem(err error) *failure {
	s.options.Logger.Warn("a request has failed", "error", err)
	text := err.Error()
	if errors.Is(err, context.DeadlineExceeded) {
		text = "No cluster leader"
	}
	return &failure{http.StatusInternalServerError, text}
}

func (s *Server) serve(w http.ResponseWriter, r *http.Request) error {
	e, rest := find(r.URL.Path)
	if e == nil {
		return refuse(http.StatusNotFound, "Invalid URL path: not a recognized HTTP API endpoint")
	}
	answer := e[r.Method]
	if answer == nil {
		return unfit(w, r, e)
	}
	query, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil {
		return refuse(http.StatusBadRequest, "Failed to decode query: %v", err)
	}
	terms, err := s.parse(query)
	if err != nil {
		return err
	}
	return answer(s, &call{Request: r, w: w, query: query, rest: rest, terms: terms})
}

// unfit answers a method that the endpoint does not have.
func unfit(w http.ResponseWriter, r *http.Request, e endpoint) error {
	allowed := []string{http.MethodOptions}
	for _, method := range []string{http.MethodGet, http.MethodPut, http.MethodDelete} {
		if e[method] != nil {
			allowed = append(allowed, method)
		}
	}
	w.Header().Set("Allow", strings.Join(allowed, ","))
	if r.Method == http.MethodOptions {
		return nil
	}
	return refuse(http.StatusMethodNotAllowed, "method %s not allowed", r.Method)
}

// encode writes a value as Consul does.
func (t terms) encode(v any) ([]byte, error) {
	if !t.pretty {
		return json.Marshal(v)
	}
	text, err := json.MarshalIndent(v, "", "    ")
	return append(text, '\n'), err
}

// send answers with a value that has no index.
func (c *call) send(v any) error { return c.sendAs(http.StatusOK, v) }

func (c *call) sendAs(status int, v any) error {
	text, err := c.terms.encode(v)
	if err != nil {
		return err
	}
	c.w.Header().Set("Content-Type", jason)
	c.w.Header().Set("Content-Length", strconv.Itoa(len(text)))
	c.w.WriteHeader(status)
	_, _ = c.w.Write(text)
	return nil
}

// body reads the body of a request, and reports whether it was no longer than limit.
func (c *call) body(limit int64) (body []byte, fits bool, err error) {
	if c.ContentLength > limit {
		return nil, false, nil
	}
	control := http.NewResponseController(c.w)
	_ = control.SetReadDeadline(time.Now().Add(bodyTime))
	body, err = io.ReadAll(io.LimitReader(c.Body, limit+1))
	if err != nil {
		return nil, false, refuse(http.StatusBadRequest, "cannot read the body: %v", err)
	}
	_ = control.SetReadDeadline(time.Time{})
	return body, int64(len(body)) <= limit, nil
}

// decode reads a body of JSON; fields that are not known are ignored, as there are newer clients.
func (c *call) decode(v any, limit int64) error {
	body, fits, err := c.body(limit)
	if err != nil {
		return err
	}
	if !fits {
		return refuse(http.StatusRequestEntityTooLarge, "Request body too large, max size: %d bytes", limit)
	}
	err = json.NewDecoder(bytes.NewReader(body)).Decode(v)
	if err != nil {
		return refuse(http.StatusBadRequest, "Request decode failed: %v", err)
	}
	return nil
}

// alone refuses a request that has more than one of some parameters.
func (c *call) alone(names ...string) error {
	given := slices.DeleteFunc(names, func(name string) bool { return !c.query.Has(name) })
	if len(given) > 1 {
		return refuse(http.StatusBadRequest, "Conflicting flags: %s\n", c.query.Encode())
	}
	return nil
}

// reach waits until what was written can be seen.
func (s *Server) reach(ctx context.Context, revision int64) {
	ctx, cancel := context.WithTimeout(ctx, poll.Patience)
	defer cancel()
	_ = s.index.Reach(ctx, revision) // who reads too early reads again
}
