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
	Client *control.Client // of the door of whoever decides; nil if it is unattended
	home   home.Home
}

// Find returns the applications that run, by name. The error names each application that does not answer.
func Find(ctx context.Context, h home.Home) ([]Application, error) {
	return look(ctx, h, func(a Application) string { return a.Status.App },
		func(doors []string) (apps []Application, err error) {
			attended, err := control.Find(ctx, doors)
			for _, r := range attended {
				apps = append(apps, Application{r.Client, r.Status, r.Client, h})
			}
			return apps, err
		},
		func(u Application) []Application { return []Application{u} })
}

// Unattended returns the applications and programs that run while nobody decides about them, by name.
func Unattended(ctx context.Context, h home.Home) ([]Application, error) {
	found, _, err := findUnattended(ctx, h)
	return found, err
}

// Replicas returns those of all applications, by application. The error is about those that do not answer.
func Replicas(ctx context.Context, h home.Home) ([]control.ReplicaStatus, error) {
	return look(ctx, h, func(r control.ReplicaStatus) string { return r.App },
		func(doors []string) ([]control.ReplicaStatus, error) { return control.Servers(ctx, doors) },
		func(u Application) []control.ReplicaStatus { return u.Status.Replicas })
}

// mostLooks bounds how often one looks again because a deployer has come meanwhile.
const mostLooks = 5

// look returns what is known of all applications, by their names: what the deployers say whose doors there
// are, and what the keeper knows of applications about which nobody decides.
//
// A deployer that comes between the two questions has no door yet at the first, and decides already at the
// second. Then both are asked again: its application would be missing.
func look[T any](ctx context.Context, h home.Home, app func(T) string,
	say func(doors []string) ([]T, error), of func(Application) []T,
) (all []T, err error) {
	for range mostLooks {
		doors, err := h.Doors()
		if err != nil {
			return nil, err
		}
		said, silent := say(doors)
		unattended, decided, err := findUnattended(ctx, h)

		all = said
		known := func(name string) bool {
			return slices.ContainsFunc(said, func(t T) bool { return app(t) == name })
		}
		for _, u := range unattended {
			if !known(u.Status.App) { // else a deployer has gone meanwhile
				all = append(all, of(u)...)
			}
		}
		slices.SortStableFunc(all, func(a, b T) int { return strings.Compare(app(a), app(b)) })
		came := func(name string) bool { return !known(name) }
		if err := errors.Join(silent, err); err != nil || !slices.ContainsFunc(decided, came) {
			return all, err
		}
	}
	return all, nil
}

// Owns reports whether a server ends with the application: a replica, or whatever is in the domain of a program
// or of an application that somebody decides about.
func (a Application) Owns(p keeper.Proc) bool {
	return keeper.Within(p.Domain, a.Status.Domain) && (!a.Status.Unattended || a.Status.IsProgram() || isReplica(p))
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
