package metrics

import (
	"bufio"
	"cmp"
	"io"
	"math"
	"slices"
	"strconv"
	"strings"
)

// ContentType is the media type of what WritePrometheus writes.
const ContentType = "text/plain; version=0.0.4; charset=utf-8"

// WritePrometheus writes metrics in the text format of Prometheus, sorted by name and labels.
// The metrics may come from several processes if their labels tell them apart. What a name
// cannot have becomes an underscore. Of metrics with the same name and different types those of
// the first type are written, because the format has no place for the others.
func WritePrometheus(w io.Writer, all []Metric) error {
	b := bufio.NewWriter(w)
	var last Metric
	for _, m := range slices.SortedStableFunc(slices.Values(all), compare) {
		m.Name = sanitize(m.Name, true)
		if m.Name != last.Name {
			if m.Help != "" {
				b.WriteString("# HELP " + m.Name + " " + escape(escapeHelp, m.Help) + "\n")
			}
			b.WriteString("# TYPE " + m.Name + " " + m.Type.String() + "\n")
			last = m
		}
		switch {
		case m.Type != last.Type:
		case m.Type == HistogramType:
			writeHistogram(b, m)
		default:
			writeSample(b, m.Name, m.Labels, "", number(m.Value))
		}
	}
	return b.Flush()
}

func compare(a, b Metric) int {
	return cmp.Or(
		cmp.Compare(sanitize(a.Name, true), sanitize(b.Name, true)),
		slices.CompareFunc(a.Labels, b.Labels, func(a, b Label) int {
			return cmp.Or(cmp.Compare(a.Name, b.Name), cmp.Compare(a.Value, b.Value))
		}))
}

func writeHistogram(b *bufio.Writer, m Metric) {
	var count uint64
	for i, n := range m.Counts {
		count += n
		if i < len(m.Bounds) && !math.IsInf(m.Bounds[i], 1) { // that one comes last, for all
			writeSample(b, m.Name+"_bucket", m.Labels, number(m.Bounds[i]), strconv.FormatUint(count, 10))
		}
	}
	total := strconv.FormatUint(count, 10)
	writeSample(b, m.Name+"_bucket", m.Labels, "+Inf", total)
	writeSample(b, m.Name+"_sum", m.Labels, "", number(m.Value))
	writeSample(b, m.Name+"_count", m.Labels, "", total)
}

// writeSample writes one line; le is the upper bound of a bucket, if not "".
func writeSample(b *bufio.Writer, name string, labels []Label, le, value string) {
	b.WriteString(name)
	sep := "{"
	for _, l := range labels {
		b.WriteString(sep + sanitize(l.Name, false) + `="` + escape(escapeLabel, l.Value) + `"`)
		sep = ","
	}
	if le != "" {
		b.WriteString(sep + `le="` + le + `"`)
		sep = ","
	}
	if sep == "," {
		b.WriteString("}")
	}
	b.WriteString(" " + value + "\n")
}

var (
	escapeHelp  = strings.NewReplacer(`\`, `\\`, "\n", `\n`)
	escapeLabel = strings.NewReplacer(`\`, `\\`, "\n", `\n`, `"`, `\"`)
)

// escape also replaces what is not UTF-8: one such byte would cost the reader the whole page.
func escape(r *strings.Replacer, s string) string {
	return r.Replace(strings.ToValidUTF8(s, "\uFFFD"))
}

// number formats v as Prometheus reads it: FormatFloat writes +Inf, -Inf and NaN as it does.
func number(v float64) string { return strconv.FormatFloat(v, 'g', -1, 64) }

// sanitize makes s a name: ASCII letters, digits and underscores, in metrics also colons, and
// not a digit first.
func sanitize(s string, colons bool) string {
	fit := func(r rune) bool {
		return 'a' <= r && r <= 'z' || 'A' <= r && r <= 'Z' || '0' <= r && r <= '9' ||
			r == '_' || colons && r == ':'
	}
	if s == "" || '0' <= s[0] && s[0] <= '9' {
		s = "_" + s
	}
	return strings.Map(func(r rune) rune {
		if fit(r) {
			return r
		}
		return '_'
	}, s)
}
