// Package halt stops what somebody means: applications, programs, servers, and servers of ensembles, which stay stopped.
package halt

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math"
	"path"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/spf13/cobra"

	"github.com/divisi-go/divisi/cmd/divisi/console"
	"github.com/divisi-go/divisi/cmd/divisi/ensembles"
	"github.com/divisi-go/divisi/cmd/divisi/ensembles/history"
	"github.com/divisi-go/divisi/cmd/divisi/estate"
	"github.com/divisi-go/divisi/cmd/divisi/server"
	"github.com/divisi-go/divisi/cmd/divisi/subject"
	"github.com/divisi-go/divisi/internal/control"
	"github.com/divisi-go/divisi/internal/keeper"
	"github.com/divisi-go/divisi/internal/name"
	"github.com/divisi-go/divisi/internal/selection"
)

// command is what the functions of this package share.
type command struct{ *console.Console }

// Command returns the command that stops.
func Command(shared *console.Console) *cobra.Command {
	c := command{shared}
	var all, yes bool
	var timeout time.Duration
	cmd := &cobra.Command{
		Use:   "stop APP|SELECTOR... | stop --all --yes",
		Short: "Stop applications and servers in order",
		Long: "Drain and stop an application, given by its whole name, or stop the servers that SELECTOR picks; with\n" +
			"--yes several, or with --all all of them. A server gets SIGTERM, and after its --stop-time SIGKILL; what it inherits\n" +
			"is closed. /DOMAIN is the application with that name, or else all servers in the domain and below it.\n" +
			"Servers of a domain are stopped one after the other, the one that was started last first. It returns\n" +
			"when they have stopped. The exit code is 3 if only some of them have.\n\n" +
			"A server of an ensemble stays stopped, whatever ends or starts again meanwhile, until divisi start NAME@/DOMAIN\n" +
			"without a program has it run again.",
		Example:           "  divisi stop shop\n  divisi stop web@/local\n  divisi stop /local --yes\n  divisi stop role:web@/shop/... --yes\n  divisi stop shop web --yes\n  divisi stop --all --yes",
		Args:              cobra.ArbitraryArgs,
		ValidArgsFunction: completeToStop,
		RunE: func(cmd *cobra.Command, args []string) error {
			switch {
			case all && len(args) > 0:
				return console.UsageError("--all stops everything: leave out %s", args[0])
			case all && !yes:
				return console.UsageError("--all stops every application and every server: add --yes to say that you mean it")
			case len(args) > 1 && !yes:
				return console.UsageError("%d applications or servers would be stopped: add --yes to say that you mean it", len(args))
			}
			return console.Within(cmd.Context(), timeout, func(ctx context.Context) error {
				return c.stopThem(ctx, args, all, yes)
			})
		},
	}

	cmd.Flags().BoolVar(&all, "all", false, "stop every application and every server")
	cmd.Flags().BoolVar(&yes, "yes", false, "confirm --all, or more than one")
	console.TimeoutFlag(cmd, &timeout, 2*time.Minute)
	return cmd
}

// target is what is to be stopped: an application, a server, or one of an ensemble, which stays stopped.
type target struct {
	app    *estate.Application
	server *keeper.Proc
	part   *ensembles.Server
}

func (t target) String() string {
	switch {
	case t.app != nil:
		return t.app.Status.App
	case t.part != nil:
		return t.part.String()
	}
	return t.server.ID.String()
}

// completeToStop completes names, or from a slash on, domains.
func completeToStop(cmd *cobra.Command, args []string, begin string) ([]string, cobra.ShellCompDirective) {
	if !strings.HasPrefix(begin, "/") {
		return subject.CompleteAny(math.MaxInt)(cmd, args, begin)
	}

	apps, silent := subject.Running(cmd.Context())
	servers, err := server.All(cmd.Context())
	parts, _ := partsOf(apps)
	domains := domainsOf(append(everything(apps, servers), parts...))
	if err := errors.Join(silent, err); err != nil && len(domains) == 0 {
		return nil, cobra.ShellCompDirectiveError
	}
	return slices.DeleteFunc(domains, func(d string) bool {
		return slices.Contains(args, d) || !strings.HasPrefix(d, begin)
	}), cobra.ShellCompDirectiveNoFileComp
}

// domainsOf returns the domains that targets are in, and those above them, without that of everything.
func domainsOf(targets []target) []string {
	var domains []string
	for _, t := range targets {
		for domain := t.domain(); len(domain) > len("/"); domain = path.Dir(domain) {
			domains = append(domains, domain)
		}
	}
	slices.Sort(domains)
	return slices.Compact(domains)
}

func (c command) stopThem(ctx context.Context, args []string, all, yes bool) error {
	apps, silent := subject.Running(ctx)
	servers, err := server.All(ctx)
	silent = errors.Join(silent, err)

	targets := everything(apps, servers)
	if !all {
		parts, unread := partsOf(apps)
		silent = errors.Join(silent, unread)
		chosen, err := toStop(targets, parts, args)
		if err != nil {
			return cmp.Or(silent, aPart(apps, servers, args), err)
		}
		if len(chosen) > 1 && !yes {
			return console.UsageError("%d would be stopped: %s: add --yes to say that you mean it", len(chosen), strings.Join(targetNames(chosen), ", "))
		}
		targets, silent = chosen, nil
	}

	if silent != nil && len(targets) == 0 {
		return silent
	}
	if len(targets) == 0 && c.Format != "json" {
		fmt.Fprintln(c.Err, subject.ErrNothing)
	}
	return c.stopAll(ctx, targets, silent)
}

// aPart returns the error about the first of some names that is that of a part of an application or a program.
func aPart(apps []estate.Application, servers []keeper.Proc, args []string) error {
	for _, asked := range args {
		for _, p := range server.Find(servers, asked) {
			var of control.Status
			for _, app := range apps {
				if app.Owns(p) && len(app.Status.Domain) > len(of.Domain) {
					of = app.Status
				}
			}
			switch {
			case of.App == "":
				continue
			case of.IsProgram() && !of.Unattended:
				return console.Failure(fmt.Sprintf("divisi do %s drain %s stops it alone, and divisi stop %[1]s all of it", of.App, path.Join(p.Domain, p.Name)),
					"%v is part of %s, which decides about it", p.ID, of.App)
			}
			return console.Failure("divisi stop "+of.App+" stops all of it", "%v is part of %s, and is not stopped alone", p.ID, of.App)
		}
	}
	return nil
}

// everything returns all applications, and all servers that belong to none of them, each once.
func everything(apps []estate.Application, servers []keeper.Proc) []target {
	var targets []target
	for i := range apps {
		targets = append(targets, target{app: &apps[i]})
	}

	var seen []string
	for i, p := range servers {
		owned := slices.ContainsFunc(apps, func(a estate.Application) bool { return a.Owns(p) })
		if full := p.ID.String(); !owned && !slices.Contains(seen, full) {
			seen = append(seen, full)
			targets = append(targets, target{server: &servers[i]})
		}
	}

	return targets
}

// partsOf returns the servers of ensembles that run, but for those that are stopped.
func partsOf(apps []estate.Application) (parts []target, err error) {
	all, err := ensembles.Servers()
	for i, one := range all {
		runs := slices.ContainsFunc(apps, func(a estate.Application) bool { return a.Status.Domain == one.Of.Domain })
		if runs && !one.Stopped {
			parts = append(parts, target{part: &all[i]})
		}
	}
	return parts, err
}

// toStop returns what has the names that are given: whole ones, for it changes something. Parts are of what is among the targets.
func toStop(targets, parts []target, args []string) ([]target, error) {
	names := targetNames(targets)
	switch {
	case len(targets) == 0:
		return nil, subject.ErrNothing
	case len(args) == 0 && len(names) == 1:
		return nil, &console.Error{Code: console.Usage, Err: errors.New("nothing says what to stop"),
			Way: "give its name: divisi stop " + names[0]}
	case len(args) == 0:
		return nil, &console.Error{Code: console.Usage, Err: errors.New("nothing says what to stop"),
			Way: "give one of " + strings.Join(names, ", ") + ", or --all --yes"}
	}

	var chosen []target
	for _, asked := range args {
		picked, err := picks(slices.Concat(targets, parts), asked)
		if err != nil {
			return nil, err
		}
		chosen = append(chosen, slices.DeleteFunc(picked, func(t target) bool { return slices.Contains(chosen, t) })...)
	}

	return chosen, nil
}

// picks returns what has a name, which is one, or what a selector picks.
func picks(targets []target, asked string) ([]target, error) {
	called := slices.DeleteFunc(slices.Clone(targets), func(t target) bool { return !t.isCalled(asked) })
	s, wrong := server.Select(asked)
	picked := slices.DeleteFunc(slices.Clone(targets), func(t target) bool { return !t.isPicked(s) })
	switch {
	case s.Everything():
		return nil, console.UsageError("%s is everything: say stop --all --yes", asked)
	case len(called) > 1 && called[0].app != nil && called[1].part != nil:
		return called[:1], nil // an ensemble that is called as one of its servers
	case len(called) > 1:
		return nil, ambiguous(asked, called)
	case len(called) == 1:
		return called, nil
	case wrong != nil:
		return nil, wrong
	case len(picked) == 0:
		return nil, console.Failure("", "no application or server %q runs: %s", asked, name.Suggest(asked, targetNames(targets)))
	}
	return slices.DeleteFunc(picked, func(t target) bool { return t.part != nil && t.isOf(picked) }), nil
}

// isOf reports whether a server is one of an ensemble among some targets, with which it stops.
func (t target) isOf(targets []target) bool {
	return slices.ContainsFunc(targets, func(o target) bool { return o.app != nil && o.app.Status.Domain == t.part.Of.Domain })
}

// isCalled reports whether somebody means this: an application by its name or its domain, a server by
// its name with or without a domain.
func (t target) isCalled(asked string) bool {
	if t.app != nil {
		return t.app.Status.App == asked || t.app.Status.Domain == asked
	}
	bare, _, _ := strings.Cut(t.String(), "@")
	return bare == asked || t.String() == asked
}

// isPicked reports whether a selector picks this: an application if it picks all of its domain.
func (t target) isPicked(s selection.Selector) bool {
	switch {
	case t.app != nil:
		return s.Covers(t.app.Status.Domain)
	case t.part != nil:
		return s.Picks(t.part.Server)
	}
	return server.Picks(s, *t.server)
}

func (t target) domain() string {
	switch {
	case t.app != nil:
		return t.app.Status.Domain
	case t.part != nil:
		return t.part.Domain
	}
	return t.server.Domain
}

// inOrder returns what is to be stopped one after the other: the servers of a domain and those below it, the
// one that was started last first. Of the lists, all are stopped at the same time.
func inOrder(targets []target) [][]target {
	var lists [][]target
	at := map[string]int{} // by the first word of the domain
	for _, t := range targets {
		if t.server == nil {
			lists = append(lists, []target{t})
			continue
		}
		first, _, _ := strings.Cut(strings.TrimPrefix(t.server.Domain, "/"), "/")
		if _, known := at[first]; !known {
			at[first] = len(lists)
			lists = append(lists, nil)
		}
		lists[at[first]] = append(lists[at[first]], t)
	}

	for _, first := range at {
		slices.SortFunc(lists[first], func(a, b target) int { return cmp.Compare(b.server.Born, a.server.Born) })
	}
	return lists
}

func targetNames(targets []target) []string {
	var names []string
	for _, t := range targets {
		names = append(names, t.String())
	}
	return names
}

func ambiguous(asked string, found []target) error {
	var names []string
	for _, t := range found {
		if t.app != nil {
			names = append(names, t.app.Status.Domain+" (an application)")
		} else {
			names = append(names, t.String())
		}
	}
	return console.UsageError("%s is the name of several: give one of %s", asked, strings.Join(names, ", "))
}

// stopped is what was stopped, as JSON shows it.
type stopped struct {
	Stopped []string         `json:"stopped"`
	Servers []server.Stopped `json:"servers,omitempty"`
}

// stopAll stops all in order; failed is about others.
func (c command) stopAll(ctx context.Context, targets []target, failed error) error {
	var mu sync.Mutex // guards done and failures
	done := stopped{Stopped: []string{}}
	failures := []error{failed}
	note := func(of []target, exits []server.Stopped, err error) {
		mu.Lock()
		defer mu.Unlock()
		if err != nil {
			failures = append(failures, fmt.Errorf("cannot stop %s: %w", strings.Join(targetNames(of), ", "), err))
			return
		}
		done.Stopped = append(done.Stopped, targetNames(of)...)
		done.Servers = append(done.Servers, exits...)
		for _, exit := range exits {
			if exit.Unwritten != "" {
				failures = append(failures, fmt.Errorf("%s has ended, but may start again with the machine: %s", exit.Name, exit.Unwritten))
			}
		}
	}

	var wait sync.WaitGroup
	parts := map[history.Shelf][]target{}
	for _, list := range inOrder(targets) {
		if of := list[0].part; of != nil {
			parts[of.Of] = append(parts[of.Of], list...)
			continue
		}
		wait.Go(func() {
			for _, t := range list {
				exits, err := c.stopOne(ctx, t)
				note([]target{t}, exits, err)
			}
		})
	}
	for of, list := range parts {
		wait.Go(func() {
			exits, err := ensembles.Stop(ctx, c.Console, of, targetNames(list))
			note(list, exits, err)
		})
	}

	wait.Wait()
	err := errors.Join(failures...)
	if err != nil && len(done.Stopped) > 0 && ctx.Err() == nil {
		err = &console.Error{Code: console.Degraded, Err: err}
	}
	return errors.Join(c.showStopped(done), err)
}

// stopOne stops an application, or a server that is of no ensemble.
func (c command) stopOne(ctx context.Context, t target) ([]server.Stopped, error) {
	if t.app != nil {
		subject.TellMoment(c.Console, *t.app)
		return nil, t.app.Stop(ctx)
	}
	exit, err := server.Stop(ctx, *t.server)
	return []server.Stopped{exit}, err
}

func (c command) showStopped(done stopped) error {
	slices.Sort(done.Stopped)
	slices.SortFunc(done.Servers, func(a, b server.Stopped) int { return strings.Compare(a.Name, b.Name) })
	if asJSON, err := c.JSON(done); asJSON {
		return err
	}

	for _, what := range done.Stopped {
		text := "stopped " + what
		for _, s := range done.Servers {
			if s.Name == what {
				text += ", which " + s.Exit.Text
			}
		}
		fmt.Fprintln(c.Out, text)
	}
	return nil
}
