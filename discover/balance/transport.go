// Package balance spreads HTTP requests over the endpoints that are there, as a value of package discover follows them.
//
//	client := &http.Client{Transport: &balance.Transport{Endpoints: func() []balance.Endpoint {
//		return services.Load().Value
//	}}}
//	client.Get("http://resizer/resize?width=100")
//
// Of two endpoints, which their weights choose, the one with less to do takes the request. One that fails again and again has a rest.
// The choice of two is Mitzenmacher's; that ejection never takes more than a half is from Envoy.
package balance

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"sync"
	"time"
)

// Endpoint is where something is served.
type Endpoint struct {
	Address string `json:"address"`          // host:port
	Weight  int    `json:"weight,omitempty"` // its share among the others, by capacity; 0 is 1
}

// ErrNone is the error of a request while there are no endpoints.
var ErrNone = errors.New("there is no endpoint")

// attempts is how many endpoints one request is sent to at most.
const attempts = 3

// Transport sends each request to an endpoint, whatever the host of its URL is, which stays the header Host. It is safe for concurrent
// use; its fields are set before the first request.
//
// A request that an endpoint has certainly not seen, since no connection was there, goes to another one, and so does one without
// effect, or whose effect is the same twice (GET, HEAD, OPTIONS, TRACE, PUT and DELETE, or the header Idempotency-Key), when the
// connection ends or a gateway answers for the endpoint (502, 503, 504). A request with a body needs GetBody for that, which
// [http.NewRequest] sets. Requests in flight end where they are when their endpoint has left the list.
type Transport struct {
	// Endpoints returns the endpoints that are there, for each request. It must be set.
	Endpoints func() []Endpoint
	// Base sends the requests; if it is nil, [http.DefaultTransport] does.
	Base http.RoundTripper

	mu   sync.Mutex
	pool pool
}

var _ http.RoundTripper = (*Transport)(nil)

// RoundTrip sends a request to an endpoint.
func (t *Transport) RoundTrip(r *http.Request) (*http.Response, error) {
	var tried []string
	var failed error
	for body := r.Body; ; {
		address, more := t.take(tried)
		if address == "" {
			if body != nil {
				body.Close()
			}
			return nil, cmp.Or(failed, fmt.Errorf("cannot send a request to %s: %w", r.URL.Host, ErrNone))
		}
		tried = append(tried, address)
		response, err := t.send(r, body, address)
		failed = err

		again := more && len(tried) < attempts && r.Context().Err() == nil && mayRepeat(r, response, err)
		if !again {
			return response, err
		}
		next, ok := rewound(r)
		if !ok {
			return response, err
		}
		if response != nil {
			response.Body.Close()
		}
		body = next
	}
}

// take chooses an endpoint that was not tried, "" if there is none, and says whether there are others.
func (t *Transport) take(tried []string) (address string, more bool) {
	list := t.Endpoints()
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.pool.take(list, tried, time.Now())
}

// send sends a request to an endpoint, which has it until the body of the answer is closed.
func (t *Transport) send(r *http.Request, body io.ReadCloser, address string) (*http.Response, error) {
	out := r.Clone(r.Context())
	out.Body = body
	out.Host = cmp.Or(r.Host, r.URL.Host)
	out.URL.Host = address
	response, err := cmp.Or(t.Base, http.DefaultTransport).RoundTrip(out)

	done := sync.OnceFunc(func() {
		t.mu.Lock()
		defer t.mu.Unlock()
		t.pool.done(address)
	})
	t.mu.Lock()
	switch {
	case err != nil && r.Context().Err() != nil: // says nothing of the endpoint
	case err != nil || byGateway(response):
		t.pool.failed(address, time.Now())
	default:
		t.pool.answered(address)
	}
	t.mu.Unlock()
	if err != nil {
		done()
		return nil, err
	}
	response.Body = watched(response.Body, done)
	response.Request = r
	return response, nil
}

// mayRepeat reports whether a request that has failed may be sent to another endpoint.
func mayRepeat(r *http.Request, response *http.Response, err error) bool {
	var op *net.OpError
	if errors.As(err, &op) && op.Op == "dial" {
		return true
	}
	same := []string{"", http.MethodGet, http.MethodHead, http.MethodOptions, http.MethodTrace, http.MethodPut, http.MethodDelete}
	return (err != nil || byGateway(response)) && (slices.Contains(same, r.Method) || r.Header.Get("Idempotency-Key") != "")
}

func byGateway(r *http.Response) bool {
	return r.StatusCode == http.StatusBadGateway || r.StatusCode == http.StatusServiceUnavailable || r.StatusCode == http.StatusGatewayTimeout
}

// rewound returns the body of a request from its beginning.
func rewound(r *http.Request) (body io.ReadCloser, ok bool) {
	switch {
	case r.Body == nil || r.Body == http.NoBody:
		return r.Body, true
	case r.GetBody == nil:
		return nil, false
	}
	body, err := r.GetBody()
	return body, err == nil
}

// watched returns a body that says when it is closed or has ended; where it can be written to, so can what is returned.
func watched(body io.ReadCloser, done func()) io.ReadCloser {
	w := &watchedBody{body, done}
	if both, ok := body.(io.ReadWriteCloser); ok { // of a connection that was upgraded
		return struct {
			*watchedBody
			io.Writer
		}{w, both}
	}
	return w
}

type watchedBody struct {
	io.ReadCloser
	done func()
}

func (w *watchedBody) Read(p []byte) (int, error) {
	n, err := w.ReadCloser.Read(p)
	if err != nil {
		w.done()
	}
	return n, err
}

func (w *watchedBody) Close() error {
	w.done()
	return w.ReadCloser.Close()
}
