package ensembles

import (
	"context"
	"slices"
	"time"

	"github.com/divisi-go/divisi/cmd/divisi/console"
	"github.com/divisi-go/divisi/cmd/divisi/ensembles/content"
	"github.com/divisi-go/divisi/cmd/divisi/ensembles/history"
	"github.com/divisi-go/divisi/cmd/divisi/server"
	"github.com/divisi-go/divisi/internal/ensemble"
	"github.com/divisi-go/divisi/internal/home"
	"github.com/divisi-go/divisi/internal/selection"
)

// Pick returns the ensemble that somebody means: that of a domain, or without one that of the current domain, or else the
// only one that there is.
func Pick(h home.Home, asked string) (history.Shelf, error) { return pick(h, asked) }

// Recipient returns the ensemble that content is for, and its first revision if it has none yet: that is the document of this
// folder.
func Recipient(h home.Home, domain string) (s history.Shelf, first history.Revision, err error) {
	all, err := known(h)
	if err != nil {
		return s, first, err
	}
	if domain != "" {
		domain = selection.Resolve(domain, server.Current())
	}
	if file := meant(""); file != "" && !slices.Contains(all, domain) {
		r, e, err := document(file)
		if err != nil {
			return s, first, err
		}
		if domain == "" || domain == e.Domain {
			return history.Of(h, e.Domain), r, nil
		}
	}
	s, err = pick(h, domain)
	return s, first, err
}

// Change adds a revision that follows the last one, and has what runs become that, within a time. What replaces or stops more
// than one server is to be confirmed.
func Change(ctx context.Context, shared *console.Console, h home.Home, s history.Shelf, yes bool, limit time.Duration, follow func(last history.Revision) (history.Revision, error)) error {
	return command{shared}.change(ctx, h, s, yes, limit, follow)
}

// lacks says what servers of an ensemble use that was not pushed.
func lacks(e *ensemble.Ensemble) error {
	if keys := e.Lacks(); len(keys) > 0 {
		return content.Missed(keys[0])
	}
	return nil
}

// complete says what the newest revision lacks.
func complete(s history.Shelf) error {
	r, err := s.Last()
	if err != nil {
		return explain(err)
	}
	e, err := r.Parse()
	if err != nil {
		return err
	}
	return lacks(e)
}
