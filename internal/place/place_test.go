package place

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "write what the scripts of testdata do into them")

// TestScripts plays testdata/*.script. The lines before the first event make the plan:
//
//	component NAME [main] [always] [singleton] [listener] [-> CALLEE ...]
//	group NAME COMPONENT ... [xREPLICAS]
//	replicas N [GROUP=N ...]
//
// A component in no group of a line is in one of its own, which has its name in small letters.
// A line "> plan", "> begin", "> activate GROUP/N COMPONENT", "> up GROUP/N ADDRESS", "> down
// GROUP/N" or "> gone GROUP/N" is an event, and the indented lines after it are what comes of it.
// A line "> hosted GROUP/N ADDRESS [COMPONENT=ADDRESS,... ...]" is a replica that runs when another
// deployer takes over, with what it was told, and "> resume" is that it does; "> beside" is that the
// version starts, or goes on to, beside another one. "reset" begins a new plan.
func TestScripts(t *testing.T) {
	files, err := filepath.Glob("testdata/*.script")
	if err != nil || len(files) == 0 {
		t.Fatalf("no scripts: %v", err)
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		got := play(t, file, string(text))
		if *update {
			if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
				t.Fatal(err)
			}
		} else if got != string(text) {
			gots, wants := strings.Split(got, "\n"), strings.Split(string(text), "\n")
			i := 0
			for i < min(len(gots), len(wants))-1 && gots[i] == wants[i] {
				i++
			}
			t.Errorf("%s:%d:\ngot  %q\nwant %q", file, i+1, gots[i], wants[i])
		}
	}
}

// script is the state of a script that is played.
type script struct {
	components []Component
	groups     []Group
	replicas   map[string]int
	plan       *Plan
	state      *State
	hosted     []Hosted
}

func play(t *testing.T, file, text string) string {
	var out strings.Builder
	s := &script{}
	for i, line := range strings.Split(strings.TrimSuffix(text, "\n"), "\n") {
		words := strings.Fields(line)
		switch {
		case len(words) > 0 && words[0] == "reset":
			s = &script{}
		case strings.HasPrefix(line, "  "):
			continue // what came of an event before
		case len(words) > 0 && words[0] == ">":
			fmt.Fprintln(&out, line)
			for _, result := range s.event(t, words[1:]) {
				fmt.Fprintln(&out, "  "+result)
			}
			continue
		case len(words) > 0 && words[0] != "#":
			if !s.declare(words) {
				t.Fatalf("%s:%d: cannot read %q", file, i+1, line)
			}
		}
		fmt.Fprintln(&out, line)
	}
	return out.String()
}

func (s *script) declare(words []string) bool {
	switch words[0] {
	case "component":
		c := Component{Name: words[1]}
		for i, word := range words[2:] {
			switch word {
			case "main":
				c.Main = true
			case "always":
				c.Always = true
			case "singleton":
				c.Singleton = true
			case "listener":
				c.Listeners = append(c.Listeners, "web")
			case "->":
				c.Refs = words[i+3:]
				s.components = append(s.components, c)
				return true
			default:
				return false
			}
		}
		s.components = append(s.components, c)
	case "group":
		g := Group{Name: words[1]}
		for _, word := range words[2:] {
			if n, err := strconv.Atoi(strings.TrimPrefix(word, "x")); err == nil {
				g.Replicas = n
			} else {
				g.Components = append(g.Components, word)
			}
		}
		s.groups = append(s.groups, g)
	case "replicas":
		s.replicas = map[string]int{}
		for _, word := range words[1:] {
			group, number, ok := strings.Cut(word, "=")
			if !ok {
				group, number = "", word
			}
			s.replicas[group], _ = strconv.Atoi(number)
		}
	default:
		return false
	}
	return true
}

func (s *script) event(t *testing.T, words []string) (lines []string) {
	if s.plan == nil {
		plan, err := NewPlan(s.components, withRest(s.components, s.groups), s.replicas)
		if err != nil {
			return []string{"error: " + err.Error()}
		}
		s.plan, s.state = &plan, NewState(plan)
	}
	if words[0] == "plan" {
		for _, g := range s.plan.Groups {
			lines = append(lines, fmt.Sprintf("%s x%d: %s", g.Name, g.Replicas, strings.Join(g.Components, " ")))
		}
		return append(lines, "main in "+strings.Join(s.plan.MainGroups(), " "),
			"stop "+strings.Join(s.plan.StopOrder(), " "))
	}
	var r Replica
	if len(words) > 1 {
		group, number, _ := strings.Cut(words[1], "/")
		n, err := strconv.Atoi(number)
		if err != nil {
			t.Fatalf("%q is no replica", words[1])
		}
		r = Replica{group, n}
	}
	var actions []Action
	switch words[0] {
	case "begin":
		actions = s.state.Begin()
	case "activate":
		actions = s.state.Activate(r, words[2])
	case "up":
		actions = s.state.Up(r, words[2])
	case "down":
		actions = s.state.Down(r)
	case "gone":
		actions = s.state.Gone(r)
	case "hosted":
		s.hosted = append(s.hosted, parseHosted(r, words[2:]))
	case "resume", "beside":
		s.state, actions = Resume(*s.plan, s.hosted, words[0] == "beside")
		s.hosted = nil
	default:
		t.Fatalf("no event %q", words[0])
	}
	for _, a := range actions {
		switch a := a.(type) {
		case Start:
			lines = append(lines, fmt.Sprintf("start %s/%d", a.Replica.Group, a.Replica.Number))
		case Route:
			where := strings.Join(a.Addresses, " ")
			if a.Local {
				where = strings.TrimSpace("local " + where)
			}
			lines = append(lines, fmt.Sprintf("tell %s/%d: %s at [%s]", a.To.Group, a.To.Number, a.Component, where))
		}
	}
	return lines
}

// parseHosted reads the address of a replica, and what it was told.
func parseHosted(r Replica, words []string) Hosted {
	h := Hosted{Replica: r, Address: words[0]}
	for _, word := range words[1:] {
		component, where, _ := strings.Cut(word, "=")
		route := Route{Component: component, Local: where == "local"}
		if where != "" && !route.Local {
			route.Addresses = strings.Split(where, ",")
		}
		h.Told = append(h.Told, route)
	}
	return h
}

// withRest returns groups and, for each component that is in none, one of its own, which has its name
// in small letters.
func withRest(components []Component, groups []Group) []Group {
	groups = slices.Clone(groups)
	for _, c := range components {
		in := func(g Group) bool { return slices.Contains(g.Components, c.Name) }
		if !slices.ContainsFunc(groups, in) {
			groups = append(groups, Group{Name: strings.ToLower(c.Name), Components: []string{c.Name}})
		}
	}
	return groups
}

// TestGroupsAreWhole gives groups to NewPlan that nobody has completed.
func TestGroupsAreWhole(t *testing.T) {
	components := []Component{{Name: "A", Main: true}, {Name: "B"}}
	for want, groups := range map[string][]Group{
		"the component B is in no group: put it into one": {{Name: "a", Components: []string{"A"}}},
		"two groups have the name a: rename one": {
			{Name: "a", Components: []string{"A"}}, {Name: "a", Components: []string{"B"}},
		},
		"group a has the component C, which does not exist": {{Name: "a", Components: []string{"A", "B", "C"}}},
	} {
		if _, err := NewPlan(components, groups, nil); err == nil || err.Error() != want {
			t.Errorf("error %v, want %s", err, want)
		}
	}
}

// TestStopOrder checks the promise over all plans of a few components without cycles.
func TestStopOrder(t *testing.T) {
	names := []string{"A", "B", "C", "D"}
	for bits := range 1 << 6 {
		edges := bits
		var components []Component
		for i, from := range names {
			c := Component{Name: from, Main: i == 1}
			for _, to := range names[i+1:] {
				if edges&1 == 1 {
					c.Refs = append(c.Refs, to)
				}
				edges >>= 1
			}
			components = append(components, c)
		}
		slices.Reverse(components[bits%4:])
		plan, err := NewPlan(components, withRest(components, nil), map[string]int{"": 1})
		if err != nil {
			t.Fatal(err)
		}
		order := plan.StopOrder()
		if len(order) != len(names) {
			t.Fatalf("order %q", order)
		}
		for i, group := range order {
			for _, callee := range plan.Callees(group) {
				if slices.Index(order, strings.ToLower(callee)) <= i {
					t.Fatalf("order %q: %s calls %s", order, group, callee)
				}
			}
		}
	}
}
