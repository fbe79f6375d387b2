package admission

import (
	"fmt"
	"strings"
	"testing"
	"time"
)

// table is a gate for one processor at which calls have letters.
type table struct {
	gate  *Gate
	spare int
	now   time.Time
	lines map[string]*Line
	calls map[string]*Call
}

func newTable(most int, limit float64) *table {
	t := &table{now: time.Unix(0, 0), lines: map[string]*Line{}, calls: map[string]*Call{}}
	t.gate = NewGate(1, most, func() int { return t.spare })
	t.gate.limit = limit
	return t
}

// arrive has a call arrive, and reports whether it begins.
func (t *table) arrive(line, name string, deadline, takes time.Duration) bool {
	if t.lines[line] == nil {
		t.lines[line] = &Line{}
	}
	c := &Call{Subject: name, Line: t.lines[line], Arrived: t.now, Takes: takes}
	if deadline > 0 {
		c.Deadline = t.now.Add(deadline)
	}
	t.calls[name] = c
	return t.gate.Enter(c, t.now)
}

// leave has calls end.
func (t *table) leave(names ...string) {
	for _, name := range names {
		t.gate.Leave(t.calls[name], t.now)
	}
}

// look returns what begins, and what is refused after a dash.
func (t *table) look() string {
	v := t.gate.Look(t.now)
	return strings.TrimSuffix(letters(v.Begin)+"-"+letters(v.Refuse), "-")
}

func letters(calls []*Call) (text string) {
	for _, c := range calls {
		text += c.Subject.(string)
	}
	return text
}

func (t *table) pass(d time.Duration) { t.now = t.now.Add(d) }

func expect(t *testing.T, what, got, want string) {
	t.Helper()
	if got != want {
		t.Errorf("%s: %q, want %q", what, got, want)
	}
}

const ms = time.Millisecond

// TestOrder: the lines take turns, and in each it goes by when calls have to begin.
func TestOrder(t *testing.T) {
	g := newTable(100, 2)
	if !g.arrive("x", "A", 0, 0) || !g.arrive("x", "B", 0, 0) || g.arrive("x", "C", 90*ms, 0) {
		t.Fatal("the limit is not kept")
	}
	g.pass(ms)
	g.arrive("x", "D", 60*ms, 0) // has to begin before C, and
	g.arrive("x", "E", 60*ms, 10*ms)
	g.arrive("x", "F", 60*ms, 25*ms) // before these, as it takes long
	g.arrive("x", "G", 0, 0)         // this one can wait
	g.arrive("y", "H", 90*ms, 0)
	g.arrive("z", "I", 90*ms, 0)
	expect(t, "while all run", g.look(), "")

	var begun string
	for _, name := range []string{"A", "B", "F", "H", "I", "D", "E", "C"} {
		g.leave(name)
		begun += g.look()
	}
	expect(t, "begun", begun, "FHIDECG")
	if g.gate.Waiting() != 0 || len(g.gate.lines) != 0 {
		t.Errorf("%d calls wait in %d lines", g.gate.Waiting(), len(g.gate.lines))
	}
}

// TestTooLate: a call that would begin too late is refused, also if nothing ends.
func TestTooLate(t *testing.T) {
	g := newTable(100, 2)
	g.arrive("x", "A", 0, 0)
	g.arrive("x", "B", 0, 0)
	g.arrive("x", "C", 30*ms, 0)
	g.arrive("x", "D", 60*ms, 0)
	g.arrive("y", "E", 30*ms, 20*ms) // there is no time to wait
	g.arrive("y", "F", 0, 0)
	expect(t, "now", g.look(), "-E")
	g.pass(10 * ms)
	expect(t, "after 10 ms", g.look(), "")
	g.pass(ms)
	expect(t, "after 11 ms", g.look(), "-C")
	g.pass(patience - 11*ms)
	expect(t, "after 5 s", g.look(), "F-D") // A and B take so long that they wait for something
}

// TestSpare: whatever the limit is, what runs where nothing else would is not refused.
func TestSpare(t *testing.T) {
	g := newTable(100, 2)
	g.spare = 1
	for i := range 1000 {
		if !g.arrive("x", fmt.Sprint(i), 10*ms, 0) {
			t.Fatalf("call %d waits for nothing", i)
		}
	}
	g.spare = 0
	for _, name := range []string{"A", "B", "C"} {
		g.arrive("x", name, 0, 0)
	}
	expect(t, "no processor is free", g.look(), "")
	g.spare = 2
	expect(t, "two are free", g.look(), "AB")
}

// TestFull: when too many wait, those of whoever has the most are refused, the most patient first.
func TestFull(t *testing.T) {
	g := newTable(3, 1)
	g.arrive("x", "A", 0, 0)
	g.arrive("x", "B", 0, 0)
	g.arrive("x", "C", 30*ms, 0)
	g.arrive("x", "D", 30*ms, 0)
	expect(t, "three wait", g.look(), "")
	g.arrive("y", "E", 90*ms, 0)
	expect(t, "a fourth comes", g.look(), "-B")
	g.arrive("z", "F", 90*ms, 0)
	expect(t, "a fifth comes", g.look(), "-D")
}

// TestGone: calls that nobody wants any more do not begin.
func TestGone(t *testing.T) {
	g := newTable(100, 1)
	g.arrive("x", "A", 0, 0)
	for _, name := range []string{"B", "C", "D"} {
		g.arrive("x", name, 0, 0)
	}
	g.arrive("y", "E", 0, 0)
	if !g.gate.Withdraw(g.calls["C"]) || g.gate.Withdraw(g.calls["C"]) || g.gate.Withdraw(g.calls["A"]) {
		t.Error("it is not those that wait that can be withdrawn")
	}
	expect(t, "cleared", letters(g.gate.Clear(g.lines["x"])), "BD")
	g.leave("A")
	expect(t, "left", g.look(), "E")
}

// TestLimit: calls that end in vain lower the limit, once for those that began before; calls that end in
// time raise it. If processors are free, it is not that too many calls run.
func TestLimit(t *testing.T) {
	g := newTable(1000, 1000)
	batch := func(n int, took time.Duration) float64 {
		names := []string{}
		for i := range n {
			name := fmt.Sprint(i)
			names = append(names, name)
			g.arrive("x", name, 50*ms, 0)
		}
		g.look()
		g.pass(took)
		g.leave(names...)
		return g.gate.limit
	}
	g.spare = 0
	if got := batch(100, 40*ms); got != 1000 {
		t.Errorf("the limit is %v though nobody waits for a processor", got)
	}
	g.spare = -1
	if got := batch(100, 40*ms); got != 70 {
		t.Errorf("the limit is %v, want 70", got)
	}
	if got := batch(64, 10*ms); got != 71 {
		t.Errorf("the limit is %v, want 71", got)
	}
	for range 20 {
		batch(2, 40*ms)
	}
	if got := g.gate.limit; got != least {
		t.Errorf("the limit is %v, want %v", got, least)
	}
}

// TestLong: calls that wait for each other get on, though the processors never have nothing to do.
func TestLong(t *testing.T) {
	g := newTable(1000, 2)
	g.spare = -10
	var begun []string
	for i := range 6 {
		if name := fmt.Sprint(i); g.arrive("x", name, 0, 0) {
			begun = append(begun, name)
		}
	}
	for range 12 {
		begun = append(begun, strings.Split(strings.Split(g.look(), "-")[0], "")...)
		g.pass(long / 2)
	}
	if got := strings.Join(begun, ""); got != "012345" {
		t.Errorf("begun: %s", got)
	}
}
