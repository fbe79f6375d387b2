package check

import (
	"fmt"
	"go/token"
	"go/types"
	"path"
	"slices"
	"strings"

	"github.com/divisi-go/divisi/codegen"
	"github.com/divisi-go/divisi/internal/gen/rule"
)

// Cycles returns a warning for each group of components that refer to each other, with one
// cycle in it.
func Cycles(results []*Result) []*rule.Problem {
	comps := map[string]*Component{}
	var names []string
	for _, r := range results {
		for _, comp := range r.Components {
			if comps[comp.Info.Name] == nil {
				names = append(names, comp.Info.Name)
			}
			comps[comp.Info.Name] = comp
		}
	}
	slices.Sort(names)
	var problems []*rule.Problem
	seen := map[string]bool{}
	for _, name := range names {
		cycle := cycleThrough(name, comps)
		if cycle == nil || slices.ContainsFunc(cycle, func(n string) bool { return seen[n] }) {
			continue
		}
		words := make([]string, len(cycle))
		for i, n := range cycle {
			seen[n] = true
			words[i] = shortName(n)
		}
		comp := comps[name]
		pos := comp.refs[slices.Index(comp.Info.Refs, cycle[1])].pos
		problems = append(problems, rule.Cycle.At(pos, strings.Join(words, " -> ")))
	}
	return problems
}

// cycleThrough returns the shortest way from a component back to it, or nil.
func cycleThrough(name string, comps map[string]*Component) []string {
	before := map[string]string{}
	for queue := []string{name}; len(queue) > 0; queue = queue[1:] {
		at := comps[queue[0]]
		if at == nil {
			continue
		}
		for _, ref := range at.Info.Refs {
			if _, known := before[ref]; known {
				continue
			}
			before[ref] = queue[0]
			if ref != name {
				queue = append(queue, ref)
				continue
			}
			cycle := []string{name}
			for n := before[name]; n != name; n = before[n] {
				cycle = append(cycle, n)
			}
			slices.Reverse(cycle[1:])
			return append(cycle, name)
		}
	}
	return nil
}

// shortName returns a component's name with the last element of its path only.
func shortName(name string) string {
	dir, base := path.Split(name)
	return path.Base(dir) + "." + base
}

// Unlinked returns a warning for each component that a program uses and does not hold. The
// program is that of the package r with a main component; linked are the components of packages
// that it imports. The advice comes from the results of all packages.
func Unlinked(r *Result, linked []codegen.Info, results []*Result) []*rule.Problem {
	refs := map[string][]string{}
	for _, info := range linked {
		refs[info.Name] = info.Refs
	}
	var problems []*rule.Problem
	seen := map[string]bool{}
	var visit func(pos token.Position, user, name string)
	visit = func(pos token.Position, user, name string) {
		if seen[name] {
			return
		}
		seen[name] = true
		next, ok := refs[name]
		if !ok {
			problems = append(problems, rule.NotLinked.At(pos,
				shortName(user), name, advice(name, r, results)))
			return
		}
		for _, ref := range next {
			visit(pos, name, ref)
		}
	}
	for _, comp := range r.Components {
		refs[comp.Info.Name] = nil
	}
	for _, comp := range r.Components {
		for i, ref := range comp.Info.Refs {
			visit(comp.refs[i].pos, comp.Info.Name, ref)
		}
	}
	return problems
}

// advice says what to do about a component that the package user lacks.
func advice(name string, user *Result, results []*Result) string {
	var imports []string
	var iface types.Type
	for _, r := range results {
		for _, comp := range r.Components {
			if comp.Info.Name == name {
				imports = append(imports, fmt.Sprintf("import _ %q", path.Dir(comp.Info.Impl)))
			}
			if i := slices.Index(comp.Info.Refs, name); i >= 0 {
				iface = comp.refs[i].iface
			}
		}
	}
	if len(imports) > 0 {
		return strings.Join(imports, ", or ")
	}

	qualifier := func(p *types.Package) string {
		if p == user.Types {
			return ""
		}
		return p.Name()
	}
	if impl := forgotten(iface, results); impl != nil {
		return fmt.Sprintf("embed divisi.Implements[%s] in %s, which has its methods",
			types.TypeString(iface, qualifier), types.TypeString(impl, qualifier))
	}
	return "import the package of a struct that embeds divisi.Implements of it"
}

// forgotten returns a struct that has the methods of an interface and is no component, or nil.
func forgotten(iface types.Type, results []*Result) types.Type {
	if iface == nil {
		return nil
	}
	want, ok := iface.Underlying().(*types.Interface)
	if !ok || want.NumMethods() == 0 {
		return nil
	}
	for _, r := range results {
		for _, name := range r.Types.Scope().Names() {
			obj, ok := r.Types.Scope().Lookup(name).(*types.TypeName)
			if !ok || obj.IsAlias() {
				continue
			}
			s, ok := obj.Type().Underlying().(*types.Struct)
			if ok && !embeds(s, "Implements") && types.Implements(types.NewPointer(obj.Type()), want) {
				return obj.Type()
			}
		}
	}
	return nil
}
