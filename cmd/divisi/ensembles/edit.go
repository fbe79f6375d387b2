package ensembles

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/pelletier/go-toml/v2"
	"github.com/spf13/cobra"

	"github.com/divisi-go/divisi/cmd/divisi/console"
	"github.com/divisi-go/divisi/cmd/divisi/editor"
	"github.com/divisi-go/divisi/cmd/divisi/ensembles/history"
	"github.com/divisi-go/divisi/internal/config"
	"github.com/divisi-go/divisi/internal/ensemble"
	"github.com/divisi-go/divisi/internal/home"
)

func (c command) edit() *cobra.Command {
	var yes bool
	var timeout time.Duration
	cmd := &cobra.Command{
		Use:   "edit [/DOMAIN]",
		Short: "Edit the document of an ensemble in an editor",
		Long: "Open the newest document in the editor that VISUAL or EDITOR names, show what the one that was saved changes, and\n" +
			"apply it. A mistake is told with its line and column, and the text offered again, or kept. The file that the\n" +
			"document came from stays as it is.",
		Example: "  divisi ensemble edit /test\n  EDITOR=nano divisi ensemble edit --yes",
		Args:    atMostOne,
		RunE: func(cmd *cobra.Command, args []string) error {
			h, err := home.Find()
			if err != nil {
				return err
			}
			s, err := pick(h, strings.Join(args, ""))
			if err != nil {
				return err
			}
			seen, err := s.Last()
			if err != nil {
				return explain(err)
			}
			return editor.Edit(cmd.Context(), c.Console, DocumentFile, seen.Text, func(file, text string) error {
				e, err := ensemble.Parse(file, text, ensemble.Said{})
				if err == nil && e.Domain != s.Domain {
					err = console.UsageError("the document is of %s now, and what is edited is %s: divisi up runs another ensemble", e.Domain, s.Domain)
				}
				if err != nil {
					return err
				}
				return c.change(cmd.Context(), h, s, yes, timeout, func(last history.Revision) (history.Revision, error) {
					if last.Number != seen.Number {
						return last, s.Changed()
					}
					next := history.Revision{File: last.File, Text: text, Why: "divisi ensemble edit"}
					if err := keepSaid(&next, e, last); err != nil {
						return next, err
					}
					before, after, err := meanings(last, next)
					if err == nil {
						fmt.Fprint(c.Err, planText(ensemble.Plan(before, after)))
					}
					return next, err
				})
			})
		},
	}
	cmd.Flags().BoolVar(&yes, "yes", false, "confirm that more than one server is replaced or stopped")
	console.TimeoutFlag(cmd, &timeout, 2*time.Minute)
	return cmd
}

// given is a document that somebody gives.
type given struct {
	shelf history.Shelf // of its ensemble
	next  history.Revision
	means *ensemble.Ensemble
	seen  int // the number of the revision that it is made of; 0 for none
}

// take returns the document that a file is, or the newest one with a file merged.
func take(h home.Home, file string, merged bool) (g given, err error) {
	if merged {
		return merge(h, file)
	}
	g.next, g.means, err = document(file)
	if err == nil {
		g.shelf = history.Of(h, g.means.Domain)
	}
	return g, err
}

// follow returns the document as the revision after another one.
func (g given) follow(last history.Revision) (history.Revision, error) {
	if g.seen > 0 && last.Number != g.seen {
		return last, g.shelf.Changed()
	}
	return g.next, keepSaid(&g.next, g.means, last)
}

// mergeFlag has a command merge a file.
func mergeFlag(cmd *cobra.Command, merged *bool) {
	cmd.Flags().BoolVar(merged, "merge", false, "the file has a part of a document, whose keys have the place of those of the newest one")
}

// merge returns the newest revision of an ensemble with what a file says in the place of what the document says of the same
// keys. The mistakes of the file are told with their places there.
func merge(h home.Home, file string) (g given, err error) {
	part, err := history.Read(file)
	if err != nil {
		return g, err
	}
	var document ensemble.Document
	if err := config.Read(file, part.Text, &document, func(*config.File) {}); err != nil {
		return g, err
	}
	if g.shelf, err = pick(h, document.Ensemble.Domain); err != nil {
		return g, err
	}
	last, err := g.shelf.Last()
	if err != nil {
		return g, explain(err)
	}
	below, err := ensemble.ReadTable(last.File, last.Text)
	over, wrong := ensemble.ReadTable(file, part.Text)
	if err = errors.Join(err, wrong); err != nil {
		return g, err
	}
	text, err := toml.Marshal(ensemble.Merge(over, below))
	if err != nil {
		return g, err
	}
	g.seen, g.next = last.Number, history.Revision{File: last.File, Text: string(text)}
	g.means, err = ensemble.Parse(last.File+" with "+file, g.next.Text, ensemble.Said{})
	return g, err
}
