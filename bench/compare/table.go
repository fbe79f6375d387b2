package main

import (
	"fmt"
	"runtime"
	"slices"
	"strings"
	"time"

	"github.com/divisi-go/divisi/bench/load"
	"github.com/divisi-go/divisi/bench/report"
)

// text returns the results as Markdown: a table for each network.
func (o options) text(all results) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s, `GOMAXPROCS` %d, %d rounds of %v.\n\n", report.Machine(), runtime.GOMAXPROCS(0), o.rounds, o.took)
	for _, r := range rivals {
		fmt.Fprintf(&b, "- %s: %s.\n", r.name, r.note)
	}
	for _, network := range []string{"unix", "tcp", "tls"} {
		t := report.NewTable("payload", "callers", "", "p50 µs", "p99 µs", "calls/s", "CPU µs a call", "times raw",
			"Divisi's calls per CPU-second, times its", "allocations", "bytes", "system calls", "switches")
		cases := slices.DeleteFunc(o.selected(), func(m measurement) bool { return m.network != network })
		for _, m := range cases {
			addCase(t, m, all)
		}
		if len(cases) > 0 {
			fmt.Fprintf(&b, "\n### %s\n\n%s", networkNames[network], t)
		}
	}
	return b.String()
}

var networkNames = map[string]string{"unix": "Unix sockets", "tcp": "TCP", "tls": "TLS 1.3 over TCP, certificates on both sides"}

// addCase adds the lines of one case.
func addCase(t *report.Table, m measurement, all results) {
	what, who := string(m.payload), m.who()
	for _, r := range rivals {
		of := all[m][r.name]
		if of == nil {
			continue
		}
		cells := []string{what, who, r.name}
		what, who = "", ""
		rounds := of.rounds
		if of.failed != nil {
			cells = append(cells, "failed: "+strings.ReplaceAll(of.failed.Error(), "\n", " "), "", "", "", "", "", "", "", "", "")
			t.Add(cells...)
			continue
		}
		t.Add(append(cells,
			report.Spread(each(rounds, result.p50)),
			report.Spread(each(rounds, result.p99)),
			report.Spread(each(rounds, func(r result) float64 { return float64(r.Calls) / r.Took.Seconds() })),
			report.Spread(each(rounds, result.cpu)),
			report.Spread(ratios(rounds, all.rounds(m, "raw"), result.cpu)),
			report.Spread(ratios(rounds, all.rounds(m, "Divisi"), result.cpu)),
			sides(rounds, func(u load.Usage) uint64 { return u.Mallocs }),
			sides(rounds, func(u load.Usage) uint64 { return u.Written }),
			sides(rounds, func(u load.Usage) uint64 { return u.Syscalls }),
			sides(rounds, func(u load.Usage) uint64 { return u.Switches }))...)
	}
}

// figures are the medians.
func (o options) figures(all results) report.Figures {
	f := report.Figures{}
	for m, of := range all {
		for name, outcome := range of {
			rounds, raw, own := outcome.rounds, all.rounds(m, "raw"), all.rounds(m, "Divisi")
			f.Set(report.Median(each(rounds, result.cpu)), m.String(), name, "cpu")
			f.Set(report.Median(ratios(rounds, raw, result.cpu)), m.String(), name, "cpu of raw")
			f.Set(report.Median(ratios(rounds, raw, result.p50)), m.String(), name, "p50 of raw")
			f.Set(report.Median(ratios(rounds, own, result.cpu)), m.String(), name, "cpu of Divisi")
			caller, callee := perCall(rounds, func(u load.Usage) uint64 { return u.Mallocs })
			f.Set(caller, m.String(), name, "allocations of the caller")
			f.Set(callee, m.String(), name, "allocations of the callee")
		}
	}
	return f
}

func (r result) p50() float64 { return micros(r.P50) }
func (r result) p99() float64 { return micros(r.P99) }

func micros(d time.Duration) float64 { return float64(d.Nanoseconds()) / 1e3 }

func each(rounds []result, f func(result) float64) []float64 {
	var values []float64
	for _, r := range rounds {
		values = append(values, f(r))
	}
	return values
}

// ratios compares a figure, round by round.
func ratios(a, b []result, of func(result) float64) []float64 {
	var values []float64
	for i := range min(len(a), len(b)) {
		values = append(values, of(a[i])/of(b[i]))
	}
	return values
}

// sides shows what a call takes of something, the medians of the process that calls and of the one that
// answers.
func sides(rounds []result, of func(load.Usage) uint64) string {
	caller, callee := perCall(rounds, of)
	return few(caller) + " + " + few(callee)
}

func perCall(rounds []result, of func(load.Usage) uint64) (caller, callee float64) {
	return report.Median(each(rounds, func(r result) float64 { return float64(of(r.Used)) / float64(r.Calls) })),
		report.Median(each(rounds, func(r result) float64 { return float64(of(r.server)) / float64(r.Calls) }))
}

// few shows a number of things.
func few(v float64) string {
	if v >= 10 {
		return fmt.Sprintf("%.0f", v)
	}
	return fmt.Sprintf("%.1f", v)
}
