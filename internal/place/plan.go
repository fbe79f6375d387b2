// Package place decides which components run in which processes, and which process calls which.
// It does nothing itself: deployers tell it what happened, and do what it says.
package place

import (
	"cmp"
	"fmt"
	"maps"
	"slices"

	"github.com/divisi-go/divisi/internal/name"
)

// Component is what placement needs to know of a component.
type Component struct {
	Name      string
	Refs      []string // components that it calls
	Listeners []string
	Routed    bool // keys say which replica is called
	Singleton bool // one replica in the whole application
	Always    bool // starts at once, not with its first use
	Main      bool
}

// Group is components that share processes. Groups may overlap.
type Group struct {
	Name       string
	Components []string
	Replicas   int // 0 for the default
}

// DefaultReplicas is how many replicas a group has that says nothing.
const DefaultReplicas = 2

// Plan is the wanted state of an application. It does not change.
type Plan struct {
	Groups     []Group // each with its number of replicas
	components map[string]Component
}

// NewPlan sizes groups, which have names of their own and hold every component. The number of replicas
// of a group is that in replicas by its name, else its own, else that of the name "", which is for all
// others. The group of a singleton has one. That of the main component has one unless it has a
// listener, or its group asks for more.
func NewPlan(components []Component, groups []Group, replicas map[string]int) (Plan, error) {
	p := Plan{components: map[string]Component{}}
	for _, c := range components {
		p.components[c.Name] = c
	}
	if err := p.adopt(groups); err != nil {
		return Plan{}, err
	}

	singletons := map[string]string{}
	known := []string{}
	for i := range p.Groups {
		known = append(known, p.Groups[i].Name)
		if err := p.size(&p.Groups[i], replicas, singletons); err != nil {
			return Plan{}, err
		}
	}
	for _, group := range slices.Sorted(maps.Keys(replicas)) {
		if group != "" && !slices.Contains(known, group) {
			return Plan{}, fmt.Errorf("there is no group %s: %s", group, name.Suggest(group, known))
		}
	}
	return p, nil
}

// adopt takes groups if they are whole: their names differ, their components exist, and no component is
// left out.
func (p *Plan) adopt(groups []Group) error {
	named, placed := map[string]bool{}, map[string]bool{}
	for _, g := range groups {
		if named[g.Name] {
			return fmt.Errorf("two groups have the name %s: rename one", g.Name)
		}
		named[g.Name] = true
		for _, c := range g.Components {
			if _, ok := p.components[c]; !ok {
				return fmt.Errorf("group %s has the component %s, which does not exist", g.Name, c)
			}
			placed[c] = true
		}
		p.Groups = append(p.Groups, Group{g.Name, slices.Clone(g.Components), g.Replicas})
	}

	for _, c := range slices.Sorted(maps.Keys(p.components)) {
		if !placed[c] {
			return fmt.Errorf("the component %s is in no group: put it into one", c)
		}
	}
	return nil
}

// size sets the number of replicas of a group.
func (p Plan) size(g *Group, replicas map[string]int, singletons map[string]string) error {
	g.Replicas = cmp.Or(replicas[g.Name], g.Replicas)
	asked := g.Replicas
	if asked < 0 {
		return fmt.Errorf("group %s: %d replicas: give at least 1", g.Name, asked)
	}
	g.Replicas = cmp.Or(g.Replicas, replicas[""], DefaultReplicas)
	for _, name := range g.Components {
		c := p.components[name]
		if c.Main && len(c.Listeners) == 0 && asked == 0 {
			g.Replicas = 1
		}
		if !c.Singleton {
			continue
		}
		if other, ok := singletons[name]; ok {
			return fmt.Errorf("%s runs once, but is in the groups %s and %s: leave it in one",
				name, other, g.Name)
		}
		if asked > 1 {
			return fmt.Errorf("group %s asks for %d replicas, but %s runs once: "+
				"ask for 1, or put it into a group of its own", g.Name, asked, name)
		}
		singletons[name] = g.Name
		g.Replicas = 1
	}
	return nil
}

// Hosts reports whether a group has a component.
func (p Plan) Hosts(group, component string) bool {
	for _, g := range p.Groups {
		if g.Name == group {
			return slices.Contains(g.Components, component)
		}
	}
	return false
}

// routed reports whether a component is called by keys.
func (p Plan) routed(component string) bool { return p.components[component].Routed }

// MainGroups returns the names of the groups that have the main component.
func (p Plan) MainGroups() []string {
	var names []string
	for _, g := range p.Groups {
		if slices.ContainsFunc(g.Components, func(c string) bool { return p.components[c].Main }) {
			names = append(names, g.Name)
		}
	}
	return names
}

// Callees returns the components that a group's components may call, sorted.
func (p Plan) Callees(group string) []string {
	var list []string
	for _, g := range p.Groups {
		if g.Name != group {
			continue
		}
		for _, c := range g.Components {
			list = append(list, p.components[c].Refs...)
		}
	}
	slices.Sort(list)
	return slices.Compact(list)
}

// hosting returns the groups that have a component.
func (p Plan) hosting(component string) []Group {
	var list []Group
	for _, g := range p.Groups {
		if slices.Contains(g.Components, component) {
			list = append(list, g)
		}
	}
	return list
}

// reach returns the groups that calls of a group lead to, also by way of others. What runs once is none of them: it
// does not start beside another version.
func (p Plan) reach(group string) map[string]bool {
	reached := map[string]bool{}
	var visit func(string)
	visit = func(from string) {
		for _, callee := range p.Callees(from) {
			if p.Hosts(from, callee) {
				continue
			}
			for _, g := range p.hosting(callee) {
				if !reached[g.Name] && !p.once(g) {
					reached[g.Name] = true
					visit(g.Name)
				}
			}
		}
	}
	visit(group)
	return reached
}

// once reports whether a group has a component that runs once.
func (p Plan) once(g Group) bool {
	return slices.ContainsFunc(g.Components, func(c string) bool { return p.components[c].Singleton })
}

// needs returns the groups without which a group cannot do all that it has to do, but for those that may need it
// themselves: who waited for these could wait for ever.
func (p Plan) needs(group string) []Group {
	var list []Group
	reached := p.reach(group)
	for _, g := range p.Groups {
		if g.Name != group && reached[g.Name] && !p.reach(g.Name)[group] {
			list = append(list, g)
		}
	}
	return list
}

// StopOrder returns the names of the groups so that a group comes before those it calls, as far
// as there are no cycles: it is the order in which they can drain without losing a call.
func (p Plan) StopOrder() []string {
	var order []string
	seen := map[string]bool{}
	var visit func(Group)
	visit = func(g Group) {
		if seen[g.Name] {
			return
		}
		seen[g.Name] = true
		for _, callee := range p.Callees(g.Name) {
			for _, other := range p.hosting(callee) {
				visit(other)
			}
		}
		order = append(order, g.Name)
	}
	for _, name := range p.MainGroups() {
		visit(p.Groups[slices.IndexFunc(p.Groups, func(g Group) bool { return g.Name == name })])
	}
	for _, g := range p.Groups {
		visit(g)
	}
	slices.Reverse(order)
	return order
}
