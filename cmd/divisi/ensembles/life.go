package ensembles

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/divisi-go/divisi/cmd/divisi/console"
	"github.com/divisi-go/divisi/cmd/divisi/ensembles/history"
	"github.com/divisi-go/divisi/cmd/divisi/server"
	"github.com/divisi-go/divisi/internal/home"
	"github.com/divisi-go/divisi/internal/keeper"
	"github.com/divisi-go/divisi/internal/name"
	"github.com/divisi-go/divisi/internal/selection"
)

// Server is a server of an ensemble, as the newest revision of that has it, whether it runs or not.
type Server struct {
	selection.Server
	Of      history.Shelf
	Stopped bool // and stays so, until somebody starts it
	Exec    bool // commands may run as it does
}

// servers returns those of an ensemble.
func servers(s history.Shelf) ([]Server, error) {
	r, err := s.Last()
	if err != nil {
		return nil, err
	}
	e, err := r.Parse()
	if err != nil {
		return nil, err
	}
	var all []Server
	for _, g := range e.Root.Groups() {
		for _, one := range g.All() {
			is := selection.Server{Server: one.Server, Roles: g.AllRoles(), Labels: g.Labels}
			all = append(all, Server{is, s, slices.Contains(r.Down, one.String()), *g.Exec})
		}
	}
	return all, nil
}

// Around returns the newest revision of the ensemble that has a domain in it.
func Around(domain string) (history.Revision, error) {
	s, err := Find(domain)
	if err != nil {
		return history.Revision{}, err
	}
	return s.Last()
}

// Servers returns those of all ensembles.
func Servers() (all []Server, err error) {
	h, err := home.Find()
	if err != nil {
		return nil, err
	}
	domains, err := known(h)
	for _, domain := range domains {
		those, wrong := servers(history.Of(h, domain))
		if wrong != nil && err == nil {
			err = wrong
		}
		all = append(all, those...)
	}
	return all, err
}

// Stop stops servers of one ensemble, which stay stopped, and returns how their processes have ended.
func Stop(ctx context.Context, shared *console.Console, of history.Shelf, servers []string) ([]server.Stopped, error) {
	c := command{shared}
	h, err := home.Find()
	if err != nil {
		return nil, err
	}
	before, err := processes(ctx, servers)
	if err != nil {
		return nil, err
	}
	_, err = c.add(ctx, h, of, true, func(last history.Revision) (history.Revision, error) {
		last.Why = "divisi stop " + strings.Join(servers, " ")
		last.Said = last.Said.Stop(servers...)
		return last, nil
	})
	if err != nil {
		return nil, explain(err)
	}
	now, err := look(ctx, h, of)
	if err != nil {
		return nil, err
	}
	if now.app.Client != nil {
		if err := c.become(ctx, of, now.app.Client); err != nil {
			return nil, err
		}
	}

	var all []server.Stopped
	for len(before) > 0 {
		for _, p := range before {
			end := server.Ended // the program has it stop
			if now.app.Client == nil {
				end = server.Stop
			}
			stopped, err := end(ctx, p)
			if err != nil && !errors.Is(err, keeper.ErrUnknown) {
				return all, err
			}
			all = slices.DeleteFunc(all, func(s server.Stopped) bool { return s.Name == stopped.Name })
			all = append(all, stopped)
		}
		select {
		case <-time.After(goneEvery):
		case <-ctx.Done():
			return all, context.Cause(ctx)
		}
		if before, err = processes(ctx, servers); err != nil {
			return all, err
		}
	}
	return all, nil
}

// goneEvery is how often it is asked whether a server that has no process any more is gone.
const goneEvery = 10 * time.Millisecond

// processes returns what the keeper has of some servers.
func processes(ctx context.Context, servers []string) ([]keeper.Proc, error) {
	list, err := server.All(ctx)
	return slices.DeleteFunc(list, func(p keeper.Proc) bool { return !slices.Contains(servers, p.ID.String()) }), err
}

// Again has servers of ensembles run again that somebody has stopped.
func Again(shared *console.Console) server.Again {
	return server.Again{Start: command{shared}.startAgain, Names: stoppedNames}
}

// stoppedNames returns the full names of all that are stopped.
func stoppedNames() (names []string) {
	all, _ := Servers() // for a shell, which shows no errors
	for _, one := range all {
		if one.Stopped {
			names = append(names, one.String())
		}
	}
	return names
}

func (c command) startAgain(ctx context.Context, asked string, yes bool, limit time.Duration) error {
	of, stopped, err := toStart(asked)
	if err != nil {
		return err
	}
	if len(stopped) > 1 && !yes {
		return console.UsageError("%d would be started: %s: add --yes to say that you mean it", len(stopped), strings.Join(stopped, ", "))
	}
	h, err := home.Find()
	if err != nil {
		return err
	}
	return c.change(ctx, h, of, true, limit, func(last history.Revision) (history.Revision, error) {
		last.Why = "divisi start " + asked
		last.Said = last.Said.Start(stopped...)
		return last, nil
	})
}

// toStart returns the stopped servers that a selector picks, which are in one ensemble.
func toStart(asked string) (of history.Shelf, stopped []string, err error) {
	s, err := server.Select(asked)
	if err != nil {
		return of, nil, err
	}
	all, err := Servers()
	if err != nil {
		return of, nil, err
	}
	var picked, names []string
	for _, one := range all {
		names = append(names, one.String())
		if !s.Picks(one.Server) {
			continue
		}
		picked = append(picked, one.String())
		switch {
		case !one.Stopped:
			continue
		case len(stopped) > 0 && of != one.Of:
			return of, nil, console.UsageError("%s picks servers of two ensembles, %s and %s: give a domain, as in %s@%s/...", asked, of.Domain, one.Of.Domain, asked, of.Domain)
		}
		of, stopped = one.Of, append(stopped, one.String())
	}
	switch {
	case len(picked) == 0 && (s.One() || s.Bare()):
		err := fmt.Errorf("give the program behind --: no ensemble has a server %q that could start again: %s", asked, name.Suggest(asked, names))
		return of, nil, &console.Error{Code: console.Usage, Err: err, Way: "divisi start " + asked + " -- PROGRAM"}
	case len(picked) == 0:
		return of, nil, console.Failure("what there is: divisi ensemble show --effective", "%s picks no server of an ensemble", asked)
	case len(stopped) == 0:
		return of, nil, console.Failure("divisi ps "+asked+" shows how it is, and divisi up runs an ensemble that does not", "nobody has stopped %s", strings.Join(picked, ", "))
	case len(stopped) > 1 && s.Bare():
		return of, nil, console.UsageError("several servers have the name %s: give one of %s", asked, strings.Join(stopped, ", "))
	}
	return of, stopped, nil
}
