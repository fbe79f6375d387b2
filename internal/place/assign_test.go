package place

import (
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// TestAssignScript plays testdata/assign.txt. A line "> replicas NAME ..." is Reassign and
// "> load SLICE=RATE ..." is Rebalance, where a slice is one of 64 equal parts, or several as in
// 3-5. The indented lines after an event are the slices, in such parts, and the version.
func TestAssignScript(t *testing.T) {
	const file = "testdata/assign.txt"
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var out strings.Builder
	var a Assignment
	var loads []Load
	for i, line := range strings.Split(strings.TrimSuffix(string(text), "\n"), "\n") {
		if strings.HasPrefix(line, "  ") {
			continue
		}
		fmt.Fprintln(&out, line)
		words := strings.Fields(line)
		switch {
		case len(words) == 0 || words[0] == "#":
			continue
		case words[0] == "reset":
			a, loads = Assignment{}, nil
			continue
		case len(words) > 1 && words[1] == "replicas":
			a = a.Reassign(words[2:], loads)
		case len(words) > 1 && words[1] == "load":
			loads = nil
			for _, word := range words[2:] {
				loads = append(loads, parseLoad(t, word))
			}
			a = a.Rebalance(loads)
		default:
			t.Fatalf("%s:%d: cannot read %q", file, i+1, line)
		}
		fmt.Fprintf(&out, "  version %d:", a.Version)
		for _, s := range a.Slices {
			fmt.Fprintf(&out, " %v %s", float64(s.Start)/float64(size(64)), s.Replica)
		}
		fmt.Fprintln(&out)
	}
	if *update {
		if err := os.WriteFile(file, []byte(out.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	} else if out.String() != string(text) {
		t.Errorf("got\n%s\nwant\n%s", out.String(), text)
	}
}

func parseLoad(t *testing.T, word string) Load {
	t.Helper()
	part, rate, _ := strings.Cut(word, "=")
	first, last, several := strings.Cut(part, "-")
	if !several {
		last = first
	}
	l, err := strconv.ParseFloat(rate, 64)
	i, err1 := strconv.Atoi(first)
	j, err2 := strconv.Atoi(last)
	if err != nil || err1 != nil || err2 != nil {
		t.Fatalf("%q is no load", word)
	}
	return part64(i, j, l)
}

// part64 is a load as weavelets report it, of one of 64 equal parts or several.
func part64(first, last int, rate float64) Load {
	l := Load{Start: uint64(first) * size(64), End: uint64(last+1) * size(64), Rate: rate}
	if last == 63 {
		l.End = math.MaxUint64
	}
	return l
}

// owners returns who has each of the smallest atoms.
func owners(a Assignment) []string {
	list := make([]string, maxAtoms)
	slice := -1
	for i := range list {
		for slice+1 < len(a.Slices) && a.Slices[slice+1].Start <= uint64(i)*size(maxAtoms) {
			slice++
		}
		if slice >= 0 {
			list[i] = a.Slices[slice].Replica
		}
	}
	return list
}

// wellFormed checks what every assignment to replicas promises.
func wellFormed(t *testing.T, what string, a Assignment, replicas []string) {
	t.Helper()
	for i, s := range a.Slices {
		switch {
		case i == 0 && s.Start != 0, i > 0 && s.Start <= a.Slices[i-1].Start:
			t.Fatalf("%s: slice %d of %v starts at %x", what, i, a, s.Start)
		case i > 0 && s.Replica == a.Slices[i-1].Replica:
			t.Fatalf("%s: neighbours of %v have the same replica", what, a)
		}
	}
	if len(a.Slices) > maxAtoms {
		t.Fatalf("%s: %d slices", what, len(a.Slices))
	}
	seen := map[string]bool{}
	for _, owner := range owners(a) {
		seen[owner] = true
	}
	for _, r := range replicas {
		if !seen[r] {
			t.Fatalf("%s: %s has nothing of %v", what, r, a)
		}
		delete(seen, r)
	}
	if len(replicas) > 0 && len(seen) > 0 {
		t.Fatalf("%s: %v is assigned to %v, not to %v", what, a, seen, replicas)
	}
}

// TestChurn lets replicas come and go. Without loads, only keys of those that go move, only to
// those that come or to make up for those that go, and shares stay equal.
func TestChurn(t *testing.T) {
	for seed := range uint64(30) {
		rng := rand.New(rand.NewPCG(seed, 4))
		most := 2 + rng.IntN(20)
		var a Assignment
		var replicas []string
		next := 0
		for step := range 60 {
			what := fmt.Sprintf("step %d of seed %d", step, seed)
			before, version, gone := owners(a), a.Version, ""
			was := slices.Clone(a.Slices)
			if come := len(replicas) == 0 || len(replicas) < most && rng.IntN(2) == 0; come {
				replicas = append(replicas, "r"+strconv.Itoa(next))
				next++
			} else {
				i := rng.IntN(len(replicas))
				gone = replicas[i]
				replicas = slices.Delete(slices.Clone(replicas), i, i+1)
			}
			b := a.Reassign(replicas, nil)
			if !slices.Equal(a.Slices, was) {
				t.Fatalf("%s: the assignment that was has changed", what)
			}
			if len(replicas) == 0 {
				if b.Version != version || !slices.Equal(b.Slices, a.Slices) {
					t.Fatalf("%s: without replicas, %v became %v", what, a, b)
				}
				continue
			}
			wellFormed(t, what, b, replicas)
			share := map[string]int{}
			for i, owner := range owners(b) {
				share[owner]++
				if before[i] == owner || before[i] == gone || !slices.Contains(replicas, before[i]) {
					continue
				}
				if gone != "" || owner != replicas[len(replicas)-1] {
					t.Fatalf("%s: keys went from %s to %s for nothing", what, before[i], owner)
				}
			}
			for r, n := range share {
				if mean := float64(maxAtoms) / float64(len(replicas)); float64(n) > 1.4*mean {
					t.Fatalf("%s: %s has %d atoms of %v on the mean", what, r, n, mean)
				}
			}
			if again := b.Reassign(replicas, nil); again.Version != b.Version || b.Version > version+1 {
				t.Fatalf("%s: version %d, then %d, then %d", what, version, b.Version, again.Version)
			}
			a = b
		}
	}
}

// TestRebalance repeats it under the same load until nothing changes.
func TestRebalance(t *testing.T) {
	for seed := range uint64(100) {
		rng := rand.New(rand.NewPCG(seed, 5))
		var replicas []string
		for i := range 1 + rng.IntN(12) {
			replicas = append(replicas, "r"+strconv.Itoa(i))
		}
		var loads []Load
		for i := range 64 {
			if rng.IntN(3) > 0 {
				loads = append(loads, part64(i, i, math.Pow(rng.Float64(), 6)*1000))
			}
		}
		a := Assignment{}.Reassign(replicas, nil)
		steps := 0
		for ; ; steps++ {
			what := fmt.Sprintf("step %d of seed %d", steps, seed)
			b := a.Rebalance(loads)
			wellFormed(t, what, b, replicas)
			if b.Version == a.Version {
				break
			}
			old, fresh := newBoard(a, replicas, loads), newBoard(b, replicas, loads)
			moved, atoms := 0.0, 0
			for i, owner := range fresh.owner {
				if old.owner[i] != owner {
					moved += fresh.weight[i]
					atoms++
				}
			}
			if total := old.mean * float64(len(replicas)); moved > maxMoved*total*1.001 && atoms > 1 {
				t.Fatalf("%s: %v of %v moved in %d atoms", what, moved, total, atoms)
			}
			if slices.Max(fresh.held) > slices.Max(old.held)*1.001 {
				t.Fatalf("%s: the largest share was %v and is %v", what, old.held, fresh.held)
			}
			if steps > 1000 {
				t.Fatalf("%s: it goes on for ever", what)
			}
			a = b
		}
		b := newBoard(a, replicas, loads)
		for r, held := range b.held {
			gap := held - slices.Min(b.held)
			if held > overload*b.mean*1.001 && b.atoms[r] > 1 && b.weight[b.least(r)] < gap*0.999 {
				t.Fatalf("seed %d ends after %d steps with %v: mean %v", seed, steps, b.held, b.mean)
			}
		}
	}
}

func TestLoadsThatAreNone(t *testing.T) {
	a := Assignment{}.Reassign([]string{"a", "b"}, nil)
	for _, loads := range [][]Load{
		nil, {}, {{}}, {{1, 1, 5}}, {{9, 3, 5}}, {{0, 9, 0}}, {{0, 9, -1}}, {{0, 9, math.NaN()}},
	} {
		if b := a.Rebalance(loads); b.Version != a.Version {
			t.Errorf("%v made %v", loads, b)
		}
	}
	if b := (Assignment{}).Rebalance([]Load{{0, math.MaxUint64, 1}}); b.Version != 0 || b.Slices != nil {
		t.Errorf("nothing became %v", b)
	}
}

// TestManyReplicas has more than there are atoms at first.
func TestManyReplicas(t *testing.T) {
	var replicas []string
	for i := range 300 {
		replicas = append(replicas, fmt.Sprintf("r%03d", i))
	}
	few := Assignment{}.Reassign(replicas[:2], nil)
	many := few.Reassign(replicas, nil)
	wellFormed(t, "many", many, replicas)
	back := many.Reassign(replicas[:2], nil)
	wellFormed(t, "back", back, replicas[:2])
}

// TestRoutedState has overlapping groups of a routed component, with one caller.
func TestRoutedState(t *testing.T) {
	plan, err := NewPlan([]Component{
		{Name: "A", Main: true, Refs: []string{"B"}}, {Name: "B", Routed: true}, {Name: "C"},
	}, []Group{{"b", []string{"B"}, 2}, {"bc", []string{"B", "C"}, 1}, {"a", []string{"A"}, 0}}, nil)
	if err != nil {
		t.Fatal(err)
	}
	s := NewState(plan)
	s.Begin()
	caller := Replica{"a", 0}
	// tell returns the one route that an event has for the caller, if it has one.
	tell := func(actions []Action) *Route {
		t.Helper()
		var last *Route
		for _, a := range actions {
			if r, ok := a.(Route); ok {
				if last != nil || r.To != caller || r.Component != "B" {
					t.Fatalf("actions %+v", actions)
				}
				last = &r
			}
		}
		return last
	}
	if r := tell(s.Activate(caller, "B")); r == nil || r.Assignment.Version != 0 || r.Assignment.Slices != nil {
		t.Fatalf("before any replica: %+v", r)
	}
	var all []string
	for i, replica := range []Replica{{"b", 0}, {"b", 1}, {"bc", 0}} {
		all = append(all, "tcp://"+strconv.Itoa(i))
		r := tell(s.Up(replica, all[i]))
		if r == nil || r.Assignment.Version != uint64(i+1) || !slices.Equal(r.Addresses, all) {
			t.Fatalf("replica %d: %+v", i, r)
		}
		wellFormed(t, replica.Group, r.Assignment, all)
	}
	if r := tell(s.Load("B", []Load{part64(0, 63, 10)})); r != nil {
		t.Errorf("even load: %+v", r)
	}
	var hot []Load
	for i, owner := range owners(s.keys["B"]) {
		if i%64 == 0 && owner == all[1] {
			hot = append(hot, part64(i/64, i/64, 10))
		}
	}
	r := tell(s.Load("B", hot))
	if r == nil || r.Assignment.Version != 4 {
		t.Fatalf("uneven load: %+v", r)
	}
	wellFormed(t, "load", r.Assignment, all)
	if again := tell(s.Up(Replica{"b", 1}, all[1])); again != nil {
		t.Errorf("up again: %+v", again)
	}
	r = tell(s.Down(Replica{"b", 1}))
	if r == nil || r.Assignment.Version != 5 {
		t.Fatalf("down: %+v", r)
	}
	wellFormed(t, "down", r.Assignment, []string{all[0], all[2]})
	if r := tell(s.Load("C", hot)); r != nil {
		t.Errorf("load of a component that is not routed: %+v", r)
	}
	local := s.Activate(Replica{"bc", 0}, "B")[0].(Route)
	if !local.Local || local.Addresses != nil || local.Assignment.Version != 0 {
		t.Errorf("a replica with the component is told %+v", local)
	}
}
