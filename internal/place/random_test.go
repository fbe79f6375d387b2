package place

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
)

// twin knows what happened, and works out what everybody has to know from nothing else.
type twin struct {
	groups map[string][]string // components by group
	asked  map[Replica]map[string]bool
	up     map[Replica]string
	told   map[Replica]map[string]Route
	starts map[Replica]int
}

func (w *twin) hosts(group, component string) bool {
	return slices.Contains(w.groups[group], component)
}

// take carries out actions, and refuses those that tell nobody anything, or nothing new.
func (w *twin) take(t *testing.T, event string, again bool, actions []Action) {
	t.Helper()
	for _, a := range actions {
		switch a := a.(type) {
		case Start:
			if w.starts[a.Replica]++; w.starts[a.Replica] > 1 {
				t.Fatalf("%s starts %v again", event, a.Replica)
			}
		case Route:
			if !w.asked[a.To][a.Component] {
				t.Fatalf("%s tells %v of %s, which it has not asked for", event, a.To, a.Component)
			}
			last, ok := w.told[a.To][a.Component]
			if ok && !again && last.Local == a.Local && slices.Equal(last.Addresses, a.Addresses) {
				t.Fatalf("%s tells %v of %s twice: %v", event, a.To, a.Component, a.Addresses)
			}
			if w.told[a.To] == nil {
				w.told[a.To] = map[string]Route{}
			}
			a.Addresses = slices.Clone(a.Addresses)
			w.told[a.To][a.Component] = a
		}
	}
}

// check compares what every replica was last told with what is so.
func (w *twin) check(t *testing.T, event string) {
	t.Helper()
	for r, components := range w.asked {
		for component := range components {
			told, ok := w.told[r][component]
			local := w.hosts(r.Group, component)
			var want []string
			for other, address := range w.up {
				if !local && w.hosts(other.Group, component) {
					want = append(want, address)
				}
			}
			slices.Sort(want)
			if !ok || told.Local != local || !slices.Equal(told.Addresses, want) {
				t.Fatalf("after %s, %v was told of %s: %+v; want local %v, %q", event, r, component, told, local, want)
			}
			for group, hosted := range w.groups {
				if !local && slices.Contains(hosted, component) && w.starts[Replica{group, 0}] == 0 {
					t.Fatalf("after %s, %v needs %s, but %s has not started", event, r, component, group)
				}
			}
		}
	}
}

// resume has another deployer take over from what the replicas say that run, or have asked for something.
// Those that take calls, and nobody was told of it, are found to.
func (w *twin) resume(t *testing.T, event string, plan Plan, replicas []Replica) *State {
	t.Helper()
	var hosted []Hosted
	for _, r := range replicas {
		address, up := w.up[r]
		if w.starts[r] == 0 && !up && len(w.asked[r]) == 0 {
			continue
		}
		w.starts[r] = 1
		h := Hosted{Replica: r, Address: address}
		for _, route := range w.told[r] {
			h.Told = append(h.Told, route)
		}
		hosted = append(hosted, h)
	}

	s, actions := Resume(plan, hosted, false)
	w.take(t, event, false, actions)
	for r, address := range w.up {
		if !s.Takes(r) {
			w.take(t, event, false, s.Up(r, address))
		}
	}
	return s
}

// TestRandom lets replicas come, ask and go in any order, with groups that overlap, and now and then
// another deployer take over.
func TestRandom(t *testing.T) {
	for seed := range uint64(40) {
		rng := rand.New(rand.NewPCG(seed, 3))
		names := []string{"A", "B", "C", "D", "E"}
		var components []Component
		for i, c := range names {
			components = append(components, Component{Name: c, Main: i == 0, Always: rng.IntN(4) == 0})
		}
		groups := []Group{
			{"ab", []string{"A", "B"}, 2}, {"bc", []string{"B", "C"}, 1 + rng.IntN(3)}, {"c", []string{"C"}, 1},
		}
		plan, err := NewPlan(components, withRest(components, groups), map[string]int{"": 2})
		if err != nil {
			t.Fatal(err)
		}
		w := &twin{
			groups: map[string][]string{}, asked: map[Replica]map[string]bool{}, up: map[Replica]string{},
			told: map[Replica]map[string]Route{}, starts: map[Replica]int{},
		}
		var replicas []Replica
		for _, g := range plan.Groups {
			w.groups[g.Name] = g.Components
			for n := range g.Replicas {
				replicas = append(replicas, Replica{g.Name, n})
			}
		}
		s := NewState(plan)
		w.take(t, "begin", false, s.Begin())
		for i := range 300 {
			r, c := replicas[rng.IntN(len(replicas))], names[rng.IntN(len(names))]
			event := fmt.Sprintf("event %d of seed %d, ", i, seed)
			switch rng.IntN(6) {
			case 0, 1:
				event += fmt.Sprintf("activate %v %s", r, c)
				if w.asked[r] == nil {
					w.asked[r] = map[string]bool{}
				}
				w.asked[r][c] = true
				w.take(t, event, true, s.Activate(r, c))
			case 2:
				event += fmt.Sprintf("up %v", r)
				w.up[r] = fmt.Sprintf("tcp://%s-%d:%d", r.Group, r.Number, rng.IntN(3))
				w.take(t, event, false, s.Up(r, w.up[r]))
			case 3:
				event += fmt.Sprintf("down %v", r)
				delete(w.up, r)
				w.take(t, event, false, s.Down(r))
			case 4:
				event += fmt.Sprintf("gone %v", r)
				delete(w.up, r)
				delete(w.asked, r)
				delete(w.told, r)
				w.take(t, event, false, s.Gone(r))
			case 5:
				event += "takeover"
				s = w.resume(t, event, plan, replicas)
			}
			w.check(t, event)
		}
	}
}
