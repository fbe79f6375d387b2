package main

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"time"

	"github.com/divisi-go/divisi/bench/load"
)

// report returns the results as Markdown: a table for each network.
func (o options) report(all results) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s, %s, %d rounds of %v, `GOMAXPROCS` %d, %s.\n\n",
		cpuName(), runtime.Version(), o.rounds, o.took, runtime.GOMAXPROCS(0), time.Now().Format(time.DateOnly))
	for _, r := range rivals {
		fmt.Fprintf(&b, "- %s: %s.\n", r.name, r.note)
	}
	for _, network := range []string{"unix", "tcp", "tls"} {
		var rows strings.Builder
		for _, m := range o.selected() {
			if m.network == network {
				writeCase(&rows, m, all[m])
			}
		}
		if rows.Len() == 0 {
			continue
		}
		fmt.Fprintf(&b, "\n### %s\n\n", networkNames[network])
		b.WriteString("| payload | callers | | p50 µs | p99 µs | calls/s | CPU µs a call | times raw | Divisi's calls per CPU-second, times its | allocations | bytes | system calls | switches |\n" +
			"|---|---|---|---|---|---|---|---|---|---|---|---|---|\n")
		b.WriteString(rows.String())
	}
	return b.String()
}

var networkNames = map[string]string{"unix": "Unix sockets", "tcp": "TCP", "tls": "TLS 1.3 over TCP, certificates on both sides"}

// writeCase writes the rows of one case.
func writeCase(b *strings.Builder, m measurement, of map[string][]result) {
	what, who := string(m.payload), m.who()
	for _, r := range rivals {
		rounds := of[r.name]
		if len(rounds) == 0 {
			continue
		}
		fmt.Fprintf(b, "| %s | %s | %s | %s | %s | %s | %s | %s | %s | %s | %s | %s | %s |\n", what, who, r.name,
			spread(each(rounds, func(r result) float64 { return micros(r.P50) })),
			spread(each(rounds, func(r result) float64 { return micros(r.P99) })),
			spread(each(rounds, func(r result) float64 { return float64(r.Calls) / r.Took.Seconds() })),
			spread(each(rounds, result.cpu)),
			spread(ratios(rounds, of["raw"])),
			spread(ratios(rounds, of["Divisi"])),
			sides(rounds, func(u load.Usage) uint64 { return u.Mallocs }),
			sides(rounds, func(u load.Usage) uint64 { return u.Written }),
			sides(rounds, func(u load.Usage) uint64 { return u.Syscalls }),
			sides(rounds, func(u load.Usage) uint64 { return u.Switches }))
		what, who = "", ""
	}
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

// sides shows what a call takes of something, the medians of the process that calls and of the one that
// answers.
func sides(rounds []result, of func(load.Usage) uint64) string {
	return fmt.Sprintf("%s + %s",
		few(median(each(rounds, func(r result) float64 { return float64(of(r.Used)) / float64(r.Calls) }))),
		few(median(each(rounds, func(r result) float64 { return float64(of(r.server)) / float64(r.Calls) }))))
}

func median(values []float64) float64 {
	slices.Sort(values)
	return values[len(values)/2]
}

// few shows a number of things.
func few(v float64) string {
	if v >= 10 {
		return fmt.Sprintf("%.0f", v)
	}
	return fmt.Sprintf("%.1f", v)
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

// write puts the report into a Markdown file and the charts beside it.
func (o options) write(file string, all results) error {
	if err := replace(file, o.report(all)); err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(filepath.Dir(file), "calls.svg"), []byte(o.chart(all)), 0o644)
}

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
