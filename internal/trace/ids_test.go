package trace

import (
	"strings"
	"testing"
)

const example = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01" // from the standard

func TestTraceparent(t *testing.T) {
	sc, err := ParseTraceparent(example)
	if err != nil {
		t.Fatal(err)
	}
	if got := sc.TraceID.String(); got != "4bf92f3577b34da6a3ce929d0e0e4736" {
		t.Errorf("trace id %s", got)
	}
	if got := sc.SpanID.String(); got != "00f067aa0ba902b7" {
		t.Errorf("span id %s", got)
	}
	if !sc.Sampled() || sc.Traceparent() != example {
		t.Errorf("sampled %v, written %s", sc.Sampled(), sc.Traceparent())
	}
	if got := (SpanContext{}).Traceparent(); got != "" {
		t.Errorf("no span is written %q", got)
	}
}

func TestTraceparentVariants(t *testing.T) {
	replace := func(old, new string) string { return strings.Replace(example, old, new, 1) }
	for _, tc := range []struct {
		s    string
		want string // "" is an error
	}{
		{replace("-01", "-00"), replace("-01", "-00")},
		{replace("-01", "-ff"), example},
		{replace("-01", "-02"), replace("-01", "-00")},
		{replace("00-", "cc-"), example},
		{replace("00-", "cc-") + "-what-the-future-adds", example},
		{replace("00-", "cc-") + ".what", ""},
		{example + "-extra", ""},
		{replace("00-", "ff-"), ""},
		{replace("00-", "0-"), ""},
		{replace("4bf9", "4BF9"), ""},
		{replace("4bf9", "4bg9"), ""},
		{replace("-00f0", "_00f0"), ""},
		{replace("4bf92f3577b34da6a3ce929d0e0e4736", strings.Repeat("0", 32)), ""},
		{replace("00f067aa0ba902b7", strings.Repeat("0", 16)), ""},
		{example[:54], ""},
		{"", ""},
	} {
		sc, err := ParseTraceparent(tc.s)
		if got := sc.Traceparent(); got != tc.want || (err != nil) != (tc.want == "") {
			t.Errorf("ParseTraceparent(%q) = %q, %v; want %q", tc.s, got, err, tc.want)
		}
	}
}

func FuzzParseTraceparent(f *testing.F) {
	f.Add(example)
	f.Add("cc" + example[2:] + "-x")
	f.Add("00-00000000000000000000000000000000-0000000000000000-00")
	f.Add("")
	f.Fuzz(func(t *testing.T, s string) {
		sc, err := ParseTraceparent(s)
		if err != nil {
			if sc != (SpanContext{}) {
				t.Errorf("%v with an error", sc)
			}
			return
		}
		again, err := ParseTraceparent(sc.Traceparent())
		if err != nil || again != sc {
			t.Errorf("%q becomes %v, then %v, %v", s, sc, again, err)
		}
		if len(s) == len(example) && s[:2] == "00" && sc.Traceparent()[:53] != s[:53] {
			t.Errorf("%q is written %q", s, sc.Traceparent())
		}
	})
}
