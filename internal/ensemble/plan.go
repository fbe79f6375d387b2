package ensemble

import (
	"maps"
	"reflect"
	"slices"
	"strings"
)

// Change is what becomes of a server when one ensemble has the place of another.
type Change struct {
	Server string   `json:"server"`
	Kind   Kind     `json:"kind"`
	What   []string `json:"what,omitempty"` // the settings that differ, where it stays or is replaced
}

// Kind says what becomes of a server.
type Kind string

// The kinds.
const (
	Start     Kind = "start"
	Configure Kind = "configure" // its file changes, which the process follows
	Replace   Kind = "replace"
	Stop      Kind = "stop"
)

// Plan returns what changes, in the order of the names. Nil is an ensemble of nothing.
func Plan(before, after *Ensemble) []Change {
	was, is := byName(before), byName(after)
	changes := []Change{}
	for _, full := range slices.Sorted(maps.Keys(is)) {
		old, there := was[full]
		if !there {
			changes = append(changes, Change{Server: full, Kind: Start})
		} else if what := differ(old, is[full]); len(what) > 0 {
			kind := Replace
			if *is[full].Of.Follows && slices.Equal(what, []string{configKey}) {
				kind = Configure
			}
			changes = append(changes, Change{full, kind, what})
		}
	}
	for _, full := range slices.Sorted(maps.Keys(was)) {
		if _, stays := is[full]; !stays {
			changes = append(changes, Change{Server: full, Kind: Stop})
		}
	}
	slices.SortStableFunc(changes, func(a, b Change) int { return strings.Compare(a.Server, b.Server) })
	return changes
}

func byName(e *Ensemble) map[string]Server {
	all := map[string]Server{}
	if e == nil {
		return all
	}
	for _, s := range e.Servers() {
		all[s.String()] = s
	}
	return all
}

// configKey is the setting that single ones of several servers may have for themselves.
const configKey = "config"

// execKey is what an operator may do, which is nothing to the process.
const execKey = "exec"

// differ returns the settings, and the content, of which a process notices that they differ.
func differ(a, b Server) (what []string) {
	x, y := reflect.ValueOf(a.Of.Settings), reflect.ValueOf(b.Of.Settings)
	for i := range x.NumField() {
		key, _, _ := strings.Cut(x.Type().Field(i).Tag.Get("toml"), ",")
		same := reflect.DeepEqual(x.Field(i).Interface(), y.Field(i).Interface())
		if key == configKey {
			same = len(a.Config) == 0 && len(b.Config) == 0 || reflect.DeepEqual(a.Config, b.Config)
		}
		if !same && key != execKey {
			what = append(what, key)
		}
	}
	for _, key := range slices.Sorted(maps.Keys(b.Of.Content)) {
		if a.Of.Content[key] != b.Of.Content[key] {
			what = append(what, "{"+key+"}")
		}
	}
	return what
}

// Effective returns the document in which everything is said of each server, and nothing is left to layers and defaults.
func (e *Ensemble) Effective() Document {
	d := Document{Ensemble: Head{e.Domain}, Roles: e.Roles, Domains: map[string]Domain{}, Servers: map[string]Entry{}}
	e.Root.effective(&d)
	return d
}

func (n *Nursery) effective(d *Document) {
	d.Domains[n.Path] = Domain{string(n.Strategy), n.Restart}
	for _, m := range n.Members {
		if m.Nursery != nil {
			m.Nursery.effective(d)
			continue
		}
		g := m.Group
		entry := Entry{Role: g.Role, Own: g.Own, Settings: g.Settings}
		if g.Workers {
			entry.Count = &g.Count
		}
		for _, other := range g.Needs {
			entry.Needs = append(entry.Needs, other.String())
		}
		d.Servers[g.ID.String()] = entry
	}
}
