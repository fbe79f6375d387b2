package divisi

import (
	"bufio"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/divisi-go/divisi/internal/drain"
	"github.com/divisi-go/divisi/internal/trace"
	"github.com/divisi-go/divisi/metrics"
)

// httpLabels has no label that a client could choose, such as the host or the path: each value
// of one would be a metric of its own.
type httpLabels struct {
	Label string // the label of the handler
	Code  int    // hundreds of the status: 2 for 200 to 299
}

type httpMetrics struct {
	requests, errors, bytesIn, bytesOut *metrics.CounterMap[httpLabels]
	latency                             *metrics.HistogramMap[httpLabels]
}

var (
	measuring sync.Once
	measured  httpMetrics
)

// measure defines the metrics of HTTP handlers. That happens with the first handler, and not before:
// programs without one do not have them.
func measure() {
	counter := metrics.NewCounterMap[httpLabels]
	measured = httpMetrics{
		requests: counter("divisi_http_request_count", "HTTP requests, by the first digit of their status"),
		errors:   counter("divisi_http_error_count", "HTTP requests with a status of 400 or more"),
		bytesIn:  counter("divisi_http_request_bytes_received", "Bytes of the bodies of HTTP requests"),
		bytesOut: counter("divisi_http_request_bytes_returned", "Bytes of the bodies of HTTP responses"),
		latency: metrics.NewHistogramMap[httpLabels](
			"divisi_http_request_latency_micros", "Time to serve an HTTP request, in microseconds",
			[]float64{100, 200, 500, 1e3, 2e3, 5e3, 1e4, 2e4, 5e4, 1e5, 2e5, 5e5, 1e6, 2e6, 5e6, 1e7}),
	}
}

// InstrumentHandler returns a handler that measures the requests of h under a label, and begins
// a span for each, as a child of the span in the request's traceparent header if there is one.
// A response writer keeps the http.Flusher, http.Hijacker and http.ResponseController of the
// one below it.
func InstrumentHandler(label string, h http.Handler) http.Handler {
	measuring.Do(measure)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		begin := time.Now()
		ctx := r.Context()
		if local, ok := ctx.Value(http.LocalAddrContextKey).(drain.Addr); ok {
			// A header that does not parse begins a trace, like none.
			parent, _ := trace.ParseTraceparent(r.Header.Get("traceparent"))
			tracer, _ := local.Owner().(*trace.Recorder)
			ctx = tracer.NewContext(ctx, parent)
			defer local.Request(r, w.Header())()
		}
		ctx, span := trace.Start(ctx, "HTTP "+label, trace.Server)
		rec := &recorder{ResponseWriter: w}
		defer func() {
			thrown := recover()
			status := rec.status
			switch {
			case thrown != nil:
				status = http.StatusInternalServerError
			case status == 0:
				status = http.StatusOK
			}
			observe(label, status, time.Since(begin), r.ContentLength, rec.written)
			var err error
			if status >= 500 {
				err = fmt.Errorf("status %d", status)
			}
			span.Finish(err)
			if thrown != nil {
				panic(thrown)
			}
		}()
		h.ServeHTTP(rec.wrapped(), r.WithContext(ctx))
	})
}

// InstrumentHandlerFunc is InstrumentHandler for a function.
func InstrumentHandlerFunc(label string, f func(http.ResponseWriter, *http.Request)) http.Handler {
	return InstrumentHandler(label, http.HandlerFunc(f))
}

// HealthzURL is the path where applications written for Service Weaver are asked whether they are
// healthy. Run adds the page to http.DefaultServeMux. Programs that serve another one add it
// themselves: mux.HandleFunc(divisi.HealthzURL, divisi.HealthzHandler).
const HealthzURL = "/debug/weaver/healthz"

// HealthzHandler answers every request with the status 200.
func HealthzHandler(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "OK") }

// addHealthPage adds the page to http.DefaultServeMux, unless the program has one there.
var addHealthPage = sync.OnceFunc(func() {
	request := &http.Request{Method: http.MethodGet, URL: &url.URL{Path: HealthzURL}}
	_, pattern := http.DefaultServeMux.Handler(request)
	if !strings.HasSuffix(pattern, HealthzURL) {
		http.HandleFunc(HealthzURL, HealthzHandler)
	}
})

func observe(label string, status int, took time.Duration, in, out int64) {
	labels := httpLabels{Label: label, Code: status / 100}
	measured.requests.Get(labels).Inc()
	if status >= 400 {
		measured.errors.Get(labels).Inc()
	}
	measured.latency.Get(labels).Put(float64(took.Microseconds()))
	measured.bytesIn.Get(labels).Add(float64(max(in, 0)))
	measured.bytesOut.Get(labels).Add(float64(out))
}

// recorder is a response writer that remembers the status and the size.
type recorder struct {
	http.ResponseWriter
	status  int
	written int64
}

func (r *recorder) WriteHeader(status int) {
	if r.status == 0 && (status >= 200 || status == http.StatusSwitchingProtocols) {
		r.status = status
	}
	r.ResponseWriter.WriteHeader(status)
}

func (r *recorder) Write(b []byte) (int, error) {
	if r.status == 0 {
		r.status = http.StatusOK
	}
	n, err := r.ResponseWriter.Write(b)
	r.written += int64(n)
	return n, err
}

// Unwrap is for http.ResponseController.
func (r *recorder) Unwrap() http.ResponseWriter { return r.ResponseWriter }

// wrapped returns the recorder with just those optional methods that the writer below has.
func (r *recorder) wrapped() http.ResponseWriter {
	flusher, flushes := r.ResponseWriter.(http.Flusher)
	hijacker, hijacks := r.ResponseWriter.(http.Hijacker)
	switch {
	case flushes && hijacks:
		return struct {
			*recorder
			http.Flusher
			http.Hijacker
		}{r, flusher, hijackRecorder{r, hijacker}}
	case flushes:
		return struct {
			*recorder
			http.Flusher
		}{r, flusher}
	case hijacks:
		return struct {
			*recorder
			http.Hijacker
		}{r, hijackRecorder{r, hijacker}}
	}
	return r
}

// hijackRecorder notes that the connection is no longer HTTP.
type hijackRecorder struct {
	r *recorder
	http.Hijacker
}

func (h hijackRecorder) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	c, rw, err := h.Hijacker.Hijack()
	if err == nil && h.r.status == 0 {
		h.r.status = http.StatusSwitchingProtocols
	}
	return c, rw, err
}
