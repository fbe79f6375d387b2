package ensemble

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strconv"
	"strings"

	"github.com/divisi-go/divisi/internal/config"
	"github.com/divisi-go/divisi/internal/name"
)

// Overrides are what an operator has said of the configuration of servers besides the document: values as a file has them,
// by dotted keys, with "" for a key that is taken away. They are by who is meant: an entry, one server, or a role in a domain,
// for its servers there and in those below.
//
//   - Of one key of a table another one is never a part: cache.size and cache are not both there, unless cache is taken away.
//   - A value is no table that has keys: each of those is there by itself.
type Overrides map[string]map[string]string

// target is the servers that are meant by a name in a domain.
type target struct {
	groups []*Group
	number string // of the one server of a group that is meant; "" for all of them
	role   string // that is meant
}

// target returns who is meant: an entry, one server, or else all servers of a role in a domain and those below it.
func (e *Ensemble) target(full string) (target, error) {
	id, err := name.ParseServer(full)
	if err != nil {
		return target{}, err
	}
	var known []string
	var playing []*Group
	for _, g := range e.Root.Groups() {
		if g.ID == id {
			return target{groups: []*Group{g}}, nil
		}
		for _, s := range g.All() {
			if s.Server == id {
				return target{groups: []*Group{g}, number: strconv.Itoa(s.Number)}, nil
			}
			known = append(known, s.String())
		}
		known = append(known, g.ID.String())
		if g.Role == id.Name && name.Within(g.ID.Domain, id.Domain) {
			playing = append(playing, g)
		}
	}
	if len(playing) > 0 {
		return target{groups: playing, role: id.Name}, nil
	}
	return target{}, fmt.Errorf("%s has neither a server nor a role %s: %s", e.Domain, full, name.Suggest(full, known))
}

// rank orders targets: what is said of one server comes after what is said of its entry, and that after its role.
func (t target) rank() int {
	switch {
	case t.number != "":
		return 2
	case t.role != "":
		return 0
	}
	return 1
}

// override has the ensemble be what an operator has said besides. What is said of nobody means nothing.
func (e *Ensemble) override(said Overrides) error {
	type order struct {
		target
		of string
	}
	var all []order
	for of := range said {
		if t, err := e.target(of); err == nil {
			all = append(all, order{t, of})
		}
	}
	slices.SortFunc(all, func(a, b order) int {
		return cmp.Or(a.rank()-b.rank(), len(a.of)-len(b.of), strings.Compare(a.of, b.of))
	})
	for _, o := range all {
		if err := o.override(said[o.of]); err != nil {
			return fmt.Errorf("cannot configure %s: %w", o.of, err)
		}
	}
	return nil
}

func (t target) override(said map[string]string) error {
	set, gone, err := read(said)
	if err != nil {
		return err
	}
	for _, g := range t.groups {
		if t.number != "" && len(gone) > 0 {
			return errors.New("a key is taken away from all servers of a kind, or from none")
		}
		if t.number != "" {
			own := maps.Clone(g.Own)
			if own == nil {
				own = map[string]map[string]any{}
			}
			own[t.number] = mergeConfig(set, own[t.number])
			g.Own = own
			continue
		}
		for _, path := range gone {
			g.Config = without(g.Config, path)
		}
		g.Config = mergeConfig(set, g.Config)
	}
	return nil
}

// read returns the values that somebody has said, and the paths of what is taken away.
func read(said map[string]string) (set map[string]any, gone [][]string, err error) {
	var text strings.Builder
	for _, key := range slices.Sorted(maps.Keys(said)) {
		if said[key] != "" {
			fmt.Fprintf(&text, "%s = %s\n", key, said[key])
			continue
		}
		table, err := ReadTable("", key+" = 0")
		if err != nil {
			return nil, nil, err
		}
		gone = append(gone, pathOf(table))
	}
	set, err = ReadTable("", text.String())
	return set, gone, err
}

// pathOf returns the path of the only value in a table.
func pathOf(table map[string]any) (path []string) {
	for key, value := range table {
		path = []string{key}
		if inner, ok := value.(map[string]any); ok {
			path = append(path, pathOf(inner)...)
		}
	}
	return path
}

// without returns a table without what is at a path, nor the tables that are empty then. The table itself stays as it is.
func without(table map[string]any, path []string) map[string]any {
	value, ok := table[path[0]]
	if !ok {
		return table
	}
	table = maps.Clone(table)
	inner, isTable := value.(map[string]any)
	if len(path) > 1 && isTable {
		inner = without(inner, path[1:])
		table[path[0]] = inner
	}
	if len(path) == 1 || isTable && len(inner) == 0 {
		delete(table, path[0])
	}
	return table
}

// ReadTable reads a text that is one table, such as the configuration of a server. The name of the file is for messages.
func ReadTable(file, text string) (map[string]any, error) {
	table := map[string]any{}
	err := config.Read(file, text, &table, func(*config.File) {})
	return table, err
}

// leaves calls a function for each value of a table that is not a table with keys, with its dotted key.
func leaves(table map[string]any, above []string, do func(key string, value any)) {
	for key, value := range table {
		path := below(above, key)
		if inner, ok := value.(map[string]any); ok && len(inner) > 0 {
			leaves(inner, path, do)
		} else {
			do(config.Show(path...), value)
		}
	}
}

// Set returns the overrides with other values of somebody's keys, as a table has them.
func (o Overrides) Set(of string, table map[string]any) Overrides {
	next := maps.Clone(o)
	if next == nil {
		next = Overrides{}
	}
	said := maps.Clone(next[of])
	if said == nil {
		said = map[string]string{}
	}
	leaves(table, nil, func(key string, value any) {
		for other, text := range said {
			if strings.HasPrefix(other, key+".") || strings.HasPrefix(key, other+".") && text != "" {
				delete(said, other)
			}
		}
		said[key] = config.Text(value)
	})
	if len(said) > 0 {
		next[of] = said
	}
	return next
}

// Unset returns the overrides with nothing of one of somebody's keys, and of those below it.
func (o Overrides) Unset(of, key string) Overrides {
	next, said := maps.Clone(o), maps.Clone(o[of])
	maps.DeleteFunc(said, func(other, _ string) bool { return other == key || strings.HasPrefix(other, key+".") })
	if delete(next, of); len(said) > 0 {
		next[of] = said
	}
	return next
}

// Replace returns the overrides with which somebody has exactly the configuration of a table.
func (o Overrides) Replace(e *Ensemble, of string, table map[string]any) (Overrides, error) {
	next := maps.Clone(o)
	if next == nil {
		next = Overrides{}
	}
	delete(next, of)
	plain := *e // as it is without what was said of this one
	plain.Root = e.Root.clone()
	if err := plain.override(next); err != nil {
		return nil, err
	}
	is, err := plain.Config(of)
	if err != nil {
		return nil, err
	}

	had, has := map[string]any{}, map[string]any{}
	leaves(is, nil, func(key string, value any) { had[key] = value })
	leaves(table, nil, func(key string, value any) { has[key] = value })
	said := map[string]string{}
	for key := range had {
		if _, stays := has[key]; !stays {
			said[key] = ""
		}
	}
	for key, value := range has {
		if old, there := had[key]; !there || !reflect.DeepEqual(old, value) {
			said[key] = config.Text(value)
		}
	}
	if len(said) > 0 {
		next[of] = said
	}
	return next, plain.override(Overrides{of: said})
}

// clone returns a nursery whose groups can be changed.
func (n Nursery) clone() Nursery {
	n.Members = slices.Clone(n.Members)
	for i, m := range n.Members {
		if m.Group != nil {
			g := *m.Group
			n.Members[i].Group = &g
			continue
		}
		inner := m.Nursery.clone()
		n.Members[i].Nursery = &inner
	}
	return n
}

// Config returns the configuration of a server, of an entry, or of a role in a domain whose servers have all the same.
func (e *Ensemble) Config(of string) (map[string]any, error) {
	t, err := e.target(of)
	if err != nil {
		return nil, err
	}
	first := t.groups[0]
	for _, g := range t.groups {
		if !reflect.DeepEqual(g.Config, first.Config) {
			return nil, fmt.Errorf("%v and %v have not the same configuration: say one of them", first.ID, g.ID)
		}
	}
	if t.number != "" {
		return mergeConfig(first.Own[t.number], first.Config), nil
	}
	return first.Config, nil
}

// kept returns the overrides that still mean something when one document has the place of another: of each key, if the
// documents themselves say the same of it.
func (o Overrides) kept(before, after *Ensemble) Overrides {
	kept := Overrides{}
	for of, said := range o {
		was, there := before.says(of)
		is, stays := after.says(of)
		if !there || !stays {
			continue
		}
		for key, text := range said {
			_, paths, err := read(map[string]string{key: ""})
			if err != nil || !reflect.DeepEqual(at(was, paths[0]), at(is, paths[0])) {
				continue
			}
			if kept[of] == nil {
				kept[of] = map[string]string{}
			}
			kept[of][key] = text
		}
	}
	return kept
}

// Knows returns an error unless somebody is meant by a name, see [Overrides].
func (e *Ensemble) Knows(of string) error {
	_, err := e.target(of)
	return err
}

// says returns what the document has of somebody's configuration, and whether somebody is meant.
func (e *Ensemble) says(of string) (map[string]any, bool) {
	role, _, _ := strings.Cut(of, "@")
	t, err := e.target(of)
	if err == nil && t.role == "" {
		config, err := e.Config(of)
		return config, err == nil
	}
	settings, ok := e.Roles[role] // of which there may be servers when an operator has said so
	return settings.Config, ok
}

// Keys returns the dotted keys of all values in a table that are no tables with keys, in order.
func Keys(table map[string]any) (keys []string) {
	leaves(table, nil, func(key string, _ any) { keys = append(keys, key) })
	slices.Sort(keys)
	return keys
}

// Merge returns a table with another one over it: of tables in both each key is merged.
func Merge(over, below map[string]any) map[string]any { return mergeConfig(over, below) }

// At returns what a table has at a dotted key, nil for nothing.
func At(table map[string]any, key string) (any, error) {
	path, err := ReadTable("", key+" = 0")
	if err != nil || len(path) == 0 {
		return nil, fmt.Errorf("%q is no key: write one such as cache.size", key)
	}
	return at(table, pathOf(path)), nil
}

func at(table map[string]any, path []string) any {
	value := table[path[0]]
	if inner, ok := value.(map[string]any); ok && len(path) > 1 {
		return at(inner, path[1:])
	} else if len(path) > 1 {
		return nil
	}
	return value
}
