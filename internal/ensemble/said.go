package ensemble

import (
	"maps"
	"slices"
	"strings"
)

// Said is what an operator has said besides a document, and is so until somebody says otherwise.
type Said struct {
	Counts Counts   `json:"counts,omitempty"`
	Down   []string `json:"down,omitempty"` // the full names of servers that are stopped, in order; others mean nothing

	Content Content   `json:"content,omitempty"` // that was pushed, whether a server uses it or not
	Config  Overrides `json:"config,omitempty"`
}

// Counts are how many servers of some entries an operator wants, by the full names of the entries, such as
// httpd@/test/www. They have the place of what the document says. An entry that is not in the document is one of the
// role that is called so.
type Counts map[string]int

// Equal reports whether both say the same.
func (s Said) Equal(other Said) bool {
	return maps.Equal(s.Counts, other.Counts) && slices.Equal(s.Down, other.Down) && maps.Equal(s.Content, other.Content) &&
		maps.EqualFunc(s.Config, other.Config, maps.Equal)
}

// Stop returns what is said when some servers are stopped as well.
func (s Said) Stop(servers ...string) Said {
	s.Down = append(slices.Clone(s.Down), servers...)
	slices.Sort(s.Down)
	s.Down = slices.Compact(s.Down)
	return s
}

// Start returns what is said when some servers are stopped no more.
func (s Said) Start(servers ...string) Said {
	s.Down = slices.DeleteFunc(slices.Clone(s.Down), func(full string) bool { return slices.Contains(servers, full) })
	return s
}

// Kept returns what still means something when one document has the place of another: the counts of entries that both have
// with the same number of their own, and those of roles. Stopped servers are stopped for as long as there are such. Of a
// configuration those keys are kept of which both documents say the same. What was pushed stays.
func (s Said) Kept(before, after *Ensemble) Said {
	counts := Counts{}
	was, is := entries(before), entries(after)
	for full, n := range s.Counts {
		old, then := was[full]
		now, stays := is[full]
		bare, _, _ := strings.Cut(full, "@")
		_, isRole := after.Roles[bare]
		if then && stays && old == now || !stays && !then && isRole {
			counts[full] = n
		}
	}
	s.Counts, s.Config = counts, s.Config.kept(before, after)
	return s
}

// entries returns how many servers of workers a document itself says.
func entries(e *Ensemble) map[string]int {
	all := map[string]int{}
	if e == nil {
		return all
	}
	for _, g := range e.Root.Groups() {
		if g.Workers {
			all[g.ID.String()] = g.Count
		}
	}
	return all
}

// Stopped returns the full names of the servers that are stopped.
func (e *Ensemble) Stopped() (all []string) {
	for _, g := range e.Root.Groups() {
		for _, s := range g.All() {
			if g.stopped(s) {
				all = append(all, s.String())
			}
		}
	}
	return all
}

func (g *Group) stopped(s Server) bool { return slices.Contains(g.Down, s.String()) }
