package divisi

import (
	"bufio"
	"errors"
	"io"
	"maps"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"github.com/divisi-go/divisi/metrics"
)

// plain, flushing, hijacking and both are response writers with and without optional methods.
type (
	plain     struct{ http.ResponseWriter }
	flushing  struct{ plain }
	hijacking struct{ plain }
	both      struct {
		flushing
		hijacking2
	}
	hijacking2 struct{ err error }
)

func (flushing) Flush() {}

func (hijacking) Hijack() (net.Conn, *bufio.ReadWriter, error) { return nil, nil, nil }

func (h hijacking2) Hijack() (net.Conn, *bufio.ReadWriter, error) { return nil, nil, h.err }

// counts returns the values of this package's metrics with a label, by name and class.
func counts(label string) map[string]float64 {
	all := map[string]float64{}
	for _, m := range metrics.Snapshot() {
		values := map[string]string{}
		for _, l := range m.Labels {
			values[l.Name] = l.Value
		}
		name, ours := strings.CutPrefix(m.Name, "divisi_http_")
		if !ours || values["label"] != label {
			continue
		}
		key := name + " " + values["code"]
		all[key] = m.Value
		if m.Type == metrics.HistogramType {
			delete(all, key)
			for _, n := range m.Counts {
				all[name+" "+values["code"]] += float64(n)
			}
		}
	}
	maps.DeleteFunc(all, func(_ string, v float64) bool { return v == 0 })
	return all
}

// since returns how much was counted between two calls of counts.
func since(before, after map[string]float64) map[string]float64 {
	for key, n := range before {
		after[key] -= n
	}
	maps.DeleteFunc(after, func(_ string, v float64) bool { return v == 0 })
	return after
}

// TestOptionalMethods: the handler sees Flusher and Hijacker exactly when the writer below has
// them, and reaches everything else through http.ResponseController.
func TestOptionalMethods(t *testing.T) {
	base := plain{httptest.NewRecorder()}
	for name, tc := range map[string]struct {
		w                http.ResponseWriter
		flushes, hijacks bool
	}{
		"neither": {base, false, false},
		"flusher": {flushing{base}, true, false},
		"hijack":  {hijacking{base}, false, true},
		"both":    {both{flushing: flushing{base}}, true, true},
		"real":    {httptest.NewRecorder(), true, false},
	} {
		InstrumentHandlerFunc("optional", func(w http.ResponseWriter, _ *http.Request) {
			_, flushes := w.(http.Flusher)
			_, hijacks := w.(http.Hijacker)
			if flushes != tc.flushes || hijacks != tc.hijacks {
				t.Errorf("%s: flushes %v, hijacks %v", name, flushes, hijacks)
			}
			if err := http.NewResponseController(w).Flush(); (err == nil) != tc.flushes {
				t.Errorf("%s: Flush: %v", name, err)
			}
			if u, ok := w.(interface{ Unwrap() http.ResponseWriter }); !ok || u.Unwrap() != tc.w {
				t.Errorf("%s: no way to the writer below", name)
			}
		}).ServeHTTP(tc.w, httptest.NewRequest("GET", "/", nil))
	}
}

// TestInstrument: what handlers do, and what is counted.
func TestInstrument(t *testing.T) {
	hijack := func(w http.ResponseWriter, _ *http.Request) {
		w.(http.Hijacker).Hijack()
	}
	below := func(err error) http.ResponseWriter {
		return both{flushing{plain{httptest.NewRecorder()}}, hijacking2{err}}
	}
	for _, tc := range []struct {
		label   string
		w       http.ResponseWriter
		body    string
		handler http.HandlerFunc
		class   string
		failed  bool
		written float64
		panics  any
	}{
		{label: "nothing", handler: func(http.ResponseWriter, *http.Request) {}, class: "2"},
		{label: "body", body: "12345", class: "2", written: 4, handler: func(w http.ResponseWriter, _ *http.Request) {
			io.WriteString(w, "ab")
			w.WriteHeader(500) // too late
			io.WriteString(w, "cd")
		}},
		{label: "redirect", class: "3", handler: func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(302) }},
		{label: "missing", class: "4", failed: true, written: 5, handler: func(w http.ResponseWriter, _ *http.Request) { http.Error(w, "none", 404) }},
		{label: "broken", class: "5", failed: true, handler: func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(503) }},
		{label: "interim", class: "2", handler: func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(http.StatusEarlyHints)
			w.WriteHeader(http.StatusNoContent)
		}},
		{label: "switch", class: "1", handler: func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusSwitchingProtocols) }},
		{label: "hijack", class: "1", w: below(nil), handler: hijack},
		{label: "no hijack", class: "2", w: below(errors.New("no")), handler: hijack},
		{label: "panic", class: "5", failed: true, written: 1, panics: "oh", handler: func(w http.ResponseWriter, _ *http.Request) {
			io.WriteString(w, "x")
			panic("oh")
		}},
		{label: "abort", class: "5", failed: true, panics: http.ErrAbortHandler, handler: func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }},
	} {
		if tc.w == nil {
			tc.w = httptest.NewRecorder()
		}
		before := counts(tc.label)
		func() {
			defer func() {
				if thrown := recover(); thrown != tc.panics {
					t.Errorf("%s: panic %v, want %v", tc.label, thrown, tc.panics)
				}
			}()
			InstrumentHandler(tc.label, tc.handler).ServeHTTP(tc.w, httptest.NewRequest("POST", "/", strings.NewReader(tc.body)))
		}()
		want := map[string]float64{"request_count " + tc.class: 1, "request_latency_micros " + tc.class: 1}
		if tc.failed {
			want["error_count "+tc.class] = 1
		}
		if len(tc.body) > 0 {
			want["request_bytes_received "+tc.class] = float64(len(tc.body))
		}
		if tc.written > 0 {
			want["request_bytes_returned "+tc.class] = tc.written
		}
		if got := since(before, counts(tc.label)); !maps.Equal(got, want) {
			t.Errorf("%s: counted %v, want %v", tc.label, got, want)
		}
	}
}

// TestLabels: nothing that a client chooses makes a metric of its own.
func TestLabels(t *testing.T) {
	h := InstrumentHandlerFunc("labels", func(http.ResponseWriter, *http.Request) {})
	for _, target := range []string{"http://a/x", "http://b/y", "http://c/z?q=1"} {
		h.ServeHTTP(httptest.NewRecorder(), httptest.NewRequest("GET", target, nil))
	}
	if got := slices.Collect(maps.Keys(counts("labels"))); len(got) != 2 {
		t.Errorf("metrics %q", got)
	}
}

func TestHealthz(t *testing.T) {
	mux := http.NewServeMux()
	mux.HandleFunc(HealthzURL, HealthzHandler)
	w := httptest.NewRecorder()
	mux.ServeHTTP(w, httptest.NewRequest("GET", "/debug/weaver/healthz", nil))
	if w.Code != http.StatusOK || w.Body.String() != "OK" {
		t.Errorf("status %d, %q", w.Code, w.Body)
	}
}

// TestHealthPage: the page is on the default mux, unless the program has one there.
func TestHealthPage(t *testing.T) {
	addHealthPage()
	w := httptest.NewRecorder()
	http.DefaultServeMux.ServeHTTP(w, httptest.NewRequest("GET", HealthzURL, nil))
	if w.Code != http.StatusOK || w.Body.String() != "OK" {
		t.Errorf("status %d, %q", w.Code, w.Body)
	}
}

// TestInstrumentOverNetwork streams and hijacks for real.
func TestInstrumentOverNetwork(t *testing.T) {
	mux := http.NewServeMux()
	next := make(chan struct{})
	mux.HandleFunc("/stream", func(w http.ResponseWriter, _ *http.Request) {
		io.WriteString(w, "one")
		w.(http.Flusher).Flush()
		<-next
		io.WriteString(w, "two")
	})
	mux.HandleFunc("/hijack", func(w http.ResponseWriter, _ *http.Request) {
		c, _, err := w.(http.Hijacker).Hijack()
		if err != nil {
			t.Error(err)
			return
		}
		io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 3\r\nConnection: close\r\n\r\nraw")
		c.Close()
	})
	server := httptest.NewServer(InstrumentHandler("network", mux))
	defer server.Close()
	resp, err := http.Get(server.URL + "/stream")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	first := make([]byte, 3)
	if _, err := io.ReadFull(resp.Body, first); err != nil || string(first) != "one" {
		t.Errorf("before the handler has ended: %q, %v", first, err)
	}
	close(next)
	if rest, err := io.ReadAll(resp.Body); err != nil || string(rest) != "two" {
		t.Errorf("%q, %v", rest, err)
	}
	resp, err = http.Get(server.URL + "/hijack")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if raw, err := io.ReadAll(resp.Body); err != nil || string(raw) != "raw" {
		t.Errorf("%q, %v", raw, err)
	}
}
