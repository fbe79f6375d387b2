package ensembles

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/divisi-go/divisi/cmd/divisi/console"
	"github.com/divisi-go/divisi/cmd/divisi/ensembles/history"
	"github.com/divisi-go/divisi/cmd/divisi/server"
	"github.com/divisi-go/divisi/internal/control"
	"github.com/divisi-go/divisi/internal/ensemble"
	"github.com/divisi-go/divisi/internal/home"
	"github.com/divisi-go/divisi/internal/name"
	"github.com/divisi-go/divisi/internal/selection"
)

// meanings returns what the last revision means, nil if there is none, and what the next one does.
func meanings(last, next history.Revision) (before, after *ensemble.Ensemble, err error) {
	if last.Number > 0 {
		if before, err = last.Parse(); err != nil {
			return nil, nil, err
		}
	}
	after, err = next.Parse()
	return before, after, err
}

// add adds the revision that follows the last one, unless it says the same, and reports whether it did. What replaces or stops
// more than one server is confirmed.
func (c command) add(ctx context.Context, h home.Home, s history.Shelf, yes bool, follow func(last history.Revision) (history.Revision, error)) (bool, error) {
	last, err := s.Last()
	if err != nil && !errors.Is(err, history.ErrNone) {
		return false, err
	}
	next, err := follow(last)
	if err != nil {
		return false, err
	}
	if last.Number > 0 && next.Text == last.Text && next.File == last.File && next.Said.Equal(last.Said) {
		return false, nil
	}
	before, after, err := meanings(last, next)
	if err != nil {
		return false, err
	}
	next.Down = after.Stopped() // that of others means nothing any more

	now, _ := see(ctx, h, s)
	if now.runs {
		if err := lacks(after); err != nil {
			return false, err
		}
	}
	if now.runs && !yes {
		var touched []string
		for _, change := range ensemble.Plan(before, after) {
			if change.Kind != ensemble.Start {
				touched = append(touched, string(change.Kind)+" "+change.Server)
			}
		}
		if len(touched) > 1 {
			return false, console.UsageError("%d servers would be touched: %s: add --yes to say that you mean it", len(touched), strings.Join(touched, ", "))
		}
	}
	if err := h.Make(); err != nil { // through which servers of other users can go
		return false, err
	}
	_, err = s.Add(next, last.Number)
	return err == nil, err
}

// change adds a revision, and has what runs become that.
func (c command) change(ctx context.Context, h home.Home, s history.Shelf, yes bool, limit time.Duration, follow func(last history.Revision) (history.Revision, error)) error {
	added, err := c.add(ctx, h, s, yes, follow)
	if err != nil {
		return explain(err)
	}
	now, err := look(ctx, h, s)
	switch {
	case err != nil:
		return err
	case !added:
		return c.report(s, "is as it was")
	case now.app.Client == nil:
		fmt.Fprintf(c.Err, "divisi: it is kept, and nobody runs the ensemble: divisi up %s does\n", s.Domain)
		return c.report(s, "is kept")
	}
	return c.renew(ctx, s, now.app.Client, limit)
}

// renew is become with a limit of time, and says how the ensemble is then.
func (c command) renew(ctx context.Context, s history.Shelf, client *control.Client, limit time.Duration) error {
	err := console.Within(ctx, limit, func(ctx context.Context) error { return c.become(ctx, s, client) })
	if err != nil {
		return err
	}
	return c.report(s, "runs")
}

// become has the command that runs an ensemble take its own place, and waits until the newest revision has settled, or
// another one in its place.
func (c command) become(ctx context.Context, s history.Shelf, client *control.Client) error {
	wanted, err := s.Last()
	if err != nil {
		return err
	}
	own, err := os.Executable()
	if err != nil {
		return err
	}
	_, err = client.Replace(ctx, own)
	if failed := s.Outcome(wanted.Number).Failed; failed != "" {
		return console.Failure("the revision before goes on: divisi ensemble history "+s.Domain, "revision %d of %s has failed: %s", wanted.Number, s.Domain, failed)
	}
	return err
}

func (c command) scale() *cobra.Command {
	var yes bool
	var timeout time.Duration
	cmd := &cobra.Command{
		Use:   "scale NAME@DOMAIN=NUMBER...",
		Short: "Have more or fewer servers of a kind in an ensemble",
		Long: "Have so many servers of an entry of the document that says count, or of a role in any domain of the\n" +
			"ensemble: httpd@/test/www=3 are httpd-0, httpd-1 and httpd-2. The last ones stop first. It is so\n" +
			"from then on, until the document itself says another number.",
		Example: "  divisi scale httpd@/test/www=3\n  divisi scale httpd@/test/www=1 --yes",
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) == 0 {
				return errors.New("give servers and a number, as httpd@/test/www=3")
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			h, err := home.Find()
			if err != nil {
				return err
			}
			counts, err := parseCounts(args)
			if err != nil {
				return err
			}
			s, err := together(h, counts)
			if err != nil {
				return err
			}
			return c.change(cmd.Context(), h, s, yes, timeout, scaled(counts, strings.Join(args, " ")))
		},
	}
	cmd.Flags().BoolVar(&yes, "yes", false, "confirm that more than one server is stopped")
	console.TimeoutFlag(cmd, &timeout, 2*time.Minute)
	return cmd
}

// scaled returns what has the next revision have other numbers, which somebody has said.
func scaled(counts ensemble.Counts, said string) func(last history.Revision) (history.Revision, error) {
	return func(last history.Revision) (history.Revision, error) {
		last.Why = "divisi scale " + said
		merged := maps.Clone(counts)
		for full, n := range last.Counts {
			if _, again := merged[full]; !again {
				merged[full] = n
			}
		}
		last.Counts = merged
		return last, nil
	}
}

// parseCounts reads NAME@DOMAIN=NUMBER.
func parseCounts(args []string) (ensemble.Counts, error) {
	counts := ensemble.Counts{}
	for _, arg := range args {
		of, number, _ := strings.Cut(arg, "=")
		n, err := strconv.Atoi(number)
		bare, domain, placed := strings.Cut(of, "@")
		if err != nil || !placed {
			return nil, console.UsageError("%s: write NAME@/DOMAIN=NUMBER, such as httpd@/test/www=3", arg)
		}
		id, err := name.ParseServer(bare + "@" + selection.Resolve(domain, server.Current()))
		if err != nil {
			return nil, &console.Error{Code: console.Usage, Err: err}
		}
		counts[id.String()] = n
	}
	return counts, nil
}

// together returns the ensemble that all entries are in.
func together(h home.Home, counts ensemble.Counts) (s history.Shelf, err error) {
	all, err := known(h)
	for full := range counts {
		if err != nil {
			return s, err
		}
		_, domain, _ := strings.Cut(full, "@")
		var next history.Shelf
		next, err = around(h, all, domain)
		if s.Domain != "" && next.Domain != s.Domain {
			return s, console.UsageError("%s and %s are two ensembles: scale each by itself", s.Domain, next.Domain)
		}
		s = next
	}
	return s, err
}
