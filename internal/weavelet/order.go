package weavelet

import (
	"slices"
	"strings"

	"github.com/divisi-go/divisi/codegen"
	"github.com/divisi-go/divisi/internal/name"
)

// graph is the static call graph of an application.
type graph struct{ registry *codegen.Registry }

func (g graph) refs(component string) []string {
	c, ok := g.registry.Find(component)
	if !ok {
		return nil
	}
	return c.Info.Refs
}

// closure returns the components that are reached from some, themselves included.
func (g graph) closure(from []string) []string {
	seen := map[string]bool{}
	var visit func(string)
	var list []string
	visit = func(component string) {
		if seen[component] {
			return
		}
		seen[component] = true
		for _, ref := range g.refs(component) {
			visit(ref)
		}
		list = append(list, component)
	}
	for _, component := range from {
		visit(component)
	}
	return list
}

// path returns the shortest way from one component to another along references, at least one, or
// nil.
func (g graph) path(from, to string) []string {
	before := map[string]string{from: ""}
	for queue := []string{from}; len(queue) > 0; queue = queue[1:] {
		for _, ref := range g.refs(queue[0]) {
			if ref == to {
				way := []string{to}
				for at := queue[0]; at != ""; at = before[at] {
					way = append(way, at)
				}
				slices.Reverse(way)
				return way
			}
			if _, seen := before[ref]; !seen {
				before[ref] = queue[0]
				queue = append(queue, ref)
			}
		}
	}
	return nil
}

// inOrder returns the parts with these names so that a component comes after those that it
// uses. Within a cycle the order is that of the names.
func (w *Weavelet) inOrder(names []string) []*part {
	wanted := map[string]bool{}
	for _, name := range names {
		wanted[name] = true
	}
	var parts []*part
	for _, component := range (graph{w.app.Registry}).closure(slices.Sorted(slices.Values(names))) {
		p, ok := w.lookup(component)
		// A directly referenced part has been created along with its user.
		if ok && (wanted[component] || !p.started()) {
			parts = append(parts, p)
		}
	}
	return parts
}

// cycle describes the cycle that caller and callee are part of, or returns "".
func (g graph) cycle(caller, callee string) string {
	way := g.path(callee, caller)
	if way == nil {
		return ""
	}
	if caller != callee {
		way = append([]string{caller}, way...)
	}
	var names []string
	for _, component := range way {
		names = append(names, name.Short(component))
	}
	return strings.Join(names, " -> ")
}
