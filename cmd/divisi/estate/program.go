package estate

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path"
	"slices"
	"strings"
	"time"

	"github.com/divisi-go/divisi/cmd/divisi/console"
	"github.com/divisi-go/divisi/internal/claimed"
	"github.com/divisi-go/divisi/internal/control"
	"github.com/divisi-go/divisi/internal/home"
	"github.com/divisi-go/divisi/internal/keeper"
	"github.com/divisi-go/divisi/internal/keeper/door"
	"github.com/divisi-go/divisi/internal/lifecycle"
	"github.com/divisi-go/divisi/internal/operator"
	"github.com/divisi-go/divisi/internal/server"
)

// program is a program of package system that does not run while its servers do. Only the program itself
// decides about them again, when it is run.
type program struct {
	home home.Home
	of   control.Status
}

var _ Decider = (*program)(nil)

// unattendedPrograms returns the programs of which nothing but servers runs, and the names of those that run
// themselves.
func unattendedPrograms(h home.Home, list []keeper.Proc) (found []Application, decided []string, err error) {
	domains, err := h.Desks()
	if err != nil {
		return nil, nil, err
	}
	for _, domain := range domains {
		outside := func(p keeper.Proc) bool { return !keeper.Within(p.Domain, domain) || isReplica(p) }
		servers := slices.DeleteFunc(slices.Clone(list), outside)
		shelf := operator.NewShelf(h.Domain(domain).Desk)
		last, known := shelf.Command()
		switch {
		case len(servers) == 0 && len(shelf.Hosts()) == 0 || !known:
		case answers(h.Domain(domain).Door):
			decided = append(decided, nameOf(domain))
		default:
			status := programStatus(domain, servers, last)
			status.Controller.LogDir, status.Unseen = h.Domain(domain).Logs, shelf.Hosts()
			found = append(found, Application{&program{h, status}, status, nil, h})
		}
	}
	return found, decided, nil
}

// nameOf returns the name of the program in a domain.
func nameOf(domain string) string { return strings.TrimPrefix(domain, "/") }

// programStatus is the status of a program, as the keeper has its servers.
func programStatus(domain string, servers []keeper.Proc, last operator.Command) control.Status {
	s := control.Status{
		App: nameOf(domain), Domain: domain, State: control.NotRunning, Unattended: true,
		Binary: last.Binary, Again: last.String(),
		Listeners: []control.ListenerStatus{}, Groups: []control.GroupStatus{}, Edges: []control.Edge{}, Replicas: []control.ReplicaStatus{},
		Members: []control.Member{{Path: domain, Kind: "program", State: control.NotRunning}},
	}
	slices.SortStableFunc(servers, func(a, b keeper.Proc) int {
		return cmp.Or(strings.Compare(a.Domain, b.Domain), cmp.Compare(a.Born, b.Born))
	})
	for _, p := range servers {
		row := operator.Row(s.App, p)
		row.Unattended = true
		s.Replicas = append(s.Replicas, row)
		if s.Started.IsZero() || p.Started.Before(s.Started) {
			s.Started = p.Started
		}
		s.Members = append(s.Members, scopes(s.Members, p.Domain)...)
		s.Members = append(s.Members, control.Member{
			Path: path.Join(p.Domain, p.Name), Kind: operator.KindServer, State: string(p.State), Since: p.Since, Restarts: p.Restarts,
		})
	}
	s.Members[0].Since = s.Started
	return s
}

// scopes returns the nurseries around a domain that are not among some members, the outermost first.
func scopes(known []control.Member, domain string) (missing []control.Member) {
	for !slices.ContainsFunc(known, func(m control.Member) bool { return m.Path == domain }) {
		missing = append(missing, control.Member{Path: domain, Kind: operator.KindScope, State: string(lifecycle.Stopped)})
		domain = path.Dir(domain)
	}
	slices.Reverse(missing)
	return missing
}

// Metrics returns none, as of a program that runs.
func (*program) Metrics(context.Context) ([]control.ReplicaMetrics, error) {
	return []control.ReplicaMetrics{}, nil
}

// Profile has none to return.
func (p *program) Profile(context.Context, string, string, time.Duration) (control.Profiles, error) {
	return control.Profiles{}, fmt.Errorf("%s is no application of components: profile its servers by their own means", p.of.App)
}

// Stop stops what the program has started, the last one first, and returns when all of it has ended. It drains
// applications of components before.
func (p *program) Stop(ctx context.Context) error {
	apps, err := Unattended(ctx, p.home)
	if err != nil {
		return err
	}
	for _, app := range apps {
		if !app.Status.IsProgram() && keeper.Within(app.Status.Domain, p.of.Domain) {
			err = errors.Join(err, app.Stop(ctx))
		}
	}
	if err != nil {
		return err
	}

	k, err := door.Attach(ctx, p.home, keeper.Claim{
		Domain: p.of.Domain, Who: fmt.Sprintf("divisi stop %s (process %d)", p.of.App, os.Getpid()),
	})
	if err != nil {
		return err
	}
	defer k.Release()
	list, err := k.List(ctx, p.of.Domain)
	slices.SortFunc(list, func(a, b keeper.Proc) int { return cmp.Compare(b.Born, a.Born) })
	for _, s := range list {
		_, failed := k.Stop(ctx, s.ID)
		if !errors.Is(failed, keeper.ErrUnknown) { // it has just ended
			err = errors.Join(err, failed)
		}
	}
	if err != nil {
		return err
	}
	if err := claimed.New(&server.Host{Keeper: k}, slog.Default()).CloseUnused(ctx, p.of.Domain); err != nil {
		return err
	}
	if len(p.of.Unseen) > 0 {
		return console.Failure("run it again, and stop it then: "+p.of.Again,
			"%s does not run, and only it reaches its servers on %s, which go on", p.of.App, strings.Join(p.of.Unseen, ", "))
	}
	return nil
}
