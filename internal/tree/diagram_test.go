package tree

import (
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/divisi-go/divisi/internal/lifecycle"
)

// diagram is what was seen of the states of members and of groups: from which one to which one they go, by
// which events of their lives.
type diagram map[edge]map[lifecycle.Event]bool

type edge struct {
	group    bool
	from, to lifecycle.State
}

// add is a trace of a tree.
func (d diagram) add(n *node, event lifecycle.Event, from lifecycle.State) {
	if from == "" {
		from = lifecycle.Stopped
	}
	e := edge{n.spec.Group, from, n.proc.State}
	if e.from == e.to {
		return
	}
	if d[e] == nil {
		d[e] = map[lifecycle.Event]bool{}
	}
	d[e][event] = true
}

// text returns the diagram in the language of Mermaid.
func (d diagram) text() string {
	var b strings.Builder
	for _, group := range []bool{false, true} {
		fmt.Fprintf(&b, "%s\n\n```mermaid\nstateDiagram-v2\n", map[bool]string{false: "## Members", true: "## Groups"}[group])
		var lines []string
		for e, kinds := range d {
			if e.group != group {
				continue
			}
			var words []string
			for _, k := range slices.Sorted(maps.Keys(kinds)) {
				words = append(words, string(k))
			}
			lines = append(lines, fmt.Sprintf("    %s --> %s: %s\n", e.from, e.to, strings.Join(words, ", ")))
		}
		slices.Sort(lines)
		b.WriteString("    [*] --> stopped\n" + strings.Join(lines, "") + "```\n\n")
	}
	return strings.TrimSuffix(b.String(), "\n")
}

const (
	drawing = "STATES.md"
	heading = `# The states of members and groups

Drawn from what the scripts in testdata do (go test ./internal/tree -update). The words at an arrow are
events of the package lifecycle. A group has "exited" when all in it has ended, and it wants to "leave" when
it has failed. No event of a long random run leads anywhere else.

`
)

// check compares the diagram with the drawing, or draws it.
func (d diagram) check(t *testing.T) {
	t.Helper()
	got := heading + d.text()
	if *update {
		if err := os.WriteFile(drawing, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(drawing)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("%s does not show what the scripts do: go test ./internal/tree -update", drawing)
	}
}

// readDrawing returns the arrows of the drawing.
func readDrawing(t *testing.T) map[edge]bool {
	t.Helper()
	text, err := os.ReadFile(drawing)
	if err != nil {
		t.Fatal(err)
	}

	edges := map[edge]bool{}
	group := false
	for line := range strings.Lines(string(text)) {
		if strings.HasPrefix(line, "## Groups") {
			group = true
		}
		from, rest, arrow := strings.Cut(strings.TrimSpace(line), " --> ")
		if to, _, ok := strings.Cut(rest, ": "); arrow && ok {
			edges[edge{group, lifecycle.State(from), lifecycle.State(to)}] = true
		}
	}
	return edges
}
