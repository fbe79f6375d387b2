package ensemble

import (
	"path"
	"slices"
	"strings"

	"github.com/divisi-go/divisi/internal/lifecycle"
	"github.com/divisi-go/divisi/internal/name"
	"github.com/divisi-go/divisi/internal/tree"
)

// need is that one item of a domain starts after another one, and where that is said.
type need struct {
	item  string
	of    *Group
	index int // in its needs
}

// order has the items of each domain in the order of the text, and what each needs there. An item is a group, by its full
// name, or a domain in the domain, by its path.
type order struct {
	items map[string][]string
	needs map[string][]need // by item; an item is in one domain only
}

// needs reads what a group needs.
func (c *checker) needs(g *Group) {
	key := c.at[g.ID.String()]
	for i, text := range c.doc.Servers[key].Needs {
		where := []string{"servers", key, "needs"}
		bare, domain, placed := strings.Cut(text, "@")
		if !placed {
			domain = "."
		}
		other := name.Server{Name: bare, Domain: path.Join(c.domain, domain)}
		if strings.HasPrefix(domain, "/") {
			other.Domain = domain
		}
		switch {
		case c.groups[other.String()] == nil:
			c.FailElement(i, where, "it needs %q, which is no entry of [servers]: %s", text, name.Suggest(text, c.Keys("servers")))
		case other == g.ID:
			c.FailElement(i, where, "%s needs itself", g.ID)
		default:
			g.Needs = append(g.Needs, other)
			c.orders.add(c.domain, g, c.groups[other.String()], i)
		}
	}
}

// item returns what has a group in a domain around it, or in its own.
func item(g *Group, domain string) string {
	if g.ID.Domain == domain {
		return g.ID.String()
	}
	inner := g.ID.Domain
	for path.Dir(inner) != domain {
		inner = path.Dir(inner)
	}
	return inner
}

// place puts a group where it is.
func (o *order) place(root string, g *Group) {
	for domain := root; ; {
		at := item(g, domain)
		if !slices.Contains(o.items[domain], at) {
			o.items[domain] = append(o.items[domain], at)
		}
		if domain == g.ID.Domain {
			return
		}
		domain = at
	}
}

// add takes note that a group needs another one: what has the one starts after what has the other, in the innermost domain
// around both.
func (o *order) add(root string, g, other *Group, index int) {
	domain := g.ID.Domain
	for domain != root && !name.Within(other.ID.Domain, domain) {
		domain = path.Dir(domain)
	}
	at := item(g, domain)
	o.needs[at] = append(o.needs[at], need{item(other, domain), g, index})
}

// sort brings the items of all domains into an order in which each comes after what it needs, and else that of the text.
// Failed is told of needs that come back to where they began.
func (o *order) sort(failed func(g *Group, index int, from, to string)) {
	for domain, items := range o.items {
		var sorted []string
		begun := map[string]bool{}
		var visit func(at string)
		visit = func(at string) {
			begun[at] = true
			for _, n := range o.needs[at] {
				if !begun[n.item] {
					visit(n.item)
				} else if !slices.Contains(sorted, n.item) {
					failed(n.of, n.index, at, n.item)
				}
			}
			sorted = append(sorted, at)
		}
		for _, at := range items {
			if !begun[at] {
				visit(at)
			}
		}
		o.items[domain] = sorted
	}
}

// nursery returns a domain with what is in it.
func (c *checker) nursery(domain string) *Nursery {
	said := c.doc.Domains[c.at[domain]]
	n := &Nursery{Path: domain, Strategy: tree.Strategy(said.Strategy), Restart: restartDefaults(said.Restart, lifecycle.Transient)}
	for _, at := range c.orders.items[domain] {
		if g := c.groups[at]; g != nil {
			n.Members = append(n.Members, Member{Group: g})
		} else {
			n.Members = append(n.Members, Member{Nursery: c.nursery(at)})
		}
	}
	return n
}

// inherit gives the strategy of the domain around to those that say none.
func (n *Nursery) inherit(around tree.Strategy) {
	if n.Strategy == "" {
		n.Strategy = around
	}
	for _, m := range n.Members {
		if m.Nursery != nil {
			m.Nursery.inherit(n.Strategy)
		}
	}
}
