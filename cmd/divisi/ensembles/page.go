package ensembles

import (
	"context"
	"errors"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/divisi-go/divisi/cmd/divisi/console"
	"github.com/divisi-go/divisi/cmd/divisi/dashboard"
	"github.com/divisi-go/divisi/cmd/divisi/ensembles/history"
	"github.com/divisi-go/divisi/internal/control"
	"github.com/divisi-go/divisi/internal/home"
)

// Page returns what the live page knows of ensembles, and does with them.
func Page() dashboard.Ensembles { return page{command{console.New(io.Discard, io.Discard)}} }

type page struct{ command }

// pageTime bounds what the page has an ensemble do.
const pageTime = 2 * time.Minute

// Of implements [dashboard.Ensembles].
func (page) Of(domain string) (*dashboard.Ensemble, error) {
	h, err := home.Find()
	if err != nil {
		return nil, err
	}
	all, err := known(h)
	if err != nil || !slices.Contains(all, domain) {
		return nil, err
	}
	r, err := history.Of(h, domain).Last()
	if err != nil {
		return nil, err
	}
	e, err := r.Parse()
	if err != nil {
		return nil, err
	}

	shown := &dashboard.Ensemble{Servers: []dashboard.Server{}, Numbers: []dashboard.Number{}}
	for _, g := range e.Root.Groups() {
		for _, s := range g.All() {
			shown.Servers = append(shown.Servers, dashboard.Server{
				Name: s.String(), Roles: append([]string{}, g.AllRoles()...), Stopped: slices.Contains(r.Down, s.String()),
			})
		}
		if g.Workers {
			shown.Numbers = append(shown.Numbers, dashboard.Number{Of: g.ID.String(), Number: g.Count})
		}
	}
	return shown, nil
}

// Do implements [dashboard.Ensembles]. The page has asked before whether it is meant.
func (p page) Do(ctx context.Context, domain, verb string, args []string) error {
	err := p.do(ctx, domain, verb, args)
	var wrong *console.Error
	if errors.As(err, &wrong) && wrong.Code == console.Usage {
		return &control.Error{Code: control.Invalid, Text: err.Error()}
	}
	return err
}

func (p page) do(ctx context.Context, domain, verb string, args []string) error {
	h, err := home.Find()
	if err != nil {
		return err
	}
	s := history.Of(h, domain)
	if verb == "scale" && len(args) == 2 {
		of := strings.Join(args, "=")
		counts, err := parseCounts([]string{of})
		if err != nil {
			return err
		}
		return p.change(ctx, h, s, true, pageTime, scaled(counts, of))
	}
	if len(args) != 1 || verb != "stop" && verb != "start" {
		return &control.Error{Code: control.Invalid, Text: "an ensemble can stop SERVER, start SERVER and scale NAME@DOMAIN NUMBER"}
	}
	all, err := servers(s)
	if err != nil {
		return err
	}
	at := slices.IndexFunc(all, func(one Server) bool { return one.String() == args[0] })
	if at < 0 {
		return &control.Error{Code: control.NotFound, Text: domain + " has no server " + args[0]}
	}
	if verb == "start" {
		return p.startAgain(ctx, args[0], true, pageTime)
	}
	_, err = Stop(ctx, p.Console, s, args)
	return err
}
