package main

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/divisi-go/divisi/bench/report"
)

// text returns a table for each case: of each figure the median, and the lowest and the highest.
func text(outcomes []outcome, rounds int, took time.Duration) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s, %d rounds of %v.\n", report.Machine(), rounds, took)
	for _, o := range outcomes {
		t := report.NewTable(append([]string{"", ""}, o.columns...)...)
		for _, line := range o.lineNames() {
			first := line
			for _, r := range o.results {
				if r.line != line {
					continue
				}
				cells := []string{first, r.system}
				first = ""
				for i := range o.columns {
					cells = append(cells, report.Spread(r.column(i)))
				}
				t.Add(cells...)
			}
		}
		fmt.Fprintf(&b, "\n%s\n\n%s", o.about, t)
		for _, s := range systems {
			if err := o.failed[s.name]; err != nil {
				fmt.Fprintf(&b, "\n%s failed: %v\n", s.name, err)
			}
		}
	}
	return b.String()
}

// lineNames returns the lines, in the order in which they were measured first.
func (o *outcome) lineNames() (names []string) {
	for _, r := range o.results {
		if !slices.Contains(names, r.line) {
			names = append(names, r.line)
		}
	}
	return names
}

// figures are the medians.
func figures(outcomes []outcome) report.Figures {
	f := report.Figures{}
	for _, o := range outcomes {
		for _, r := range o.results {
			for i, column := range o.columns {
				f.Set(report.Median(r.column(i)), o.name, r.line, r.system, column)
			}
		}
	}
	return f
}
