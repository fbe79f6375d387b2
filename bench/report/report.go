// Package report is what benchmarks tell: text between marks of a Markdown file, a part of the file for each
// of them, and figures by name, of which other parts are made.
package report

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"math"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"time"
)

// Put puts text into a part of a Markdown file, in place of what is there.
func Put(file, part, text string) error {
	before, _, after, err := split(file, part)
	if err != nil {
		return err
	}
	return os.WriteFile(file, []byte(before+"\n"+strings.TrimSpace(text)+"\n\n"+after), 0o644)
}

// Part returns what is in a part of a Markdown file.
func Part(file, part string) (string, error) {
	_, text, _, err := split(file, part)
	return strings.TrimSpace(text), err
}

// split returns what is before a part, with the mark at which it begins, the part, and what is after it.
func split(file, part string) (before, text, after string, err error) {
	whole, err := os.ReadFile(file)
	if err != nil {
		return "", "", "", err
	}
	begin, end := "<!-- "+part+" begin -->\n", "<!-- "+part+" end -->"
	before, rest, begins := strings.Cut(string(whole), begin)
	text, after, ends := strings.Cut(rest, end)
	if !begins || !ends {
		return "", "", "", fmt.Errorf("%s has no lines %q and %q", file, strings.TrimSpace(begin), end)
	}
	return before + begin, text, end + after, nil
}

// Figures are by name: words with slashes between them, from what is measured to what the figure is.
type Figures map[string]float64

// Set sets a figure, unless it is none.
func (f Figures) Set(value float64, name ...string) {
	if !math.IsNaN(value) && !math.IsInf(value, 0) {
		f[strings.Join(name, "/")] = value
	}
}

// Get returns a figure; NaN if it was not measured.
func (f Figures) Get(name ...string) float64 {
	value, ok := f[strings.Join(name, "/")]
	if !ok {
		return math.NaN()
	}
	return value
}

// Save keeps the figures of a part in a folder. An empty folder is none, and keeps nothing.
func (f Figures) Save(dir, part string) error {
	if dir == "" {
		return nil
	}
	text, err := json.MarshalIndent(f, "", "\t")
	if err != nil {
		return err
	}
	return os.WriteFile(figureFile(dir, part), text, 0o644)
}

// Load returns the figures of some parts. A part without any is left out.
func Load(dir string, parts ...string) (Figures, error) {
	all := Figures{}
	for _, part := range parts {
		text, err := os.ReadFile(figureFile(dir, part))
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, err
		}
		var f Figures
		if err := json.Unmarshal(text, &f); err != nil {
			return nil, fmt.Errorf("%s: %w", figureFile(dir, part), err)
		}
		maps.Copy(all, f)
	}
	return all, nil
}

func figureFile(dir, part string) string { return filepath.Join(dir, part+".json") }

// Median returns the middle one; NaN if there is none.
func Median(values []float64) float64 {
	if len(values) == 0 {
		return math.NaN()
	}
	sorted := slices.Sorted(slices.Values(values))
	return sorted[len(sorted)/2]
}

// Spread shows the median, and in brackets the lowest and the highest.
func Spread(values []float64) string {
	if len(values) == 0 {
		return ""
	}
	return fmt.Sprintf("%s (%s-%s)", Short(Median(values)), Short(slices.Min(values)), Short(slices.Max(values)))
}

// Short shows about three digits.
func Short(v float64) string {
	switch {
	case math.IsNaN(v):
		return ""
	case v >= 100:
		return fmt.Sprintf("%.0f", v)
	case v >= 10:
		return fmt.Sprintf("%.1f", v)
	case v >= 1 || v == 0:
		return fmt.Sprintf("%.2f", v)
	}
	return fmt.Sprintf("%.3f", v)
}

// Machine says on what and when something was measured.
func Machine() string {
	return fmt.Sprintf("%d x %s, %s, %s", runtime.NumCPU(), processor(), runtime.Version(), time.Now().Format(time.DateOnly))
}

func processor() string {
	text, err := os.ReadFile("/proc/cpuinfo")
	if err != nil {
		return runtime.GOARCH
	}
	for line := range strings.Lines(string(text)) {
		if key, value, ok := strings.Cut(line, ":"); ok && strings.TrimSpace(key) == "model name" {
			return strings.TrimSpace(value)
		}
	}
	return runtime.GOARCH
}

// Table is lines of cells.
type Table struct {
	text strings.Builder
}

// NewTable returns a table with its head.
func NewTable(head ...string) *Table {
	t := new(Table)
	t.Add(head...)
	t.text.WriteString(strings.Repeat("|---", len(head)) + "|\n")
	return t
}

// Add adds a line.
func (t *Table) Add(cells ...string) {
	t.text.WriteString("| " + strings.Join(cells, " | ") + " |\n")
}

// String returns the table as Markdown.
func (t *Table) String() string { return t.text.String() }
