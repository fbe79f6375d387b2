package estate

import (
	"context"
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"time"

	"github.com/divisi-go/divisi/internal/control"
	"github.com/divisi-go/divisi/internal/home"
	"github.com/divisi-go/divisi/internal/keeper"
)

// Application is one that runs, with whoever decides about it.
type Application struct {
	Decider
	Status control.Status
	Client *control.Client // of the door of its deployer; nil if it is unattended
	home   home.Home
}

// Find returns the applications that run, by name. The error names each application that does not answer.
func Find(ctx context.Context, h home.Home) ([]Application, error) {
	doors, err := h.Doors()
	if err != nil {
		return nil, err
	}

	var apps []Application
	attended, silent := control.Find(ctx, doors)
	for _, r := range attended {
		apps = append(apps, Application{r.Client, r.Status, r.Client, h})
	}
	unattended, err := findUnattended(ctx, h)
	for _, u := range unattended {
		same := func(a Application) bool { return a.Status.App == u.status.App }
		if !slices.ContainsFunc(apps, same) { // else a deployer has come meanwhile
			apps = append(apps, Application{u, u.status, nil, h})
		}
	}
	slices.SortStableFunc(apps, func(a, b Application) int { return strings.Compare(a.Status.App, b.Status.App) })
	return apps, errors.Join(silent, err)
}

// Replicas returns those of all applications, by application. The error is about those that do not answer.
func Replicas(ctx context.Context, h home.Home) ([]control.ReplicaStatus, error) {
	doors, err := h.Doors()
	if err != nil {
		return nil, err
	}

	all, silent := control.Servers(ctx, doors)
	attended := all
	unattended, err := findUnattended(ctx, h)
	for _, u := range unattended {
		own := func(r control.ReplicaStatus) bool { return r.App == u.status.App }
		if !slices.ContainsFunc(attended, own) { // else a deployer has come meanwhile
			all = append(all, u.status.Replicas...)
		}
	}
	slices.SortStableFunc(all, func(a, b control.ReplicaStatus) int { return strings.Compare(a.App, b.App) })
	return all, errors.Join(silent, err)
}

// Owns reports whether a server ends with the application: a replica, or whatever is in the domain of one
// that somebody decides about.
func (a Application) Owns(p keeper.Proc) bool {
	return keeper.Within(p.Domain, a.Status.Domain) && (!a.Status.Unattended || isReplica(p))
}

// often is how often it is asked how an application is about which nobody decides.
const often = 300 * time.Millisecond

// Next returns the application as it is a moment later, whoever decides about it then. The error is
// [ErrNothing] if it runs no longer.
func (a Application) Next(ctx context.Context) (Application, error) {
	select {
	case <-time.After(often):
	case <-ctx.Done():
		return a, context.Cause(ctx)
	}
	apps, silent := Find(ctx, a.home)
	for _, next := range apps {
		if next.Status.App == a.Status.App {
			return next, nil
		}
	}
	if silent != nil {
		return a, silent
	}
	return a, ErrNothing
}

// Gone returns when the application runs no longer, whoever decides about it meanwhile, or when ctx ends.
func (a Application) Gone(ctx context.Context) {
	for {
		if a.Client != nil {
			_ = a.Client.Stream(ctx, "events", nil, func(json.RawMessage) error { return nil })
		}
		next, err := a.Next(ctx)
		if ctx.Err() != nil || errors.Is(err, ErrNothing) {
			return
		}
		a = next
	}
}
