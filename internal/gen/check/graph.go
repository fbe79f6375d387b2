package check

import (
	"fmt"
	"go/token"
	"path"
	"slices"
	"strings"

	"github.com/divisi-go/divisi/codegen"
)

// Cycles returns a warning for each group of components that refer to each other, with one
// cycle in it.
func Cycles(results []*Result) []*Problem {
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
	var problems []*Problem
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
		pos := comp.refs[slices.Index(comp.Info.Refs, cycle[1])]
		problems = append(problems, newProblem(pos, ruleCycle, strings.Join(words, " -> ")))
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
// that it imports, and all the ones of packages that are known.
func Unlinked(r *Result, linked, all []codegen.Info) []*Problem {
	refs := map[string][]string{}
	for _, info := range linked {
		refs[info.Name] = info.Refs
	}
	var problems []*Problem
	seen := map[string]bool{}
	var visit func(pos token.Position, user, name string)
	visit = func(pos token.Position, user, name string) {
		if seen[name] {
			return
		}
		seen[name] = true
		next, ok := refs[name]
		if !ok {
			problems = append(problems, newProblem(pos, ruleNotLinked,
				shortName(user), name, advice(name, all)))
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
			visit(comp.refs[i], comp.Info.Name, ref)
		}
	}
	return problems
}

// advice says what to import for a component.
func advice(name string, all []codegen.Info) string {
	var lines []string
	for _, info := range all {
		if info.Name == name {
			lines = append(lines, fmt.Sprintf("import _ %q", path.Dir(info.Impl)))
		}
	}
	if len(lines) > 0 {
		return strings.Join(lines, ", or ")
	}
	return "import the package of a struct that embeds divisi.Implements of it"
}
