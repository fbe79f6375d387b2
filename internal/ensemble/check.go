package ensemble

import (
	"errors"
	"fmt"
	"maps"
	"net"
	"path"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/divisi-go/divisi/internal/config"
	"github.com/divisi-go/divisi/internal/keeper/limit"
	"github.com/divisi-go/divisi/internal/lifecycle"
	"github.com/divisi-go/divisi/internal/name"
	"github.com/divisi-go/divisi/internal/probe"
	"github.com/divisi-go/divisi/internal/selection"
	"github.com/divisi-go/divisi/internal/tree"
)

// Parse reads a document. The name of the file is for messages. Nothing of the system is touched: neither is looked
// for programs nor for addresses.
func Parse(file, text string, said Said) (*Ensemble, error) {
	c := &checker{groups: map[string]*Group{}, at: map[string]string{}, orders: order{map[string][]string{}, map[string][]need{}}}
	var unscaled error
	err := config.Read(file, text, &c.doc, func(f *config.File) {
		c.File = f
		unscaled = c.check(said)
	})
	if err = errors.Join(err, unscaled); err != nil {
		return nil, err
	}
	root := c.nursery(c.domain)
	root.inherit(tree.OneForOne)
	e := &Ensemble{Domain: c.domain, Root: *root, Roles: c.roles(), Base: c.doc.Base.withDefaults()}
	return e, e.override(said.Config)
}

// checker makes an ensemble of a document, and finds the mistakes that a decoder cannot see.
type checker struct {
	*config.File
	doc    Document
	domain string
	groups map[string]*Group // by full name
	order  []string          // their full names, as they come in the text
	at     map[string]string // the keys of groups and domains in the text, by full name and path
	orders order
}

// check returns what is wrong with the counts. It notes all else.
func (c *checker) check(said Said) error {
	c.head()
	c.settings(c.doc.Base, "base")
	for _, role := range c.Keys("roles") {
		if err := name.CheckLabel(role); err != nil {
			c.Fail([]string{"roles", role}, "role: %w", err)
		}
		c.settings(c.doc.Roles[role], "roles", role)
	}
	if c.domain == "" {
		return nil // where everything else is
	}

	c.domains()
	for _, key := range c.Keys("servers") {
		c.entry(key)
	}
	unscaled := c.scale(said.Counts)
	c.names()
	c.addresses()
	for _, full := range c.order {
		c.groups[full].Down = said.Down
		c.groups[full].Content = c.groups[full].uses(said.Content)
		c.orders.place(c.domain, c.groups[full])
		c.needs(c.groups[full])
	}
	c.orders.sort(func(g *Group, index int, from, to string) {
		c.FailElement(index, []string{"servers", c.at[g.ID.String()], "needs"}, "%s and %s need each other: one of them starts first", from, to)
	})
	return unscaled
}

func (c *checker) head() {
	domain, where := c.doc.Ensemble.Domain, []string{"ensemble", "domain"}
	switch err := name.CheckDomain(domain); {
	case domain == "":
		c.Fail(where, `the ensemble has no domain: write domain = "/NAME" below [ensemble]`)
	case err != nil:
		c.Fail(where, "%w", err)
	case domain == "/":
		c.Fail(where, `the domain "/" is that of everybody: write domain = "/NAME"`)
	default:
		c.domain = domain
	}
}

// within returns a domain that the text has, and whether it is in the ensemble.
func (c *checker) within(text string, where []string) (string, bool) {
	domain := path.Clean(selection.Resolve(text, c.domain)) // "." is that of the ensemble
	switch err := name.CheckDomain(domain); {
	case err != nil:
		c.Fail(where, "%w", err)
	case !name.Within(domain, c.domain):
		c.Fail(where, "the domain %s is outside of %s, which is that of the ensemble: write one below it, such as %s/www", domain, c.domain, c.domain)
	default:
		return domain, true
	}
	return "", false
}

// below returns a path in the text that is longer.
func below(where []string, more ...string) []string { return append(slices.Clone(where), more...) }

func (c *checker) domains() {
	for _, key := range c.Keys("domains") {
		where := []string{"domains", key}
		d := c.doc.Domains[key]
		strategies := []string{string(tree.Together), string(tree.OneForOne), string(tree.RestForOne), string(tree.OneForAll)}
		if d.Strategy != "" && !slices.Contains(strategies, d.Strategy) {
			c.Fail(below(where, "strategy"), "%s cannot be %q: %s", config.Show(below(where, "strategy")...), d.Strategy, name.Suggest(d.Strategy, strategies))
		}
		c.restart(d.Restart, below(where, "restart"))
		if domain, ok := c.within(key, where); ok {
			if other, twice := c.at[domain]; twice {
				c.Fail(where, "%s is %s once more: keep one of them", config.Show(where...), config.Show("domains", other))
			}
			c.at[domain] = key
		}
	}
}

// entry reads an entry of the servers.
func (c *checker) entry(key string) {
	where, e := []string{"servers", key}, c.doc.Servers[key]
	c.settings(e.Settings, where...)
	if e.Count != nil && (*e.Count < 0 || *e.Count > MaxCount) {
		c.Fail(below(where, "count"), "%s cannot be %d: write a number from 0 to %d", config.Show(below(where, "count")...), *e.Count, MaxCount)
		e.Count = nil
	}
	_, known := c.doc.Roles[e.Role]
	if e.Role != "" && !known {
		c.Fail(below(where, "role"), "there is no role %q: %s", e.Role, name.Suggest(e.Role, slices.Collect(maps.Keys(c.doc.Roles))))
		return
	}

	for number := range e.Own {
		if _, err := strconv.ParseUint(number, 10, 16); err != nil || e.Count == nil {
			c.Fail(below(where, "own", number), "%s has the configuration of one of several servers: write count, and its number, as in own.0", config.Show(below(where, "own", number)...))
		}
	}

	id, ok := c.id(key, where)
	if !ok {
		return
	}
	role := e.Role
	if _, isRole := c.doc.Roles[id.Name]; isRole && role == "" {
		role = id.Name
	}
	g := &Group{ID: id, Role: role, Workers: e.Count != nil, Count: 1, Own: e.Own, Settings: c.of(e.Settings, role)}
	if g.Workers {
		g.Count = *e.Count
	}
	if full := id.String(); c.groups[full] != nil {
		c.Fail(where, "%s is %s once more: keep one of them", config.Show(where...), config.Show("servers", c.at[full]))
	} else {
		c.at[full], c.groups[full] = key, g
		c.order = append(c.order, full)
	}
	if g.Program == "" && !c.Has(below(where, "program")...) && !(role != "" && c.Has("roles", role, "program")) && !c.Has("base", "program") {
		c.Fail(where, "%s has no program: write program = \"PATH\", or give it a role that has one", config.Show(where...))
	}
}

// of returns the settings of a server of a role with all layers below them.
func (c *checker) of(own Settings, role string) Settings {
	return own.over(c.doc.Roles[role]).over(c.doc.Base).withDefaults()
}

// roles returns the roles with what base says.
func (c *checker) roles() map[string]Settings {
	all := map[string]Settings{}
	for role, s := range c.doc.Roles {
		all[role] = s.over(c.doc.Base)
	}
	return all
}

// id reads NAME or NAME@DOMAIN.
func (c *checker) id(text string, where []string) (id name.Server, ok bool) {
	bare, domain, placed := strings.Cut(text, "@")
	if err := name.CheckLabel(bare); err != nil {
		c.Fail(where, "server %q: %w", text, err)
		return id, false
	}
	if !placed {
		domain = "."
	}
	domain, ok = c.within(domain, where)
	return name.Server{Name: bare, Domain: domain}, ok
}

// names finds servers, and domains, of one name in one domain.
func (c *checker) names() {
	taken := map[string]string{} // by the path of what has the name
	for domain := range c.at {
		if !strings.Contains(domain, "@") {
			taken[domain] = "the domain " + domain
		}
	}
	for _, full := range c.order {
		for d := c.groups[full].ID.Domain; d != c.domain; d = path.Dir(d) {
			taken[d] = "the domain " + d
		}
	}
	for _, full := range c.order {
		for _, s := range c.groups[full].All() {
			at := path.Join(s.Domain, s.Name)
			if other, twice := taken[at]; twice {
				c.Fail([]string{"servers", c.at[full]}, "%v has the name of %s: give one of them another", s, other)
				break
			}
			taken[at] = "the server " + s.String()
		}
	}
}

// addresses finds sockets of one name in one domain that differ, and sockets of one address in several.
func (c *checker) addresses() {
	type socket struct{ name, domain string }
	addresses, sockets := map[socket]string{}, map[string]socket{}
	for _, full := range c.order {
		g := c.groups[full]
		for _, as := range slices.Sorted(maps.Keys(g.Listen)) {
			where := []string{"servers", c.at[full], "listen", as}
			own, address := socket{as, g.ID.Domain}, g.Listen[as]
			if other, ok := addresses[own]; ok && other != address {
				c.Fail(where, "the socket %s of %s is at %s, and another server there has one of this name at %s: give one of them another name, or a domain of its own",
					as, g.ID, address, other)
			}
			addresses[own] = address
			if _, port, err := net.SplitHostPort(address); err == nil && port == "0" {
				continue // is another one each time
			}
			if other, ok := sockets[address]; ok && other != own {
				c.Fail(where, "the address %s is that of the socket %s in %s: servers share one in a domain, by one name", address, other.name, other.domain)
			}
			sockets[address] = own
		}
	}
}

// settings checks what a layer says.
func (c *checker) settings(s Settings, where ...string) {
	c.restart(s.Restart, below(where, "restart"))
	c.content(s, where)
	for key, d := range map[string]time.Duration{"within": s.Within, "stop_time": s.StopTime} {
		c.duration(d, below(where, key))
	}
	for as, address := range s.Listen {
		c.listen(as, address, below(where, "listen", as))
	}
	for variable, value := range s.Env {
		if variable == "" || strings.ContainsAny(variable, "=\x00") || strings.ContainsRune(value, 0) {
			c.Fail(below(where, "env", variable), "%q cannot be a variable with the value %q", variable, value)
		}
	}
	for key, text := range map[string]string{"ready": s.Ready, "health": s.Health} {
		kind, err := probe.Parse(text)
		if text != "" && key == "health" && err == nil && (kind.Kind == probe.Notify || kind.Kind == probe.Log) {
			err = errors.New("nobody can ask for that: use port, http, file or exec")
		}
		if text != "" && err != nil {
			c.Fail(below(where, key), "%s: %w", config.Show(below(where, key)...), err)
		}
	}
	for i, role := range s.Also {
		if err := name.CheckLabel(role); err != nil {
			c.FailElement(i, below(where, "also"), "role: %w", err)
		}
	}
	for key := range s.Labels {
		if err := name.CheckLabel(key); err != nil {
			c.Fail(below(where, "labels", key), "label: %w", err)
		}
	}
	for i, text := range s.Limits {
		if _, err := limit.Parse(text); err != nil {
			c.FailElement(i, below(where, "limits"), "limit: %w", err)
		}
	}
}

func (c *checker) listen(as, address string, where []string) {
	file, unix := strings.CutPrefix(address, "unix:")
	_, port, err := net.SplitHostPort(address)
	if err == nil {
		_, err = strconv.ParseUint(port, 10, 16)
	}
	switch wrong := name.CheckLabel(as); {
	case wrong != nil:
		c.Fail(where, "socket: %w", wrong)
	case unix && file == "", !unix && err != nil:
		c.Fail(where, "%q is no address: write HOST:PORT, such as localhost:8080, or unix:PATH", address)
	}
}

// duration refuses what nobody means: it is usually a number where a string was wanted.
func (c *checker) duration(d time.Duration, where []string) {
	if d != 0 && d < time.Millisecond {
		c.Fail(where, `%s is %v: write a duration such as "1m30s"`, config.Show(where...), d)
	}
}

func (c *checker) restart(r config.Restart, where []string) {
	policies := []string{string(lifecycle.Permanent), string(lifecycle.Transient), string(lifecycle.Temporary)}
	if r.Policy != "" && !slices.Contains(policies, r.Policy) {
		c.Fail(below(where, "policy"), "%s cannot be %q: %s", config.Show(below(where, "policy")...), r.Policy, name.Suggest(r.Policy, policies))
	}
	if r.Intensity < 0 {
		c.Fail(below(where, "intensity"), "%s cannot be %d: write a number from 1 on", config.Show(below(where, "intensity")...), r.Intensity)
	}
	for key, d := range map[string]time.Duration{"window": r.Window, "backoff": r.Backoff, "max_backoff": r.MaxBackoff} {
		c.duration(d, below(where, key))
	}
}

// scale applies what an operator has said.
func (c *checker) scale(counts Counts) error {
	for _, full := range slices.Sorted(maps.Keys(counts)) {
		n := counts[full]
		id, err := name.ParseServer(full)
		if err == nil && (n < 0 || n > MaxCount) {
			err = fmt.Errorf("there can be 0 to %d of a kind", MaxCount)
		}
		if err == nil && !name.Within(id.Domain, c.domain) {
			err = fmt.Errorf("its domain is outside of %s", c.domain)
		}
		g := c.groups[full]
		if _, isRole := c.doc.Roles[id.Name]; err == nil && g == nil && isRole {
			g = &Group{ID: id, Role: id.Name, Workers: true, Settings: c.of(Settings{}, id.Name)}
			c.groups[full] = g
			c.order = append(c.order, full)
		}
		switch {
		case err != nil:
		case g == nil:
			err = fmt.Errorf("the document has neither such servers nor a role %s: %s", id.Name, name.Suggest(full, slices.Concat(c.order, slices.Collect(maps.Keys(c.doc.Roles)))))
		case !g.Workers:
			err = errors.New("it is one server: write count = 1 in the document, and its name has a number from then on")
		default:
			g.Count = n
		}
		if err != nil {
			return fmt.Errorf("cannot have %d of %s: %w", n, full, err)
		}
	}
	return nil
}
