package weavelet

import (
	"slices"
	"strings"
	"testing"
)

// TestGraph goes through calls of A -> B -> C -> B, C -> D.
func TestGraph(t *testing.T) {
	w := newWorld(t, map[string]*behaviour{
		"A": {Refs: []string{"B"}}, "B": {Refs: []string{"C"}}, "C": {Refs: []string{"B", "D"}}, "D": {Refs: []string{"D", "Elsewhere"}},
	})
	g := graph{w.app.Registry}
	full := func(names string) (list []string) {
		for _, name := range strings.Fields(names) {
			list = append(list, "t/p/"+name)
		}
		return list
	}
	for _, tc := range []struct{ from, want string }{
		{"A", "Elsewhere D C B A"},
		{"C", "B Elsewhere D C"},
		{"D A", "Elsewhere D C B A"},
		{"", ""},
		{"Nobody", "Nobody"},
	} {
		if got := g.closure(full(tc.from)); !slices.Equal(got, full(tc.want)) {
			t.Errorf("closure(%s) = %q, want %q", tc.from, got, full(tc.want))
		}
	}
	for _, tc := range []struct{ from, to, want string }{
		{"A", "D", "A B C D"},
		{"B", "B", "B C B"},
		{"D", "D", "D D"},
		{"C", "B", "C B"},
		{"D", "A", ""},
		{"Nobody", "A", ""},
	} {
		if got := g.path("t/p/"+tc.from, "t/p/"+tc.to); !slices.Equal(got, full(tc.want)) {
			t.Errorf("path(%s, %s) = %q, want %q", tc.from, tc.to, got, full(tc.want))
		}
	}
	for _, tc := range []struct{ caller, callee, want string }{
		{"A", "B", ""},
		{"B", "C", "p.B -> p.C -> p.B"},
		{"C", "B", "p.C -> p.B -> p.C"},
		{"C", "D", ""},
		{"D", "D", "p.D -> p.D"},
	} {
		if got := g.cycle("t/p/"+tc.caller, "t/p/"+tc.callee); got != tc.want {
			t.Errorf("cycle(%s, %s) = %q, want %q", tc.caller, tc.callee, got, tc.want)
		}
	}
}
