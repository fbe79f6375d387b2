package name

import (
	"fmt"
	"slices"
	"strings"
)

// Nearest returns the known name that s was most likely meant to be. Components are also found
// by their short form and by what either ends with.
func Nearest(s string, known []string) (string, bool) {
	// A third of the letters may differ, but less than half of a short word.
	best, least := "", min(5, (len(s)+2)/3, max(1, (len(s)-1)/2))+1
	low := strings.ToLower(s)
	for _, k := range slices.Sorted(slices.Values(known)) {
		d := least
		if s != "" && (strings.HasSuffix(k, "/"+s) || strings.EqualFold(k, s)) {
			d = 0
		}
		for _, form := range []string{k, Short(k), k[strings.LastIndexAny(k, "/.")+1:]} {
			d = min(d, distance(low, strings.ToLower(form), least))
		}
		if d < least {
			best, least = k, d
		}
	}
	return best, best != ""
}

// Suggest is the way out at the end of an error about the unknown name s: the nearest known name,
// or the known names if there are few, or how many there are.
func Suggest(s string, known []string) string {
	if k, ok := Nearest(s, known); ok {
		return fmt.Sprintf("did you mean %q?", k)
	}
	const few = 12
	sorted := slices.Compact(slices.Sorted(slices.Values(known)))
	switch n := len(sorted); {
	case n == 0:
		return "none are known"
	case n == 1:
		return "the only known one is " + sorted[0]
	case n > few:
		return fmt.Sprintf("known are %s and %d more", strings.Join(sorted[:few], ", "), n-few)
	default:
		return "known are " + strings.Join(sorted, ", ")
	}
}

// distance counts the insertions, deletions, replacements and swaps of neighbours that turn a
// into b (optimal string alignment); limit stands for every number from limit on.
func distance(a, b string, limit int) int {
	if d := len(a) - len(b); d >= limit || -d >= limit {
		return limit
	}
	before, last, row := make([]int, len(b)+1), make([]int, len(b)+1), make([]int, len(b)+1)
	for j := range last {
		last[j] = j
	}
	for i := range len(a) {
		row[0] = i + 1
		for j := range len(b) {
			cost := 1
			if a[i] == b[j] {
				cost = 0
			}
			row[j+1] = min(last[j]+cost, last[j+1]+1, row[j]+1)
			if i > 0 && j > 0 && a[i] == b[j-1] && a[i-1] == b[j] {
				row[j+1] = min(row[j+1], before[j-1]+1)
			}
		}
		before, last, row = last, row, before
	}
	return min(last[len(b)], limit)
}
