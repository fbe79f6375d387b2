package rollout

import (
	"os"
	"strings"
	"testing"
	"time"
)

// TestResume plays testdata/resume.script. A line "VERSION ... wants VERSION" has the versions that run,
// the oldest first, those with a "-" leaving, and the one that is wanted; the line after it is what is
// decided.
func TestResume(t *testing.T) {
	const file = "testdata/resume.script"
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}

	var out strings.Builder
	for line := range strings.Lines(string(text)) {
		if strings.HasPrefix(line, "  ") {
			continue // what was decided before
		}
		out.WriteString(line)
		before, wanted, ok := strings.Cut(strings.TrimSpace(line), "wants ")
		if !ok {
			continue
		}
		var running []Version
		for _, digest := range strings.Fields(before) {
			digest, leaving := strings.CutSuffix(digest, "-")
			running = append(running, Version{digest, leaving})
		}
		d := Resume(running, wanted)
		for _, part := range [][2]string{{"serve", d.Serve}, {"drop", strings.Join(d.Drop, " ")}, {"upgrade", d.Upgrade}} {
			if part[1] != "" {
				out.WriteString("  " + part[0] + " " + part[1])
			}
		}
		out.WriteString("\n")
	}

	if *update {
		if err := os.WriteFile(file, []byte(out.String()), 0o644); err != nil {
			t.Fatal(err)
		}
		text = []byte(out.String())
	}
	if out.String() != string(text) {
		t.Errorf("got\n%s\nwant\n%s", out.String(), text)
	}
}

// TestFailures: what has failed is remembered for ten minutes, each version once.
func TestFailures(t *testing.T) {
	var f Failures
	f = f.Add(Failure{"a", start, "no port"})
	f = f.Add(Failure{"b", start.Add(9 * time.Minute), "no file"})
	f = f.Add(Failure{"a", start.Add(9 * time.Minute), "no disk"})
	if len(f) != 2 {
		t.Errorf("%d failures: %v", len(f), f)
	}
	for _, tc := range []struct {
		digest string
		at     time.Duration
		want   string
	}{
		{"a", 9 * time.Minute, "no disk"}, {"a", 18 * time.Minute, "no disk"}, {"a", 19 * time.Minute, ""},
		{"b", 18 * time.Minute, "no file"}, {"c", 9 * time.Minute, ""},
		{"a", 5 * time.Minute, "no disk"}, // by a clock that was set back
		{"a", -time.Hour, ""},
	} {
		got, ok := f.Recent(tc.digest, start.Add(tc.at))
		if got.Reason != tc.want || ok != (tc.want != "") {
			t.Errorf("%s after %v: %v, %v; want %q", tc.digest, tc.at, got, ok, tc.want)
		}
	}
	if f = f.Add(Failure{"c", start.Add(time.Hour), "no time"}); len(f) != 1 {
		t.Errorf("old failures are kept: %v", f)
	}
}
