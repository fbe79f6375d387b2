package tree

import (
	"flag"
	"fmt"
	"math/rand/v2"
	"path"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/divisi-go/divisi/internal/lifecycle"
)

var (
	long = flag.Bool("long", false, "a million random events")
	seed = flag.Uint64("seed", 1, "of the first random events")
)

// life is what the world knows of a member.
type life struct {
	Spec
	started  int // orders the members of a group
	runs     bool
	halted   bool
	killed   bool
	told     Kind // how it has ended while the keeper of its host was away; "" if it has not
	doubted  bool // it has ended while its host was cut off
	unsure   bool // that host is back in this step
	proven   bool
	failures []time.Time
	doomed   bool // the world has seen why it, and all that is in it, may be halted
	asked    bool // somebody has asked for its end
}

// world does what a tree says, badly, and checks that the tree says nothing that it must not.
type world struct {
	t     *testing.T
	seed  uint64
	rng   *rand.Rand
	tree  *Tree
	now   time.Time
	lives map[string]*life
	host  Kind // of the host h: Away, Cut or Lost; "" while it can be asked
	count int
	log   []string
	drawn map[edge]bool
}

// TestRandom: after any events, no member outside of what has failed is halted, none runs twice, halts are in
// the reverse order of starts, and a group that has ended has nothing running. Nothing is started, halted or killed
// on a host that cannot be asked. When all answer again, all that is wanted is there.
func TestRandom(t *testing.T) {
	events := 30_000
	if *long {
		events = 1_000_000
	}

	const each = 1000
	drawn := readDrawing(t)
	for episode := range events / each {
		w := newWorld(t, *seed+uint64(episode), drawn)
		for range each {
			w.event()
		}
		w.heal()
		w.stop()
	}
}

func newWorld(t *testing.T, seed uint64, drawn map[edge]bool) *world {
	rng := rand.New(rand.NewPCG(seed, 0))
	w := &world{
		t: t, seed: seed, rng: rng, now: begin, lives: map[string]*life{},
		tree: &Tree{Rand: rng.Float64, Asks: rng.IntN(2) == 0}, drawn: drawn,
	}
	w.tree.trace = w.trace
	w.start("/", Spec{Group: true, Strategy: pick(rng, OneForOne, RestForOne, OneForAll)})
	return w
}

// trace checks that the life of a member is one of those that are drawn.
func (w *world) trace(n *node, event lifecycle.Event, from lifecycle.State) {
	if from == "" {
		from = lifecycle.Stopped
	}
	if from != n.proc.State && !w.drawn[edge{n.spec.Group, from, n.proc.State}] {
		w.fatalf("%s goes from %s to %s by %s, which %s does not show", n.path, from, n.proc.State, event, drawing)
	}
}

func pick[T any](rng *rand.Rand, choices ...T) T { return choices[rng.IntN(len(choices))] }

func (w *world) fatalf(format string, args ...any) {
	w.t.Helper()
	w.t.Fatalf("%s\nwith -seed %d, after\n%s", fmt.Sprintf(format, args...), w.seed,
		strings.Join(w.log[max(0, len(w.log)-40):], "\n"))
}

// any returns a random member that a condition holds for.
func (w *world) any(holds func(at string, l *life) bool) (string, bool) {
	var all []string
	for _, m := range w.tree.Members() {
		if holds(m.Path, w.lives[m.Path]) {
			all = append(all, m.Path)
		}
	}
	if len(all) == 0 {
		return "", false
	}
	return pick(w.rng, all...), true
}

func (w *world) event() {
	running := func(_ string, l *life) bool { return l.lives() }
	halted := func(_ string, l *life) bool { return l.runs && l.halted && w.here(l) }
	all := func(string, *life) bool { return true }

	choose := func(kind Kind, holds func(string, *life) bool) {
		if at, ok := w.any(holds); ok {
			w.step(Event{Kind: kind, Path: at})
		}
	}

	switch n := w.rng.IntN(100); {
	case n < 15:
		w.add()
	case n < 45:
		choose(Ready, func(at string, l *life) bool { return l.lives() && w.state(at) == lifecycle.Starting })
	case n < 46:
		choose(Ready, running)
	case n < 60:
		choose(Exit, halted)
	case n < 68:
		choose(Exit, running)
	case n < 70:
		choose(Finish, func(_ string, l *life) bool { return l.lives() && !l.Group })
	case n < 72:
		choose(Hung, running)
	case n < 74:
		choose(Stop, func(at string, _ *life) bool { return at != "/" })
	case n < 76:
		choose(Upgrade, all)
	case n < 79:
		choose(Retry, all)
	case n < 84:
		w.step(Event{Kind: pick(w.rng, Away, Cut, Back, Back, Lost, Fenced), Path: "h"})
	case n < 85:
		choose(Move, func(_ string, l *life) bool { return !l.runs && !l.Group })
	default:
		w.tick()
	}
}

func (w *world) tick() {
	wake := w.tree.Wake()
	switch {
	case w.rng.IntN(4) == 0:
		w.now = w.now.Add(time.Duration(w.rng.Int64N(int64(20 * time.Second))))
	case wake.After(w.now):
		w.now = wake
	}
	w.step(Event{Kind: Tick})
}

// lives reports whether a member runs that has not ended.
func (l *life) lives() bool { return l.runs && l.told == "" && !l.doubted }

// here reports whether the host of a member can be asked.
func (w *world) here(l *life) bool { return l.Host == "" || w.host == "" }

// hosted notes what happens to the host, and what it means for those that are there.
func (w *world) hosted(kind Kind) {
	was := w.host
	switch {
	case (kind == Away || kind == Cut) && was != Lost:
		w.host = kind
		return
	case kind == Back, kind == Fenced && was == Lost:
		w.host = ""
	case kind == Lost && was == Cut:
		w.host = Lost
	default:
		return
	}

	for at, l := range w.lives {
		if l.Host != "h" {
			continue
		}
		told, doubted := l.told, l.doubted
		l.told, l.doubted = "", false
		switch {
		case told != "":
			w.ends(at, l, told)
		case kind == Lost && l.runs:
			w.ends(at, l, Exit)
		case doubted:
			l.runs, l.unsure = false, true // it is asked to end, perhaps again, or taken over
		}
		if kind == Fenced {
			l.Host = ""
		}
	}
}

// add starts a member somewhere.
func (w *world) add() {
	g, ok := w.any(func(_ string, l *life) bool { return l.Group })
	if !ok || len(w.lives) > 30 {
		return
	}
	spec := Spec{Host: pick(w.rng, "", "", "h")}
	spec.Policy.Restart = pick(w.rng, lifecycle.Transient, lifecycle.Transient, lifecycle.Permanent, lifecycle.Temporary)
	spec.Policy.Intensity = 1 + w.rng.IntN(3)
	if strings.Count(g, "/") < 3 && w.rng.IntN(3) == 0 {
		spec.Group, spec.Host = true, ""
		spec.Strategy = pick(w.rng, Together, OneForOne, RestForOne, OneForAll)
	}
	w.start(path.Join(g, pick(w.rng, "a", "b", "c", "d")), spec)
}

func (w *world) start(at string, spec Spec) {
	before := w.lives[at]
	w.count++
	w.lives[at] = &life{Spec: spec, started: w.count}
	if before != nil {
		w.lives[at] = before // unless the tree takes it
	}
	w.log = append(w.log, fmt.Sprintf("start %s %+v", at, spec))
	did := w.tree.Step(Event{Kind: Start, Path: at, Spec: spec}, w.now)
	if len(did) == 1 && did[0].Do == Refuse {
		if before == nil {
			delete(w.lives, at)
		}
		return
	}
	if before != nil && (before.runs || !before.asked) {
		w.fatalf("%s is there already", at)
	}
	w.lives[at] = &life{Spec: spec, started: w.count}
	w.perform(did)
}

// step has the tree take an event and checks what it says.
func (w *world) step(e Event) {
	w.log = append(w.log, fmt.Sprintf("%s %s @%v", e.Kind, e.Path, w.now.Sub(begin)))
	w.happens(e)
	if e.Kind == Move {
		e.Spec.Host = w.lives[e.Path].Host
	}
	w.perform(w.tree.Step(e, w.now))

	for at, l := range w.lives {
		l.unsure = false
		if w.tree.nodes[at] == nil {
			if l.runs {
				w.fatalf("%s is forgotten, and runs", at)
			}
			delete(w.lives, at)
		}
	}
}

// happens notes what an event means, before the tree knows.
func (w *world) happens(e Event) {
	l := w.lives[e.Path]
	switch e.Kind {
	case Ready:
		l.proven = l.proven || !l.halted
		switch {
		case l.Group && l.halted:
			w.ends(e.Path, l, e.Kind) // it had returned before it was asked to end
		case l.Group:
			l.runs = false
		}
	case Exit, Finish:
		switch {
		case w.here(l):
			w.ends(e.Path, l, e.Kind)
		case w.host == Away:
			l.told = e.Kind
		default:
			l.doubted = true
		}
	case Away, Cut, Back, Lost, Fenced:
		w.hosted(e.Kind)
	case Move:
		l.Host = pick(w.rng, "", "h")
	case Stop, Upgrade:
		l.doomed, l.asked = true, true
	case Retry:
		if s := w.state(e.Path); !(&lifecycle.Process{State: s}).Runs() {
			l.failures = nil
		}
	}
}

func (w *world) state(at string) lifecycle.State {
	for _, m := range w.tree.Members() {
		if m.Path == at {
			return m.State
		}
	}
	return ""
}

// ends notes the end of a member or of a starter, and what it may do to others.
func (w *world) ends(at string, l *life, kind Kind) {
	l.runs = false
	fails := !l.halted && (kind == Exit || l.killed || l.Policy.Restart == lifecycle.Permanent)
	l.halted, l.killed = false, false

	switch {
	case l.Group:
		l.doomed = true // what it has started ends with its starter
	case fails && l.proven && l.Policy.Restart != lifecycle.Temporary:
		l.doomed = false
		w.strike(at, l)
	default:
		l.doomed = false
	}
}

// strike notes who may be halted because a member has failed.
func (w *world) strike(at string, l *life) {
	l.failures = append(l.failures, w.now)
	l.failures = slices.DeleteFunc(l.failures, func(f time.Time) bool { return w.now.Sub(f) >= time.Minute })
	tooMany := len(l.failures) > l.Policy.Intensity

	up := path.Dir(at)
	g := w.lives[up]
	if g.Strategy == Together || tooMany && up != "/" {
		g.doomed = true
		return
	}
	for other, o := range w.lives {
		if other == "/" || path.Dir(other) != up || other == at {
			continue
		}
		later := o.started > l.started
		if g.Strategy == OneForAll || g.Strategy == RestForOne && later {
			o.doomed = o.doomed || (&lifecycle.Process{State: w.state(other)}).Runs()
		}
	}
}

// doomed reports whether a member may be halted.
func (w *world) doomed(l *life) bool {
	for at, other := range w.lives {
		if other != l {
			continue
		}
		for ; ; at = path.Dir(at) {
			if w.lives[at].doomed {
				return true
			}
			if at == "/" {
				return false
			}
		}
	}
	return false
}

func (w *world) perform(did []Action) {
	for _, a := range did {
		w.log = append(w.log, fmt.Sprintf("    %s %s", a.Do, a.Path))
		if a.Do == Fence {
			continue
		}
		l := w.lives[a.Path]
		if acts := a.Do == Run || a.Do == Halt || a.Do == Kill; acts && !w.here(l) {
			w.fatalf("%s is to be done for %s, whose host is %s", a.Do, a.Path, w.host)
		}
		if a.Do == Halt || a.Do == Kill {
			l.runs = l.runs || l.unsure
		}
		switch a.Do {
		case Run:
			if l.runs {
				w.fatalf("%s runs twice", a.Path)
			}
			l.runs, l.halted, l.killed, l.asked, l.doomed = true, false, false, false, false
		case Halt:
			w.halt(a.Path, l)
		case Kill:
			l.killed = true
		case Ended:
			w.ended(a.Path, l)
		}
	}
}

// halt checks that a member may be halted, and that nobody who started later and is to end as well runs.
func (w *world) halt(at string, l *life) {
	if !l.runs {
		w.fatalf("%s is halted, and does not run", at)
	}
	if !w.doomed(l) {
		w.fatalf("%s is halted, and nobody knows why", at)
	}
	if l.halted {
		return // the host was away meanwhile
	}
	l.halted = true

	for child := at; child != "/"; child = path.Dir(child) {
		c := w.lives[child]
		if c.asked || c.doomed && c.Group {
			return // it ends for a reason of its own, whatever becomes of those around it
		}
		for other, o := range w.lives {
			if other == "/" || path.Dir(other) != path.Dir(child) || o.started <= c.started {
				continue
			}
			both := w.leaves(path.Dir(child)) || c.doomed && o.doomed && !o.asked
			if both && w.anyIn(other) {
				w.fatalf("%s is halted before %s, which started later", at, other)
			}
		}
		if c.doomed {
			return // likewise
		}
	}
}

// leaves reports whether a group ends, not only may.
func (w *world) leaves(group string) bool {
	s := w.state(group)
	return s == lifecycle.Draining || s == lifecycle.Stopping
}

// anyIn returns whether anything runs in a subtree.
func (w *world) anyIn(root string) bool {
	for at, l := range w.lives {
		if l.runs && (at == root || strings.HasPrefix(at, strings.TrimSuffix(root, "/")+"/")) {
			return true
		}
	}
	return false
}

// ended checks that nothing runs in a group that has ended.
func (w *world) ended(at string, l *life) {
	if w.anyIn(at) {
		w.fatalf("%s has ended, and something in it runs", at)
	}
	for other := range w.lives {
		if other != at && strings.HasPrefix(other, strings.TrimSuffix(at, "/")+"/") {
			delete(w.lives, other)
		}
	}

	l.halted, l.doomed = false, false
	if at != "/" && !l.asked && l.proven && l.Policy.Restart != lifecycle.Temporary {
		w.strike(at, l) // or it was to stop because of another one, which allows more than it should
	}
}

// heal has everybody answer until nothing happens any more: then all that is wanted is there.
func (w *world) heal() {
	w.step(Event{Kind: Back, Path: "h"})
	for range 1000 {
		busy := false
		for _, m := range w.tree.Members() {
			l := w.lives[m.Path]
			switch {
			case l == nil || !l.runs:
			case l.halted || l.killed:
				w.step(Event{Kind: Exit, Path: m.Path})
				busy = true
			case m.State == lifecycle.Starting:
				w.step(Event{Kind: Ready, Path: m.Path})
				busy = true
			}
		}
		for _, m := range w.tree.Members() {
			if m.State == lifecycle.Failed {
				w.step(Event{Kind: Retry, Path: m.Path})
				busy = true
			}
		}
		if !busy && w.tree.Wake().IsZero() {
			break
		}
		if wake := w.tree.Wake(); wake.After(w.now) {
			w.now = wake
		}
		w.step(Event{Kind: Tick})
	}

	for at, n := range w.tree.nodes {
		settled := n.proc.State == lifecycle.Ready || n.proc.State == lifecycle.Stopped || n.proc.State == ""
		if !settled || n.turn != none || n.fate != goesOn {
			w.fatalf("%s does not settle: it is %s, its turn %d, its fate %d", at, n.proc.State, n.turn, n.fate)
		}
	}
}

// stop has everything end.
func (w *world) stop() {
	w.step(Event{Kind: Stop, Path: "/"})
	for range 100 {
		for _, m := range w.tree.Members() {
			if l := w.lives[m.Path]; l != nil && l.halted && l.runs {
				w.step(Event{Kind: Exit, Path: m.Path})
			}
		}
	}
	if len(w.tree.nodes) != 1 || w.state("/") != lifecycle.Stopped {
		w.fatalf("it does not stop: %+v", w.tree.Members())
	}
}
