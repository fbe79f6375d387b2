// Package config reads the TOML file of an application: what the application is, how each
// deployer runs it, and the sections of its components.
//
//	[divisi]                                   # or the old name, [serviceweaver]
//	name = "shop"                              # default: the name of the binary
//	binary = "./shop"                          # from the folder of the file
//	args = ["-v"]
//	env = ["REGION=eu"]
//	colocate = [["example.com/shop/cart/Cart", "example.com/shop/cart/Store"]]
//	rollout = "10m"                            # how long an upgrade takes; default: at once
//	replicas = 4                               # of every group that does not say; default: place.DefaultReplicas
//	start = "30s"                              # see Times
//	hung = "10s"
//	drain = "30s"                              # also of a stop of everything
//	stop = "5s"
//	orphan = "exit"                            # or "serve", when the deployer is gone
//	restart = { policy = "permanent", intensity = 5, window = "1m" }  # see Restart
//	metrics.local = true                       # count local calls too
//
//	[divisi.groups.pay]                        # a name for a group, or what differs in one
//	components = ["example.com/shop/pay/Pay"]  # without: the group called like the table
//	replicas = 3
//	start = "2m"
//	restart.policy = "transient"
//
//	[single]                                   # all in one process
//	listeners.shop = { address = "localhost:8080" }
//
//	[process]                                  # many processes here; or the old name, [multi]
//	listeners.shop = { address = ":80" }
//	env = ["DEBUG=1"]
//	mtls = true
//
//	["example.com/shop/cart/Cart"]             # a component's own section, by its full name
//	limit = 100
//
// Every error names the file, the line and the column, what is wrong there, and the way out.
package config

import (
	"errors"
	"fmt"
	"sort"
	"strings"
	"time"
)

// DefaultDrain is how long a stop of everything may take where a file says nothing.
const DefaultDrain = 30 * time.Second

// MaxReplicas is how many replicas of a group can be asked for.
const MaxReplicas = 1000

// Options say what is known about the application that a file is for.
type Options struct {
	// Components are the full names of the components in the binary. If there are none, the
	// binary is unknown, and the names in the file are taken as they are.
	Components []string

	// Configured are the components that take a section; nil if that is not known.
	Configured []string

	// Listeners are the names of the listeners in the binary; none if the binary is unknown.
	Listeners []string
}

// App is what a file says.
type App struct {
	File   string   `json:"file,omitzero"`   // the name that Parse was given, for messages
	Name   string   `json:"name,omitzero"`   // "" if there is neither a name nor a binary
	Binary string   `json:"binary,omitzero"` // from the folder that File is relative to; "" if none
	Args   []string `json:"args,omitzero"`
	Env    []string `json:"env,omitzero"` // "KEY=value"

	// Groups are the groups of the file in the order of their lines, and then, if the components
	// of the binary are known, one for each component that is in none. Their names are unique.
	Groups []Group `json:"groups,omitzero"`

	Replicas int           `json:"replicas,omitzero"` // of every group that says no number; zero leaves it to the deployer
	Rollout  time.Duration `json:"rollout,omitzero"`  // how long an upgrade takes; zero is at once
	Drain    time.Duration `json:"drain,omitzero"`    // how long a stop of everything may take
	Times    Times         `json:"times,omitzero"`
	Restart  Restart       `json:"restart,omitzero"`
	Orphan   Orphan        `json:"orphan,omitzero"`
	Metrics  Metrics       `json:"metrics,omitzero"`

	Single  Single  `json:"single,omitzero"`
	Process Process `json:"process,omitzero"`

	// Sections are the sections of components, by full name.
	Sections map[string]Section `json:"sections,omitzero"`

	// Ignored are the places of tables that are for deployers which do not read them here, such
	// as "app.toml:12:1: [kube]".
	Ignored []string `json:"ignored,omitzero"`
}

// Group is components that share processes.
type Group struct {
	Name       string   `json:"name,omitzero"`       // as in the file, or the short name of its first component
	Components []string `json:"components,omitzero"` // full names; none if the file relies on a binary that is unknown
	Replicas   int      `json:"replicas,omitzero"`   // zero is the number of the application
	Times      Times    `json:"times,omitzero"`      // of the application, where the group says nothing
	Restart    Restart  `json:"restart,omitzero"`    // of the application, where the group says nothing
}

// Times are how long a process may take for what is asked of it. A zero value is the default of the
// deployer that supervises it.
type Times struct {
	Start time.Duration `json:"start,omitzero"` // from its start until it answers
	Hung  time.Duration `json:"hung,omitzero"`  // without an answer, once it has answered
	Drain time.Duration `json:"drain,omitzero"` // to finish the work it has, when it is to end
	Stop  time.Duration `json:"stop,omitzero"`  // from SIGTERM until it is killed
}

// Restart says what happens to a process that ended. Zero values are the defaults of the one who
// restarts it.
type Restart struct {
	Policy     string        `json:"policy,omitzero"`                         // "permanent", "transient" (after failures only) or "temporary" (never)
	Intensity  int           `json:"intensity,omitzero"`                      // restarts within Window before giving up
	Window     time.Duration `json:"window,omitzero"`                         // what Intensity is counted in
	Backoff    time.Duration `json:"backoff,omitzero"`                        // first wait between restarts
	MaxBackoff time.Duration `toml:"max_backoff" json:"max_backoff,omitzero"` // the wait grows up to here
}

// Orphan says what a process does when its deployer is gone.
type Orphan string

// The choices of Orphan.
const (
	OrphanExit  Orphan = "exit" // the default
	OrphanServe Orphan = "serve"
)

// Metrics says what is measured beyond remote calls.
type Metrics struct {
	Local bool `json:"local,omitzero"` // also local calls
}

// Listener is what a file says about a listener of the application.
type Listener struct {
	Address string `json:"address,omitzero"` // "host:port", ":port" or "unix:///path"
}

// Single is the table for an application in one process.
type Single struct {
	Listeners map[string]Listener `json:"listeners,omitzero"` // by name
}

// Process is the table for an application in many processes on one machine.
type Process struct {
	Listeners map[string]Listener `json:"listeners,omitzero"` // by name
	MTLS      bool                `json:"mtls,omitzero"`
	Env       []string            `json:"env,omitzero"` // "KEY=value", in addition to App.Env
}

// Error is what is wrong at a place in a file. Errors of several places are joined.
type Error struct {
	File      string
	Line, Col int // from 1; Col counts bytes
	Err       error
}

func (e *Error) Error() string {
	return fmt.Sprintf("%s:%d:%d: %v", e.File, e.Line, e.Col, e.Err)
}

// Unwrap returns the error without the place.
func (e *Error) Unwrap() error { return e.Err }

// Parse reads the text of a file; an empty text gives the defaults. The name of the file is for
// messages, and relative paths in the text are from its folder. Parse does not touch the system.
// All errors are of type *Error, joined in the order of their lines.
func Parse(file, text string, o Options) (App, error) {
	c := newChecker(file, text, o)
	if len(c.errs) == 0 {
		c.common()
		c.deployment()
	}
	return c.result()
}

// ParseSingle is Parse for an application that runs in one process. Of what only deployers use, such as
// groups and restarts, it checks the types only, and the App has none of it.
func ParseSingle(file, text string, o Options) (App, error) {
	c := newChecker(file, text, o)
	if len(c.errs) == 0 {
		c.common()
	}
	return c.result()
}

func newChecker(file, text string, o Options) *checker {
	c := &checker{document: newDocument(file, text), options: o}
	if len(c.errs) > 0 {
		return c
	}
	if c.split(o.Components, o.Configured); c.rename() {
		c.decode(&c.tables, c.heads())
	}
	c.app = App{File: file, Sections: c.sections}
	return c
}

func (c *checker) result() (App, error) {
	if len(c.errs) > 0 {
		return App{}, c.err()
	}
	return c.app, nil
}

// tables is the part of a file that is not for components, under its current names. The fields
// of type any belong to deployers that are not here.
type tables struct {
	Divisi  divisiTable
	Single  Single
	Process Process

	Hosts, Kube, SSH, GKE         any
	System, Roles, Secrets, Httpd any
}

type divisiTable struct {
	Name     string
	Binary   string
	Args     []string
	Env      []string
	Colocate [][]string
	Groups   map[string]struct {
		Components []string
		Replicas   int
		Times
		Restart Restart
	}
	Replicas int
	Rollout  time.Duration
	Times
	Restart Restart
	Orphan  Orphan
	Metrics Metrics
}

// oldNames are names of tables that mean those of today. Full paths are what an import path
// becomes that was replaced in the text.
var oldNames = map[string]string{
	"serviceweaver":                   "divisi",
	"github.com/ServiceWeaver/weaver": "divisi",
	"github.com/divisi-go/divisi":     "divisi",
	"multi":                           "process",
}

// ignored are the tables of deployers that do not read them here.
var ignored = []string{"hosts", "kube", "ssh", "gke", "system", "roles", "secrets", "httpd"}

// err joins the errors of a document in the order of their places.
func (d *document) err() error {
	// A generic sort would be one more in every application.
	sort.SliceStable(d.errs, func(i, j int) bool {
		a, b := d.errs[i], d.errs[j]
		return a.Line < b.Line || a.Line == b.Line && a.Col < b.Col
	})
	all := make([]error, len(d.errs))
	for i, e := range d.errs {
		all[i] = e
	}
	return errors.Join(all...)
}

// show writes the name of a table as it is written in a file.
func show(path ...string) string {
	parts := make([]string, len(path))
	for i, p := range path {
		bare := p != "" && strings.Trim(p, "-_0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ") == ""
		parts[i] = p
		if !bare {
			parts[i] = quote(p)
		}
	}
	return strings.Join(parts, ".")
}
