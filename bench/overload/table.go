package main

import (
	"fmt"
	"os"
	"runtime"
	"slices"
	"strings"
	"time"
)

const begins, ends = "<!-- overload begin -->\n", "<!-- overload end -->"

// report writes a table for each case: of each figure the median, and the lowest and the highest.
func report(results []result, rounds int, took time.Duration) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%d processors, %s, %d rounds of %v, Unix sockets, %s.\n",
		runtime.NumCPU(), runtime.Version(), rounds, took, time.Now().Format(time.DateOnly))
	for _, c := range cases {
		of := slices.DeleteFunc(slices.Clone(results), func(r result) bool { return r.case_ != c.name })
		if len(of) == 0 {
			continue
		}
		slices.SortStableFunc(of, func(x, y result) int { return place(of, x.line) - place(of, y.line) })
		fmt.Fprintf(&b, "\n%s\n\n| | | %s |\n|%s\n", c.about, strings.Join(c.columns, " | "), strings.Repeat("---|", len(c.columns)+2))
		last := ""
		for _, r := range of {
			line := r.line
			if line == last {
				line = ""
			}
			last = r.line
			fmt.Fprintf(&b, "| %s | %s |", line, r.system)
			for i := range r.columns {
				fmt.Fprintf(&b, " %s |", r.figure(i))
			}
			b.WriteByte('\n')
		}
	}
	return b.String()
}

// place is that of the first result in a line.
func place(results []result, line string) int {
	return slices.IndexFunc(results, func(r result) bool { return r.line == line })
}

// figure is the median of a column, and its range.
func (r *result) figure(column int) string {
	var all []float64
	for _, round := range r.rounds {
		all = append(all, round[column])
	}
	slices.Sort(all)
	return fmt.Sprintf("%.3g (%.3g-%.3g)", all[len(all)/2], all[0], all[len(all)-1])
}

// replace puts text between the marks in a file.
func replace(file, text string) error {
	old, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	before, rest, found := strings.Cut(string(old), begins)
	_, after, closed := strings.Cut(rest, ends)
	if !found || !closed {
		return fmt.Errorf("%s has no lines %q and %q", file, strings.TrimSpace(begins), ends)
	}
	return os.WriteFile(file, []byte(before+begins+"\n"+text+"\n"+ends+after), 0o644)
}
