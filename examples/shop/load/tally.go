package main

import (
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"math"
	"slices"
	"sync"
	"time"
)

// histogram counts durations in buckets that are each 2 % wider than the one before, from a
// microsecond on. So it is exact to 2 %, however many there are.
type histogram struct {
	counts [1000]int64
	total  int64
	max    time.Duration
}

const bucketGrowth = 1.02

func (h *histogram) add(d time.Duration) {
	micros := max(float64(d)/float64(time.Microsecond), 1)
	bucket := int(math.Log(micros) / math.Log(bucketGrowth))
	h.counts[min(bucket, len(h.counts)-1)]++
	h.total++
	h.max = max(h.max, d)
}

// quantile returns the duration that a share q of all do not exceed.
func (h *histogram) quantile(q float64) time.Duration {
	rank := int64(math.Ceil(q * float64(h.total)))
	var seen int64
	for bucket, n := range h.counts {
		if seen += n; seen >= rank && n > 0 && bucket < len(h.counts)-1 {
			upper := time.Duration(math.Pow(bucketGrowth, float64(bucket+1)) * float64(time.Microsecond))
			return min(upper, h.max)
		}
	}
	return h.max
}

// record is a line of the file of failed requests.
type record struct {
	Time      time.Time `json:"time"` // when it failed
	Page      string    `json:"page"`
	Method    string    `json:"method"`
	URL       string    `json:"url"`
	Kind      string    `json:"kind"`
	Error     string    `json:"error"`
	Millis    float64   `json:"millis"` // since it began
	Local     string    `json:"local,omitempty"`
	Remote    string    `json:"remote,omitempty"`
	Reused    bool      `json:"reused"`     // the connection had served a request before
	Written   bool      `json:"written"`    // all bytes of the request went out
	FirstByte bool      `json:"first_byte"` // a byte of the answer came in
}

// tally collects what happened to all requests.
type tally struct {
	mu       sync.Mutex // guards all below
	all      pageTally
	pages    map[string]*pageTally
	kinds    map[string]*kindTally
	failures *json.Encoder // nil if they are not wanted
	writeErr error
}

type pageTally struct {
	histogram
	errors int64
}

type kindTally struct {
	count int64
	first record
}

func newTally() *tally {
	return &tally{pages: map[string]*pageTally{}, kinds: map[string]*kindTally{}}
}

// add counts a request; failed is nil if it went well.
func (t *tally) add(page string, took time.Duration, failed *record) {
	t.mu.Lock()
	defer t.mu.Unlock()
	p := t.pages[page]
	if p == nil {
		p = &pageTally{}
		t.pages[page] = p
	}
	p.add(took)
	t.all.add(took)
	if failed == nil {
		return
	}
	p.errors++
	t.all.errors++
	if t.kinds[failed.Kind] == nil {
		t.kinds[failed.Kind] = &kindTally{first: *failed}
	}
	t.kinds[failed.Kind].count++
	if t.failures != nil && t.writeErr == nil {
		t.writeErr = t.failures.Encode(failed)
	}
}

func (t *tally) writeError() error {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.writeErr != nil {
		return fmt.Errorf("cannot write errors: %w", t.writeErr)
	}
	return nil
}

// report is what a run comes to. Latencies are in milliseconds.
type report struct {
	Users    int          `json:"users"`
	Seconds  float64      `json:"seconds"`
	Rate     float64      `json:"requests_per_second"`
	Requests int64        `json:"requests"`
	Errors   int64        `json:"errors"`
	P50      float64      `json:"p50_ms"`
	P95      float64      `json:"p95_ms"`
	P99      float64      `json:"p99_ms"`
	Max      float64      `json:"max_ms"`
	Pages    []pageReport `json:"pages"`
	Kinds    []kindReport `json:"errors_by_kind"`
}

type pageReport struct {
	Page     string  `json:"page"`
	Requests int64   `json:"requests"`
	Errors   int64   `json:"errors"`
	P50      float64 `json:"p50_ms"`
	P95      float64 `json:"p95_ms"`
	P99      float64 `json:"p99_ms"`
	Max      float64 `json:"max_ms"`
}

type kindReport struct {
	Kind  string `json:"kind"`
	Count int64  `json:"count"`
	First record `json:"first"`
}

func (p *pageTally) report(page string) pageReport {
	millis := func(d time.Duration) float64 { return math.Round(float64(d)/1e4) / 100 }
	return pageReport{
		Page: page, Requests: p.total, Errors: p.errors,
		P50: millis(p.quantile(0.50)), P95: millis(p.quantile(0.95)), P99: millis(p.quantile(0.99)),
		Max: millis(p.max),
	}
}

func (t *tally) report(users int, took time.Duration) report {
	t.mu.Lock()
	defer t.mu.Unlock()
	all := t.all.report("all")
	r := report{
		Users: users, Seconds: took.Seconds(), Rate: float64(all.Requests) / max(took.Seconds(), 1e-9),
		Requests: all.Requests, Errors: all.Errors,
		P50: all.P50, P95: all.P95, P99: all.P99, Max: all.Max,
		Pages: []pageReport{}, Kinds: []kindReport{},
	}
	for page, p := range t.pages {
		r.Pages = append(r.Pages, p.report(page))
	}
	for kind, k := range t.kinds {
		r.Kinds = append(r.Kinds, kindReport{kind, k.count, k.first})
	}
	slices.SortFunc(r.Pages, func(a, b pageReport) int { return cmp.Compare(a.Page, b.Page) })
	slices.SortFunc(r.Kinds, func(a, b kindReport) int { return cmp.Compare(b.Count, a.Count) })
	return r
}

// print writes the report for people.
func (r report) print(w io.Writer) error {
	var b []byte
	b = fmt.Appendf(b, "%d requests in %.1f s (%.0f/s) by %d users, %d errors\n\n",
		r.Requests, r.Seconds, r.Rate, r.Users, r.Errors)
	b = fmt.Appendf(b, "%-12s %9s %7s %9s %9s %9s %9s\n",
		"page", "requests", "errors", "p50 ms", "p95 ms", "p99 ms", "max ms")
	all := pageReport{"all", r.Requests, r.Errors, r.P50, r.P95, r.P99, r.Max}
	for _, p := range append([]pageReport{all}, r.Pages...) {
		b = fmt.Appendf(b, "%-12s %9d %7d %9.2f %9.2f %9.2f %9.2f\n",
			p.Page, p.Requests, p.Errors, p.P50, p.P95, p.P99, p.Max)
	}
	for _, k := range r.Kinds {
		b = fmt.Appendf(b, "\n%d × %s, first at %s on %s %s: %s\n", k.Count, k.Kind,
			k.First.Time.Format(time.RFC3339Nano), k.First.Method, k.First.URL, k.First.Error)
	}
	_, err := w.Write(b)
	return err
}
