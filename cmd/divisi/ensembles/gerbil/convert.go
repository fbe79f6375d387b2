package gerbil

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/divisi-go/divisi/internal/ensemble"
)

// Note is something of a file that is not in the document, and why.
type Note struct {
	File string `json:"file"`
	Line int    `json:"line"`
	Why  string `json:"why"`
}

func (n Note) String() string { return fmt.Sprintf("%s:%d: %s", n.File, n.Line, n.Why) }

// table is a table of the document.
type table = map[string]any

// converter makes a document of files.
type converter struct {
	file  string // that is read
	doc   table
	notes []Note
}

// property is a key of a file with its value.
type property struct {
	key   string
	value datum
}

// note takes note of what is not in the document.
func (c *converter) note(d datum, format string, args ...any) {
	why := fmt.Sprintf(format, args...)
	if len(why) > 300 {
		why = strings.ToValidUTF8(why[:300], "") + "..."
	}
	c.notes = append(c.notes, Note{c.file, d.line, why})
}

// below returns the table at a path of the document, which is made if it is not there.
func below(t table, path ...string) table {
	for _, key := range path {
		inner, ok := t[key].(table)
		if !ok {
			inner = table{}
			t[key] = inner
		}
		t = inner
	}
	return t
}

// properties returns what a list has by keys. A value before its key, as preloads were written by mistake, is taken for that of
// the key.
func (c *converter) properties(all []datum) (list []property) {
	for i := 0; i < len(all); i++ {
		switch d := all[i]; {
		case d.kind == keyword && i+1 < len(all) && all[i+1].kind != keyword:
			list = append(list, property{d.text, all[i+1]})
			i++
		case d.kind != keyword && i+1 < len(all) && all[i+1].kind == keyword:
			c.note(d, "%v stands before its key %v, and is taken for its value", d, all[i+1])
			list = append(list, property{all[i+1].text, d})
			i++
		default:
			c.note(d, "%v is no key with a value", d)
		}
	}
	return list
}

// The four forms.
const (
	ensembleForm = "ensemble-v0"
	serverForm   = "ensemble-server-v0"
	httpdForm    = "httpd-v0"
)

// add adds a file to the document.
func (c *converter) add(file, content string) error {
	all, err := parse(file, content)
	if err != nil {
		return err
	}
	c.file = file
	list := c.properties(all)
	form := formOf(list)
	switch form {
	case ensembleForm:
		c.ensemble(list)
	case serverForm:
		c.server(list, "base")
	case httpdForm:
		c.httpd(list, below(c.doc, "roles", "httpd"))
		below(c.doc, "servers", "httpd")
	default:
		return &Mistake{file, 1, fmt.Sprintf("it has no form that is known, but %q: it begins with config: and one of %s, %s, %s", form, ensembleForm, serverForm, httpdForm)}
	}
	return nil
}

// formOf returns the form that a configuration says it has. A part of an ensemble needs not say it.
func formOf(list []property) string {
	for _, p := range list {
		if p.key == "config" {
			return p.value.text
		}
	}
	for _, p := range list {
		if p.key == "roles" || p.key == "preload" {
			return ensembleForm
		}
	}
	return ""
}

func (c *converter) ensemble(list []property) {
	for _, p := range list {
		switch p.key {
		case "config":
		case "domain":
			below(c.doc, "ensemble")["domain"] = p.value.text
		case "root":
			c.note(p.value, "root %v: servers run in the folder of the document, and what was uploaded is pushed: divisi push fs makes it {fs}", p.value)
		case "public-address":
			c.note(p.value, "public-address %v: an ensemble is on one host, and has no address of its own", p.value)
		case "services":
			for _, s := range c.properties(p.value.list) {
				c.note(s.value, "the service %s: the keeper has the processes, and its own table is what divisi lookup asks", s.key)
			}
		case "roles":
			for _, role := range p.value.list {
				if len(role.list) == 0 {
					c.note(role, "%v is no role", role)
					continue
				}
				c.server(c.properties(role.list[1:]), "roles", role.list[0].text)
			}
		case "preload":
			c.preload(c.properties(p.value.list))
		default:
			c.note(p.value, "%s: nothing is known of it", p.key)
		}
	}
}

// preload adds the servers that start with the ensemble.
func (c *converter) preload(list []property) {
	for _, kinds := range list {
		if kinds.key != "servers" && kinds.key != "workers" {
			c.note(kinds.value, "%s: nothing is known of it", kinds.key)
			continue
		}
		for _, d := range kinds.value.list {
			if len(d.list) == 0 {
				c.note(d, "%v is no server", d)
				continue
			}
			c.entry(d, kinds.key == "workers")
		}
	}
}

// entry adds an entry of the servers: a domain, and what is there.
func (c *converter) entry(d datum, workers bool) {
	list := c.properties(d.list[1:])
	bare, role := "", ""
	for _, p := range list {
		switch p.key {
		case "server", "prefix":
			bare = cmp.Or(p.value.text, last(p.value))
		case "role":
			role = p.value.text
		}
	}
	key := cmp.Or(bare, role) + "@" + d.list[0].text
	entry := below(c.doc, "servers", key)
	if workers {
		entry["count"] = int64(1)
	}
	for _, p := range list {
		switch p.key {
		case "server", "prefix":
		case "role":
			entry["role"] = role
		case "servers":
			n, ok := p.value.value().(int64)
			if !ok || n < 0 || n > ensemble.MaxCount {
				c.note(p.value, "%v is no number of servers: there is one", p.value)
				continue
			}
			entry["count"] = n
		case "server-config":
			c.server(c.properties(p.value.list), "servers", key)
		default:
			c.note(p.value, "%s: nothing is known of it", p.key)
		}
	}
}

// last is the name in an identifier, (NAME . DOMAIN).
func last(d datum) string {
	if len(d.list) == 1 {
		return d.list[0].text
	}
	return ""
}

// server adds what is said of a server to a layer of the document.
func (c *converter) server(list []property, where ...string) {
	for _, p := range list { // a configuration of a role has the role's place
		if p.key == "role" && where[0] == "base" {
			where = []string{"roles", p.value.text}
		}
	}
	s := below(c.doc, where...)
	c.program(s, list)
	for _, p := range list {
		c.setting(s, p, where)
	}
}

// program adds the program and its arguments.
func (c *converter) program(s table, list []property) {
	said := map[string]datum{}
	for _, p := range list {
		said[p.key] = p.value
	}
	exe, begun := said["exe"]
	prefix := texts(said["prefix"])
	if args, ok := said["args"]; ok {
		prefix = texts(args)
	}
	if exe.text == "gerbil" && len(prefix) > 0 && prefix[0] == "httpd" {
		isHTTPD(s)
		return
	}
	if !begun {
		return
	}
	s["program"] = exe.text
	if exe.text == "self" || exe.text == "gerbil" {
		c.note(exe, "exe %v: a program of Gerbil's wants a registry and a supervisor of its own, which are not there", exe)
	}
	var args []any
	for _, arg := range prefix {
		args = append(args, arg)
	}
	if _, all := said["args"]; !all {
		args = append(args, "{server}")
		c.note(exe, "the argument with the id of the server is written httpd-0@/test/www, and not (httpd-0 . /test/www)")
	}
	for _, arg := range texts(said["suffix"]) {
		args = append(args, arg)
	}
	if len(args) > 0 {
		s["args"] = args
	}
}

// self is the program of a document that is this command.
const self = "divisi"

// isHTTPD has a layer be that of an httpd.
func isHTTPD(s table) {
	s["program"], s["args"], s["ready"], s["follows"] = self, []any{"httpd"}, "notify", true
}

// texts returns the texts in a list.
func texts(d datum) (all []string) {
	for _, one := range d.list {
		all = append(all, one.text)
	}
	return all
}

// without are properties of servers that have no counterpart, with the reason.
var without = map[string]string{
	"cookie": "nobody shares a secret: who may open the keeper's socket is known by its user", "admin": "who may open the keeper's socket is known by its user",
	"auth": "who may open the keeper's socket is known by its user", "registry": "the keeper's own table is what divisi lookup asks",
	"supervisor": "a supervisor is a domain, and no server", "known-servers": "divisi lookup finds servers", "domain": "a server has the domain of its entry",
	"identifier": "a server has the name of its entry", "addresses": "listen has the sockets of a server by name: say it there",
	"log-level": "the program itself says what it logs", "log-file": "the keeper has the logs: divisi logs", "log-dir": "the keeper has the logs: divisi logs",
	"root": "a server runs in dir, from the folder of the document", "suffix": "divisi httpd takes no further arguments",
}

// setting adds one property of a server.
func (c *converter) setting(s table, p property, where []string) {
	reason := without[p.key]
	switch p.key {
	case "config", "exe", "prefix", "args", "role":
	case "suffix":
		if s["program"] == self && len(p.value.list) > 0 {
			c.note(p.value, "suffix %v: %s", p.value, reason)
		}
	case "policy":
		policy := "temporary"
		if p.value.text == "restart" {
			policy = "permanent"
		}
		below(s, "restart")["policy"] = policy
	case "secondary-roles":
		also := []any{}
		for _, role := range texts(p.value) {
			also = append(also, role)
		}
		s["also"] = also
	case "envvars":
		for _, variable := range texts(p.value) {
			name, value, ok := strings.Cut(variable, "=")
			if !ok {
				c.note(p.value, "%q is no variable with a value", variable)
				continue
			}
			below(s, "env")[name] = value
		}
	case "env":
		if p.value.text != "#f" {
			c.note(p.value, "env %v: divisi push env makes it {env.%s}, which a document can name in args and env", p.value, p.value.text)
		}
	case "application":
		c.application(s, p.value)
	case "server-config":
		c.server(c.properties(p.value.list), where...)
	default:
		c.note(p.value, "%s: %s", p.key, cmp.Or(reason, "nothing is known of it"))
	}
}

// application adds the configuration of programs.
func (c *converter) application(s table, all datum) {
	for _, d := range all.list {
		if len(d.list) == 0 {
			c.note(d, "%v is no configuration of a program", d)
			continue
		}
		name, list := d.list[0].text, c.properties(d.list[1:])
		if formOf(list) == httpdForm && (s["program"] == nil || s["program"] == self) {
			c.httpd(list, s)
			continue
		}
		config := below(s, "config", name)
		for _, p := range list {
			if p.key != "config" {
				config[p.key] = p.value.value()
			}
		}
		c.note(d, "the program %s finds its configuration as TOML in the file DIVISI_CONFIG, in the table %s", name, name)
	}
}

// httpd adds the configuration of an httpd to a layer.
func (c *converter) httpd(list []property, s table) {
	isHTTPD(s)
	config := below(s, "config")
	if !slices.ContainsFunc(list, func(p property) bool { return p.key == "listen" }) {
		below(s, "listen")["httpd"] = "0.0.0.0:8080" // as with Gerbil
	}
	for _, p := range list {
		switch p.key {
		case "config":
		case "root":
			config["root"] = p.value.text
		case "request-log":
			config["access-log"] = p.value.text
		case "enable-servlets":
			if p.value.text == "#t" {
				config["servlets"] = true
				c.note(p.value, "enable-servlets: servlets are WebAssembly modules, *.wasm; a *.ss is sent as any file, so take it out of the root")
			}
		case "listen":
			c.listen(p.value, s, config)
		case "handlers":
			for _, h := range p.value.list {
				c.note(h, "the handler %v: a module of Gerbil's cannot be linked in; serve it by a program of its own, and say its address in config.handler", h)
			}
		default:
			c.note(p.value, "%s: divisi httpd has bounds of its own: divisi httpd --help", p.key)
		}
	}
}

// listen adds where an httpd listens.
func (c *converter) listen(all datum, s, config table) {
	if all.kind != list {
		all.list = []datum{all}
	}
	for i, d := range all.list {
		address := d.text
		if d.kind == list && len(d.list) == 4 && slices.Contains([]string{"ssl", "ssl:"}, d.list[0].text) {
			address = d.list[1].text
			config["tls-cert"], config["tls-key"] = d.list[2].text, d.list[3].text
		}
		if i > 0 || address == "" {
			c.note(d, "listen %v: an httpd has one socket; several of them share it, or are servers with others", d)
			continue
		}
		below(s, "listen")["httpd"] = address
	}
}
