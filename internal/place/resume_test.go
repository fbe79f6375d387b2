package place

import (
	"reflect"
	"slices"
	"testing"
)

// TestResumeKeys: keys stay where the latest assignment has them that anybody was told of.
func TestResumeKeys(t *testing.T) {
	components := []Component{{Name: "A", Main: true, Listeners: []string{"web"}, Refs: []string{"B"}}, {Name: "B", Routed: true}}
	plan, err := NewPlan(components, withRest(components, nil), map[string]int{"": 2})
	if err != nil {
		t.Fatal(err)
	}
	one, both := []string{"tcp://1"}, []string{"tcp://1", "tcp://2"}
	first := Assignment{}.Reassign(one, nil)
	second := first.Reassign(both, nil)
	hosted := []Hosted{
		{Replica{"a", 0}, "", []Route{{Component: "B", Addresses: both, Assignment: second}}},
		{Replica{"a", 1}, "", []Route{{Component: "B", Addresses: one, Assignment: first}}},
		{Replica{"b", 0}, "tcp://1", nil},
		{Replica{"b", 1}, "tcp://2", nil},
	}
	_, actions := Resume(plan, hosted, false)
	want := []Action{Route{To: Replica{"a", 1}, Component: "B", Addresses: both, Assignment: second}}
	if !reflect.DeepEqual(actions, want) {
		t.Errorf("got  %+v\nwant %+v", actions, want)
	}
}

// TestBeside starts a fifth of all applications of four components beside another version. Each takes calls once all that it
// calls does, unless that may need it as well: the main component starts after whatever it needs, and does start.
func TestBeside(t *testing.T) {
	const size = 4
	for edges := 0; edges < 1<<(size*(size-1)); edges += 5 {
		var components []Component
		bit := 0
		for from := range size {
			c := Component{Name: string(rune('A' + from)), Main: from == 0}
			for to := range size {
				if from == to {
					continue
				}
				if edges>>bit&1 == 1 {
					c.Refs = append(c.Refs, string(rune('A'+to)))
				}
				bit++
			}
			components = append(components, c)
		}
		plan, err := NewPlan(components, withRest(components, nil), map[string]int{"": 1})
		if err != nil {
			t.Fatal(err)
		}
		startBeside(t, plan)
	}
}

// startBeside starts an application beside another version until nothing happens any more.
func startBeside(t *testing.T, plan Plan) {
	t.Helper()
	s, actions := Resume(plan, nil, true)
	up := map[string]bool{} // of groups that have started
	lacks := func(g Group) bool { return !up[g.Name] }
	for {
		for len(actions) > 0 {
			start, ok := actions[0].(Start)
			actions = actions[1:]
			if !ok {
				continue
			}
			group := start.Replica.Group
			if group == "a" && slices.ContainsFunc(plan.needs(group), lacks) {
				t.Fatalf("%+v: the main component starts before what it needs: %v", plan, up)
			}
			up[group] = false
			for _, callee := range plan.Callees(group) {
				actions = append(actions, s.Activate(start.Replica, callee)...)
			}
		}

		next := slices.IndexFunc(plan.Groups, func(g Group) bool {
			takes, started := up[g.Name]
			return started && !takes && !slices.ContainsFunc(plan.needs(g.Name), lacks)
		})
		if next < 0 {
			break
		}
		up[plan.Groups[next].Name] = true
		actions = s.Up(Replica{plan.Groups[next].Name, 0}, "tcp://1")
	}

	reached := plan.reach("a")
	reached["a"] = true
	for group := range reached {
		if !up[group] || s.Holds() {
			t.Fatalf("%+v: %s has not started: %v", plan, group, up)
		}
	}
}
