package main

import (
	"bytes"
	"fmt"
	"os"
	"runtime"
	"slices"
	"strings"
	"time"
)

// report returns the results as Markdown.
func (o options) report(all results) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s, %s, %d rounds of %v, Unix sockets, `GOMAXPROCS` %d, %s.\n",
		cpuName(), runtime.Version(), o.rounds, o.took, runtime.GOMAXPROCS(0), time.Now().Format(time.DateOnly))
	for _, s := range o.systems {
		fmt.Fprintf(&b, "%s: %s.\n", s.name, s.note)
	}
	b.WriteString("\n| payload | callers | | p50 µs | p99 µs | calls/s | CPU µs a call | times raw | calls per CPU-second, times gRPC | allocations |\n" +
		"|---|---|---|---|---|---|---|---|---|---|\n")
	for _, m := range measurements {
		for i, s := range o.systems {
			rounds := all[m][s.name]
			if len(rounds) == 0 {
				continue
			}
			what, callers := "", ""
			if i == 0 {
				what, callers, _ = strings.Cut(m.String(), " x ")
			}
			fmt.Fprintf(&b, "| %s | %s | %s | %s | %s | %s | %s | %s | %s | %s |\n", what, callers, s.name,
				spread(each(rounds, func(r result) float64 { return micros(r.P50) })),
				spread(each(rounds, func(r result) float64 { return micros(r.P99) })),
				spread(each(rounds, func(r result) float64 { return float64(r.Calls) / r.Took.Seconds() })),
				spread(each(rounds, result.cpu)),
				spread(ratios(rounds, all[m]["raw"])),
				spread(ratios(all[m]["gRPC"], rounds)),
				allocations(rounds))
		}
	}
	return b.String()
}

func micros(d time.Duration) float64 { return float64(d.Nanoseconds()) / 1e3 }

func each(rounds []result, f func(result) float64) []float64 {
	var values []float64
	for _, r := range rounds {
		values = append(values, f(r))
	}
	return values
}

// ratios compares the processor time for a call, round by round.
func ratios(a, b []result) []float64 {
	var values []float64
	for i := range min(len(a), len(b)) {
		values = append(values, a[i].cpu()/b[i].cpu())
	}
	return values
}

// spread shows the median, and in brackets the lowest and the highest.
func spread(values []float64) string {
	if len(values) == 0 {
		return ""
	}
	slices.Sort(values)
	return fmt.Sprintf("%s (%s-%s)", short(values[len(values)/2]), short(values[0]), short(values[len(values)-1]))
}

// short shows about three digits.
func short(v float64) string {
	switch {
	case v >= 100:
		return fmt.Sprintf("%.0f", v)
	case v >= 10:
		return fmt.Sprintf("%.1f", v)
	}
	return fmt.Sprintf("%.2f", v)
}

// allocations shows the medians of the process that calls and of the one that answers.
func allocations(rounds []result) string {
	middle := func(f func(result) uint64) float64 {
		values := each(rounds, func(r result) float64 { return float64(f(r)) / float64(r.Calls) })
		slices.Sort(values)
		return values[len(values)/2]
	}
	return fmt.Sprintf("%.1f + %.1f", middle(func(r result) uint64 { return r.Used.Mallocs }),
		middle(func(r result) uint64 { return r.server.Mallocs }))
}

func cpuName() string {
	text, err := os.ReadFile("/proc/cpuinfo")
	if err != nil {
		return runtime.GOARCH
	}
	for line := range strings.Lines(string(text)) {
		if key, value, ok := strings.Cut(line, ":"); ok && strings.TrimSpace(key) == "model name" {
			return fmt.Sprintf("%d x %s", runtime.NumCPU(), strings.TrimSpace(value))
		}
	}
	return runtime.GOARCH
}

const begins, ends = "<!-- calls begin -->\n", "<!-- calls end -->\n"

// replace puts text between the marks of a file.
func replace(file, text string) error {
	old, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	head, rest, ok := bytes.Cut(old, []byte(begins))
	_, tail, ended := bytes.Cut(rest, []byte(ends))
	if !ok || !ended {
		return fmt.Errorf("%s has no lines %q and %q", file, strings.TrimSpace(begins), strings.TrimSpace(ends))
	}
	return os.WriteFile(file, slices.Concat(head, []byte(begins+"\n"+text+"\n"+ends), tail), 0o644)
}
