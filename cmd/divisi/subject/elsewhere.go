package subject

import (
	"context"
	"slices"
	"strings"

	"github.com/divisi-go/divisi/cmd/divisi/console"
	"github.com/divisi-go/divisi/cmd/divisi/estate"
	"github.com/divisi-go/divisi/internal/control"
)

// Elsewhere is a server on another host than its program, which alone knows of it.
type Elsewhere struct {
	Of     estate.Application
	Server control.ReplicaStatus
}

// FindElsewhere returns the server of a name that is on another host, nil if there is none.
func FindElsewhere(ctx context.Context, asked string) (*Elsewhere, error) {
	apps, _ := Running(ctx) // those that do not answer have none to look at
	found := elsewhere(apps, asked)
	switch len(found) {
	case 0:
		return nil, nil
	case 1:
		return found[0], nil
	}
	var names []string
	for _, e := range found {
		names = append(names, e.Server.Name)
	}
	slices.Sort(names)
	if names = slices.Compact(names); len(names) == 1 {
		return found[0], nil
	}
	return nil, console.UsageError("several servers have the name %s: give one of %s", asked, strings.Join(names, ", "))
}

// elsewhere returns the servers of a name that are on other hosts than the programs that have them.
func elsewhere(apps []estate.Application, asked string) (found []*Elsewhere) {
	for _, app := range apps {
		for _, r := range app.Status.Replicas {
			bare, _, _ := strings.Cut(r.Name, "@")
			if app.Client != nil && r.Elsewhere() && (bare == asked || r.Name == asked) {
				found = append(found, &Elsewhere{app, r})
			}
		}
	}
	return found
}

// Gone returns when the program has the server no longer, or when ctx ends.
func (e *Elsewhere) Gone(ctx context.Context) {
	app := e.Of
	for {
		next, err := app.Next(ctx)
		has := func(r control.ReplicaStatus) bool { return r.Name == e.Server.Name && r.Host == e.Server.Host }
		if err != nil || next.Client != nil && !slices.ContainsFunc(next.Status.Replicas, has) {
			return
		}
		app = next
	}
}

// HasElsewhere reports whether an application that somebody decides about has servers on other hosts.
func HasElsewhere(app estate.Application) bool {
	return app.Client != nil && slices.ContainsFunc(app.Status.Members, func(m control.Member) bool {
		return m.Host != "" && m.Host != control.Local
	})
}

// Unseen says which servers of a program nobody sees while it does not run, "" if none are.
func Unseen(s control.Status) string {
	if len(s.Unseen) == 0 {
		return ""
	}
	return "its servers on " + strings.Join(s.Unseen, ", ") + " go on, and are not seen until it runs again"
}
