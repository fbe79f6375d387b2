// Package ensemble reads the document of an ensemble: the servers of one host that belong together, in a tree of
// domains. It reads and decides, and does nothing.
//
//	[ensemble]
//	domain = "/test"
//
//	[base]                          # of every server, unless its role or itself says otherwise
//	restart.intensity = 10
//
//	[roles.httpd]                   # what servers of the role have in common
//	program = "divisi"              # a name in PATH, a path from the folder of the file, or this command
//	args = ["httpd", "--name", "{name}", "--root", "www"]
//	listen.httpd = "localhost:8080" # opened once for all of a domain, and inherited
//	ready = "notify"
//	also = ["web"]                  # further roles, for selection
//
//	[domains.www]                   # below that of the ensemble; "." is that itself
//	strategy = "one-for-all"
//
//	[servers."httpd@www"]           # a name and a domain; the role is that of the name, or role
//	count = 2                       # httpd-0 and httpd-1
//	needs = ["db"]
//
//	[servers.db]                    # one server, without a role
//	program = "./db"
//
// Every error names the file, the line and the column, what is wrong there, and the way out. All of them come at once.
package ensemble

import (
	"slices"
	"strconv"
	"time"

	"github.com/divisi-go/divisi/internal/config"
	"github.com/divisi-go/divisi/internal/name"
	"github.com/divisi-go/divisi/internal/tree"
)

// Document is a file as it is written.
type Document struct {
	Ensemble Head                `toml:"ensemble"`
	Base     Settings            `toml:"base,omitempty"`
	Roles    map[string]Settings `toml:"roles,omitempty"`
	Domains  map[string]Domain   `toml:"domains,omitempty"` // by path, from the domain of the ensemble
	Servers  map[string]Entry    `toml:"servers,omitempty"` // by NAME or NAME@DOMAIN, from the domain of the ensemble
}

// Head says what the ensemble is.
type Head struct {
	Domain string `toml:"domain"` // of all that is in it
}

// Domain says what the failure of a server means for the others in a domain.
type Domain struct {
	Strategy string         `toml:"strategy"` // default that of the domain around it, one-for-one of the outermost
	Restart  config.Restart `toml:"restart"`  // of the domain as a whole, by the one around it
}

// Entry is a server, or so many of a kind.
type Entry struct {
	Role  string   `toml:"role,omitempty"` // default its name, if there is such a role
	Count *int     `toml:"count,omitempty"`
	Needs []string `toml:"needs,omitempty"` // entries whose servers are ready before it starts

	// Own has what differs in the configuration of single ones of several servers, by their numbers.
	Own map[string]map[string]any `toml:"own,omitempty"`
	Settings
}

// Settings are what a server is. A value of a server has the place of that of its role, and that of a role the place
// of that in base; of env, listen, labels and config each key does, and of restart each field.
type Settings struct {
	Program  string            `toml:"program"`
	Args     []string          `toml:"args,omitempty"`
	Env      map[string]string `toml:"env,omitempty"`
	Dir      string            `toml:"dir"` // that it runs in, from the folder of the file
	User     string            `toml:"user,omitempty"`
	Listen   map[string]string `toml:"listen,omitempty"` // addresses by the names of sockets that it inherits: HOST:PORT, or unix:PATH
	Ready    string            `toml:"ready"`            // how one sees that it is; "" when it has run for 300 ms
	Health   string            `toml:"health"`           // what it is asked again and again; "" for nothing
	Within   time.Duration     `toml:"within"`           // it has to be ready
	StopTime time.Duration     `toml:"stop_time"`        // from SIGTERM to SIGKILL
	Alone    *bool             `toml:"alone"`            // the next process of it starts when the one before has ended
	Restart  config.Restart    `toml:"restart"`
	Exec     *bool             `toml:"exec"`           // an operator may run commands as it runs
	Also     []string          `toml:"also,omitempty"` // further roles
	Labels   map[string]string `toml:"labels,omitempty"`
	Limits   []string          `toml:"limits,omitempty"` // such as memory=512M, as of divisi start
	Config   map[string]any    `toml:"config,omitempty"` // of the program, in a file whose path is in DIVISI_CONFIG
	Follows  *bool             `toml:"follows"`          // the program follows that file while it runs
}

// Ensemble is what a document means.
type Ensemble struct {
	Domain string
	Root   Nursery
	Roles  map[string]Settings // with what base says
	Base   Settings            // with every default
}

// Nursery is a domain with what is in it, in the order of its start.
type Nursery struct {
	Path     string
	Strategy tree.Strategy
	Restart  config.Restart
	Members  []Member
}

// Member is what is in a domain: another one, or servers of a kind.
type Member struct {
	Nursery *Nursery
	Group   *Group
}

// Group is the servers of an entry.
type Group struct {
	ID      name.Server // its name, and the domain
	Role    string      // "" for none
	Workers bool        // they have numbers behind the name
	Count   int
	Needs   []name.Server
	Down    []string                  // the full names of servers that are stopped, also of other groups
	Own     map[string]map[string]any // see Entry
	Content Content                   // that they use, "" for the sum of what was not pushed
	Settings
}

// MaxCount is how many servers of a kind there can be.
const MaxCount = 1000

// Server is one process that is to be there.
type Server struct {
	name.Server
	Number int
	Of     *Group
	Config map[string]any // its own, with that of the group
}

// Servers returns the servers of the group that are to run.
func (g *Group) Servers() []Server { return slices.DeleteFunc(g.All(), g.stopped) }

// All returns the servers of the group, also those that are stopped.
func (g *Group) All() (list []Server) {
	if !g.Workers {
		return []Server{{g.ID, 0, g, g.Config}}
	}
	for n := range g.Count {
		id := name.Server{Name: worker(g.ID.Name, n), Domain: g.ID.Domain}
		list = append(list, Server{id, n, g, mergeConfig(g.Own[strconv.Itoa(n)], g.Config)})
	}
	return list
}

// Groups returns all groups, in the order of their start.
func (n *Nursery) Groups() (all []*Group) {
	for _, m := range n.Members {
		if m.Group != nil {
			all = append(all, m.Group)
		} else {
			all = append(all, m.Nursery.Groups()...)
		}
	}
	return all
}

// Servers returns all servers that are to run, in the order of their start.
func (e *Ensemble) Servers() (all []Server) {
	for _, g := range e.Root.Groups() {
		all = append(all, g.Servers()...)
	}
	return all
}

// AllRoles returns the roles of the group's servers, the first of which is what they are for.
func (g *Group) AllRoles() []string {
	if g.Role == "" {
		return g.Also
	}
	return append([]string{g.Role}, g.Also...)
}
