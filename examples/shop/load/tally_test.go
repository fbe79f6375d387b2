package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"
)

// TestQuantiles compares with sorted durations: never less than what is true, and at most 2 %
// more.
func TestQuantiles(t *testing.T) {
	random := rand.New(rand.NewPCG(5, 6))
	for range 50 {
		var h histogram
		var all []time.Duration
		for range 1 + random.IntN(2000) {
			d := time.Duration(1000 + random.Int64N(1<<(10+random.IntN(24))))
			all = append(all, d)
			h.add(d)
		}
		slices.Sort(all)
		for _, q := range []float64{0.5, 0.95, 0.99, 1} {
			exact := all[max(0, int(q*float64(len(all))+0.999999)-1)]
			got := h.quantile(q)
			if float64(got) < float64(exact)*0.999 || float64(got) > float64(exact)*1.021 {
				t.Fatalf("quantile %v of %d is %v, want %v", q, len(all), got, exact)
			}
		}
		if h.max != all[len(all)-1] {
			t.Errorf("max %v, want %v", h.max, all[len(all)-1])
		}
	}
	var h histogram
	if h.quantile(0.5) != 0 {
		t.Error("the quantile of nothing")
	}
	h.add(0)
	h.add(time.Hour)
	if h.quantile(1) != time.Hour || h.total != 2 {
		t.Errorf("%v of %d", h.quantile(1), h.total)
	}
}

func TestReport(t *testing.T) {
	var failures bytes.Buffer
	tally := newTally()
	tally.failures = json.NewEncoder(&failures)
	for range 98 {
		tally.add("home", time.Millisecond, nil)
	}
	for i, kind := range []string{kindSilent, kindSilent, "status 503"} {
		tally.add("cart", 5*time.Millisecond, &record{
			Time: time.Unix(int64(i), 0), Page: "cart", Method: "GET", URL: "http://localhost/cart",
			Kind: kind, Error: "it broke", Written: true,
		})
	}
	r := tally.report(4, 2*time.Second)
	if r.Requests != 101 || r.Errors != 3 || r.Rate != 50.5 || r.Max != 5 || len(r.Pages) != 2 {
		t.Errorf("report %+v", r)
	}
	if r.Pages[0].Page != "cart" || r.Pages[0].Errors != 3 || r.Pages[1].Errors != 0 || r.Pages[1].P50 != 1 {
		t.Errorf("pages %+v", r.Pages)
	}
	if len(r.Kinds) != 2 || r.Kinds[0].Kind != kindSilent || r.Kinds[0].Count != 2 || r.Kinds[0].First.Time.Unix() != 0 {
		t.Errorf("kinds %+v", r.Kinds)
	}
	var text strings.Builder
	if err := r.print(&text); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"101 requests in 2.0 s (50/s) by 4 users, 3 errors", "2 × no answer, first at ", "http://localhost/cart: it broke"} {
		if !strings.Contains(text.String(), want) {
			t.Errorf("the report has no %q:\n%s", want, text.String())
		}
	}
	lines := strings.Split(strings.TrimSpace(failures.String()), "\n")
	var last record
	if len(lines) != 3 || json.Unmarshal([]byte(lines[2]), &last) != nil || last.Kind != "status 503" || !last.Written || last.FirstByte {
		t.Errorf("%d lines, the last one %+v", len(lines), last)
	}
}

type full struct{}

func (full) Write([]byte) (int, error) { return 0, errors.New("disk full") }

func TestFailuresThatCannotBeWritten(t *testing.T) {
	tally := newTally()
	tally.failures = json.NewEncoder(full{})
	tally.add("home", time.Millisecond, &record{Kind: kindCut})
	if err := tally.writeError(); err == nil || !strings.Contains(err.Error(), "disk full") {
		t.Errorf("error %v", err)
	}
}
