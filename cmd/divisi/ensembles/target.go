package ensembles

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/divisi-go/divisi/cmd/divisi/console"
	"github.com/divisi-go/divisi/cmd/divisi/ensembles/history"
	"github.com/divisi-go/divisi/cmd/divisi/estate"
	"github.com/divisi-go/divisi/cmd/divisi/server"
	"github.com/divisi-go/divisi/internal/home"
	"github.com/divisi-go/divisi/internal/keeper"
	"github.com/divisi-go/divisi/internal/name"
	"github.com/divisi-go/divisi/internal/selection"
)

// DocumentFile is the document in a folder, unless another one is named.
const DocumentFile = "ensemble.toml"

// known returns the domains of all ensembles.
func known(h home.Home) ([]string, error) {
	all, err := h.Ensembles()
	return slices.DeleteFunc(all, func(domain string) bool {
		numbers, _ := history.Of(h, domain).Numbers()
		return len(numbers) == 0
	}), err
}

// pick returns the ensemble that somebody means: that of a domain, or without one that of the current domain, or else the
// only one that there is.
func pick(h home.Home, asked string) (history.Shelf, error) {
	all, err := known(h)
	if err != nil {
		return history.Shelf{}, err
	}
	if asked != "" {
		domain := selection.Resolve(asked, server.Current())
		if !slices.Contains(all, domain) {
			return history.Shelf{}, console.Failure("", "there is no ensemble %s: %s", domain, name.Suggest(domain, all))
		}
		return history.Of(h, domain), nil
	}
	if s, err := around(h, all, server.Current()); err == nil {
		return s, nil
	}
	switch len(all) {
	case 0:
		return history.Shelf{}, console.Failure("divisi up ENSEMBLE.toml runs one", "there is no ensemble")
	case 1:
		return history.Of(h, all[0]), nil
	}
	return history.Shelf{}, console.UsageError("there are several ensembles: give one of %s", strings.Join(all, ", "))
}

// Find returns the ensemble that has a domain in it.
func Find(domain string) (history.Shelf, error) {
	h, err := home.Find()
	if err != nil {
		return history.Shelf{}, err
	}
	all, err := known(h)
	if err != nil {
		return history.Shelf{}, err
	}
	return around(h, all, domain)
}

// around returns the ensemble that has a domain in it.
func around(h home.Home, all []string, domain string) (history.Shelf, error) {
	best := ""
	for _, one := range all {
		if name.Within(domain, one) && len(one) > len(best) {
			best = one
		}
	}
	if best == "" {
		return history.Shelf{}, console.Failure("", "no ensemble has the domain %s: %s", domain, name.Suggest(domain, all))
	}
	return history.Of(h, best), nil
}

// meant returns the document that somebody means, or "" if that is a domain, or nothing and there is no document here.
func meant(asked string) string {
	if strings.HasSuffix(asked, ".toml") {
		return asked
	}
	file := cmp.Or(asked, DocumentFile)
	info, err := os.Stat(file)
	if err != nil || !info.Mode().IsRegular() {
		return ""
	}
	return file
}

// state is what there is of an ensemble.
type state struct {
	app        estate.Application
	runs       bool         // something of it does, with or without the command that runs it
	controller *keeper.Proc // the command that runs it, if the keeper has that; nil if not
}

// comeTime is how long to wait for a command that the keeper starts again.
const comeTime = 10 * time.Second

// look returns what there is of an ensemble. A command that the keeper has just started is waited for.
func look(ctx context.Context, h home.Home, s history.Shelf) (now state, err error) {
	end := time.Now().Add(comeTime)
	for {
		if now, err = see(ctx, h, s); err != nil || now.controller == nil || now.app.Client != nil || time.Now().After(end) {
			return now, err
		}
		select {
		case <-time.After(50 * time.Millisecond):
		case <-ctx.Done():
			return now, context.Cause(ctx)
		}
	}
}

func see(ctx context.Context, h home.Home, s history.Shelf) (now state, err error) {
	list, err := server.All(ctx)
	if err != nil {
		return now, err
	}
	for _, p := range server.Find(list, controller(s).String()) {
		now.controller = &p
	}
	all, err := estate.Find(ctx, h)
	for _, app := range all {
		if app.Status.Domain == s.Domain {
			now.app, now.runs, err = app, true, nil
		}
	}
	return now, err
}

// ended waits until the command has ended that ran the ensemble, which may write files of servers until then.
func ended(ctx context.Context, h home.Home, s history.Shelf) error {
	for {
		now, err := see(ctx, h, s)
		if err != nil || now.controller == nil {
			return err
		}
		select {
		case <-time.After(50 * time.Millisecond):
		case <-ctx.Done():
			return fmt.Errorf("cannot wait for the end of %v: %w", controller(s), context.Cause(ctx))
		}
	}
}

// controllers is the domain around those of the commands that run ensembles which were left running.
const controllers = "/ensembles"

// controller returns the name of the command that runs the ensemble when it was left running.
func controller(s history.Shelf) name.Server {
	return name.Server{Name: "up", Domain: controllers + s.Domain}
}

// explain has the way out of errors that have one.
func explain(err error) error {
	if errors.Is(err, history.ErrNone) {
		return console.Failure("divisi up ENSEMBLE.toml runs one", "%w", err)
	}
	return err
}
