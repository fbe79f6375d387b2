package config

import (
	"cmp"
	"maps"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/divisi-go/divisi/internal/name"
)

// checker makes an App of what was decoded, and finds the mistakes that a decoder cannot see.
type checker struct {
	*document
	app     App
	tables  tables
	options Options
}

// common checks what concerns every way to run the application.
func (c *checker) common() {
	t, app := &c.tables.Divisi, &c.app
	app.Name, app.Binary, app.Args, app.Env = t.Name, t.Binary, t.Args, t.Env
	app.Drain, app.Metrics = cmp.Or(t.Drain, DefaultDrain), t.Metrics
	app.Single = c.tables.Single
	c.binary()
	c.times(t.Times, "divisi")
	c.listeners(app.Single.Listeners, "single")
	c.listeners(c.tables.Process.Listeners, "process")
}

// deployment checks what concerns deployers.
func (c *checker) deployment() {
	t, p, app := &c.tables.Divisi, &c.tables.Process, &c.app
	app.Process = *p
	app.Replicas = t.Replicas
	app.Rollout = t.Rollout
	app.Times = t.Times
	app.Restart = t.Restart
	app.Orphan = cmp.Or(t.Orphan, OrphanExit)

	c.env(t.Env, "divisi", "env")
	c.env(p.Env, "process", "env")
	c.duration(t.Rollout, "divisi", "rollout")
	c.number(t.Replicas, MaxReplicas, "divisi", "replicas")
	c.oneOf(string(app.Orphan), []string{string(OrphanExit), string(OrphanServe)}, "divisi", "orphan")
	c.restart(t.Restart, "divisi", "restart")
	c.groups()

	for _, head := range ignored {
		if offset, ok := c.at(head); ok {
			line, col := c.place(offset)
			app.Ignored = append(app.Ignored,
				c.file+":"+strconv.Itoa(line)+":"+strconv.Itoa(col)+": ["+c.show([]string{head})+"]")
		}
	}
}

// binary finds the program from the folder of the file, and names the application after it.
func (c *checker) binary() {
	app := &c.app
	where := []string{"divisi", "name"}
	if app.Binary != "" {
		if !filepath.IsAbs(app.Binary) {
			app.Binary = filepath.Join(filepath.Dir(c.file), app.Binary)
		}
		if filepath.Base(app.Binary) == app.Binary {
			// Without a separator it would be looked for in the PATH.
			app.Binary = "." + string(filepath.Separator) + app.Binary
		}
		if app.Name == "" {
			app.Name = strings.TrimSuffix(filepath.Base(app.Binary), ".exe")
			where[1] = "binary"
		}
	}

	if offset, ok := c.at(where...); ok {
		if err := name.CheckLabel(app.Name); err != nil && where[1] == "binary" {
			c.fail(offset, "the application cannot be called like its binary: %w; or set name", err)
		} else if err != nil {
			c.fail(offset, "%w", err)
		}
	}
}

func (c *checker) env(env []string, path ...string) {
	offsets := c.elements(path...)
	for i, kv := range env {
		if key, _, ok := strings.Cut(kv, "="); !ok || key == "" {
			c.fail(offsets[i], `%s has %q: write "KEY=value"`, c.show(path), kv)
		}
	}
}

// duration refuses what nobody means: it is usually a number where a string was wanted.
func (c *checker) duration(d time.Duration, path ...string) {
	if offset, ok := c.at(path...); ok && d < time.Millisecond && d != 0 {
		c.fail(offset, `%s is %v: write a duration such as "1m30s"`, c.show(path), d)
	}
}

func (c *checker) oneOf(s string, choices []string, path ...string) {
	if offset, ok := c.at(path...); ok && !slices.Contains(choices, s) {
		c.fail(offset, "%s cannot be %q: %s", c.show(path), s, name.Suggest(s, choices))
	}
}

func (c *checker) restart(r Restart, path ...string) {
	below := func(key string) []string { return append(slices.Clone(path), key) }
	c.oneOf(r.Policy, []string{"permanent", "transient", "temporary"}, below("policy")...)
	c.duration(r.Window, below("window")...)
	c.duration(r.Backoff, below("backoff")...)
	c.duration(r.MaxBackoff, below("max_backoff")...)
	c.number(r.Intensity, 1<<20, below("intensity")...)
}

func (c *checker) times(t Times, path ...string) {
	below := func(key string) []string { return append(slices.Clone(path), key) }
	c.duration(t.Start, below("start")...)
	c.duration(t.Hung, below("hung")...)
	c.duration(t.Drain, below("drain")...)
	c.duration(t.Stop, below("stop")...)
}

// number refuses a number that is there and that nobody can mean.
func (c *checker) number(n, most int, path ...string) {
	if offset, ok := c.at(path...); ok && (n < 1 || n > most) {
		c.fail(offset, "%s cannot be %d: write a number from 1 to %d", c.show(path), n, most)
	}
}

func (c *checker) listeners(listeners map[string]Listener, head string) {
	for _, listener := range slices.Sorted(maps.Keys(listeners)) {
		path := []string{head, "listeners", listener}
		offset, _ := c.at(path...)
		if known := c.options.Listeners; len(known) > 0 && !slices.Contains(known, listener) {
			c.fail(offset, "listener %q is not in the binary: %s", listener, name.Suggest(listener, known))
		}
		address := listeners[listener].Address
		if _, port, ok := cutLast(address, ":"); address != "" && (!ok || port == "") {
			offset, _ = c.at(append(path, "address")...)
			c.fail(offset, `address %q has no port: write "localhost:8080", or ":8080" for all interfaces`, address)
		}
	}
}

func cutLast(s, sep string) (before, after string, ok bool) {
	i := strings.LastIndex(s, sep)
	if i < 0 {
		return s, "", false
	}
	return s[:i], s[i+len(sep):], true
}
