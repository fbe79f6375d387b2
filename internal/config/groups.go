package config

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/divisi-go/divisi/internal/name"
)

// groups makes the groups of the application: the groups to which the file gives components, and a group
// for each other component of the binary. Then it applies the tables that only change a group.
func (c *checker) groups() {
	app, tables := &c.app, c.tables.Divisi.Groups
	places := map[int]string{}
	for key := range tables {
		places[c.groupAt(key)] = key
	}

	var keys []string // in the order of their lines
	for _, place := range slices.Sorted(maps.Keys(places)) {
		keys = append(keys, places[place])
	}

	c.colocated()
	for _, key := range keys {
		if len(tables[key].Components) > 0 {
			offsets := c.elements("divisi", "groups", key, "components")
			components := c.components(tables[key].Components, offsets)
			app.Groups = append(app.Groups, Group{Name: key, Components: components})
		}
	}

	c.rest()
	c.checkNames()
	nameGroups(app.Groups)
	for _, key := range keys {
		t := tables[key]
		i, ok := c.find(c.groupAt(key), key)
		if !ok && len(c.known) == 0 {
			i, ok = len(app.Groups), true
			app.Groups = append(app.Groups, Group{Name: key})
		}

		c.restart(t.Restart, "divisi", "groups", key, "restart")
		c.times(t.Times, "divisi", "groups", key)
		c.number(t.Replicas, MaxReplicas, "divisi", "groups", key, "replicas")
		if ok {
			g := &app.Groups[i]
			g.Replicas = t.Replicas
			g.Times = t.Times
			g.Restart = t.Restart
		}
	}

	for i := range app.Groups {
		r, all := &app.Groups[i].Restart, app.Restart
		r.Policy = cmp.Or(r.Policy, all.Policy)
		r.Intensity = cmp.Or(r.Intensity, all.Intensity)
		r.Window = cmp.Or(r.Window, all.Window)
		r.Backoff = cmp.Or(r.Backoff, all.Backoff)
		r.MaxBackoff = cmp.Or(r.MaxBackoff, all.MaxBackoff)

		t := &app.Groups[i].Times
		t.Start = cmp.Or(t.Start, app.Times.Start)
		t.Hung = cmp.Or(t.Hung, app.Times.Hung)
		t.Drain = cmp.Or(t.Drain, app.Times.Drain)
		t.Stop = cmp.Or(t.Stop, app.Times.Stop)
	}
}

// Colocate groups the components of the binary in another way than the file does: "all" makes one
// group of them, "none" makes a group of each, and "file" changes nothing. A component that gets a group
// of its own keeps the times and restarts of the first group that it was in.
func (a *App) Colocate(how string) error {
	var all []string
	var each []Group
	for _, g := range a.Groups {
		for _, component := range g.Components {
			if slices.Contains(all, component) {
				continue
			}
			all = append(all, component)
			each = append(each, Group{Components: []string{component}, Times: g.Times, Restart: g.Restart})
		}
	}

	switch how {
	case "file":
	case "all":
		a.Groups = []Group{{Name: "all", Components: all, Times: a.Times, Restart: a.Restart}}
	case "none":
		nameGroups(each)
		a.Groups = each
	default:
		return fmt.Errorf("components cannot be colocated by %q: give file, all or none", how)
	}

	return nil
}

func (c *checker) groupAt(key string) int {
	offset, _ := c.at("divisi", "groups", key)
	return offset
}

// colocated adds the groups of the lists in colocate, which have no names yet.
func (c *checker) colocated() {
	offsets := c.elements("divisi", "colocate")
	for _, list := range c.tables.Divisi.Colocate {
		n := len(list)
		if n > 0 {
			components := c.components(list, offsets[:n])
			c.app.Groups = append(c.app.Groups, Group{Components: components})
		}
		offsets = offsets[n:]
	}
}

// components checks names of components, which are at the given offsets.
func (c *checker) components(names []string, offsets []int) (full []string) {
	for i, s := range names {
		component := c.component(offsets[i], s)
		if component != "" && slices.Contains(full, component) {
			c.fail(offsets[i], "component %q is twice in this group: remove one", s)
		}
		full = append(full, component)
	}
	return full
}

// rest adds a group for each component of the binary that is in none.
func (c *checker) rest() {
	grouped := map[string]bool{}
	for _, g := range c.app.Groups {
		for _, component := range g.Components {
			grouped[component] = true
		}
	}
	for _, component := range slices.Sorted(slices.Values(c.known)) {
		if !grouped[component] {
			grouped[component] = true
			c.app.Groups = append(c.app.Groups, Group{Components: []string{component}})
		}
	}
}

// checkNames refuses names in the file that replicas cannot have, or that replicas of two groups would
// have.
func (c *checker) checkNames() {
	written := map[string]string{}
	for _, g := range c.app.Groups {
		l := label(g)
		switch {
		case g.Name == "":
		case name.CheckLabel(l) != nil:
			c.fail(c.groupAt(g.Name), "group %q has a name that replicas cannot have: "+
				"use letters and digits, fewer than 100", g.Name)
		case written[l] != "":
			c.fail(c.groupAt(g.Name), "groups %q and %q would have replicas of the same name: "+
				"rename one", g.Name, written[l])
		default:
			written[l] = g.Name
		}
	}
}

// nameGroups names the groups without a name after their first component: by its interface, or
// by its full name where that would give two groups replicas of the same name. Where the full name
// would do so too, it is numbered.
func nameGroups(groups []Group) {
	users := map[string]int{}
	for _, g := range groups {
		users[label(g)]++
	}

	for i := range groups {
		g := &groups[i]
		switch {
		case g.Name != "":
		case users[label(*g)] == 1:
			g.Name = name.Group(name.Component(g.Components[0]))
		default:
			g.Name = g.Components[0]
			for n := 2; users[label(*g)] > 0; n++ {
				g.Name = g.Components[0] + "-" + strconv.Itoa(n)
			}
			users[label(*g)]++
		}
	}
}

// label returns what the names of the replicas of a group differ in, on systems that take upper
// and lower case for the same, too.
func label(g Group) string {
	return strings.ToLower(name.Label(cmp.Or(g.Name, name.Group(name.Component(g.Components[0])))))
}

// find returns the index of the group that s means: s is its name, or the full or short name of its
// first component. If there is no such group and the components are known, it notes an error at an
// offset.
func (c *checker) find(offset int, s string) (int, bool) {
	groups := c.app.Groups
	var names []string
	for i, g := range groups {
		if g.Name == s {
			return i, true
		}
		names = append(names, g.Name)
	}

	inside := ""
	for i, g := range groups {
		for at, component := range g.Components {
			switch {
			case component != s && name.Short(component) != s:
			case at == 0:
				return i, true
			default:
				inside = g.Name
			}
		}
	}

	switch {
	case inside != "":
		c.fail(offset, "component %q is in the group %q: write the group's name", s, inside)
	case len(c.known) > 0:
		c.fail(offset, "group %q does not exist: %s", s, name.Suggest(s, names))
	}

	return 0, false
}
