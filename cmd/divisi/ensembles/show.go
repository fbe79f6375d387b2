package ensembles

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"reflect"
	"strconv"
	"strings"
	"time"

	"github.com/pelletier/go-toml/v2"
	"github.com/spf13/cobra"

	"github.com/divisi-go/divisi/cmd/divisi/console"
	"github.com/divisi-go/divisi/cmd/divisi/ensembles/gerbil"
	"github.com/divisi-go/divisi/cmd/divisi/ensembles/history"
	"github.com/divisi-go/divisi/internal/ensemble"
	"github.com/divisi-go/divisi/internal/home"
)

// ensemble returns the command that is about documents and revisions.
func (c command) ensemble() *cobra.Command {
	cmd := &cobra.Command{
		Use:     "ensemble",
		Short:   "Show and change what an ensemble is to be",
		Long:    "Show what an ensemble is to be, plan and apply another document, and return to an earlier revision.",
		Example: "  divisi ensemble show --effective\n  divisi ensemble plan ensemble.toml\n  divisi ensemble revert 3",
	}
	cmd.AddCommand(c.show(), c.plan(), c.apply(), c.edit(), gerbil.Command(c.Console), c.history(), c.revert())
	return cmd
}

func (c command) show() *cobra.Command {
	var effective bool
	cmd := &cobra.Command{
		Use:   "show [ENSEMBLE.toml | /DOMAIN]",
		Short: "Show the document of an ensemble",
		Long: "Show the document as it is written, or with --effective what it means: every server with all layers, every\n" +
			"default, and what an operator has said besides. Of a file, nothing has to run.",
		Example: "  divisi ensemble show /test\n  divisi ensemble show ensemble.toml --effective",
		Args:    atMostOne,
		RunE: func(cmd *cobra.Command, args []string) error {
			r, err := c.revision(strings.Join(args, ""))
			if err != nil {
				return err
			}
			e, err := r.Parse()
			if err != nil {
				return err
			}
			meaning := plain(reflect.ValueOf(e.Effective()))
			if done, err := c.JSON(withStopped(meaning, e.Stopped())); done {
				return err
			}
			text := []byte(r.Text)
			if effective {
				if text, err = toml.Marshal(meaning); err != nil {
					return err
				}
				for _, server := range e.Stopped() {
					fmt.Fprintf(c.Out, "# stopped: %s\n", server)
				}
			}
			_, err = c.Out.Write(text)
			return err
		},
	}
	cmd.Flags().BoolVar(&effective, "effective", false, "with all that is left to layers and defaults")
	return cmd
}

// withStopped returns the meaning of a document with the servers that are stopped besides, of which a document says nothing.
func withStopped(meaning any, stopped []string) any {
	document, ok := meaning.(map[string]any)
	if !ok || len(stopped) == 0 {
		return meaning
	}
	both := maps.Clone(document)
	both["stopped"] = stopped
	return both
}

// plain returns a value of a document as a file has it: tables by their keys, without what says nothing, and times as texts.
func plain(v reflect.Value) any {
	switch {
	case v.Kind() == reflect.Pointer || v.Kind() == reflect.Interface:
		return plain(v.Elem())
	case v.Type() == reflect.TypeFor[time.Duration]():
		return v.Interface().(time.Duration).String()
	case v.Kind() == reflect.Map:
		all := map[string]any{}
		for _, key := range v.MapKeys() {
			all[key.String()] = plain(v.MapIndex(key))
		}
		return all
	case v.Kind() != reflect.Struct:
		return v.Interface()
	}

	all := map[string]any{}
	for _, f := range reflect.VisibleFields(v.Type()) {
		key, _, _ := strings.Cut(f.Tag.Get("toml"), ",")
		if value := v.FieldByIndex(f.Index); !f.Anonymous && !value.IsZero() {
			all[cmp.Or(key, strings.ToLower(f.Name))] = plain(value)
		}
	}
	return all
}

// revision returns what a document says, or the newest revision of an ensemble.
func (c command) revision(asked string) (history.Revision, error) {
	if asked != "" && meant(asked) != "" {
		r, _, err := document(asked)
		return r, err
	}
	h, err := home.Find()
	if err != nil {
		return history.Revision{}, err
	}
	s, err := pick(h, asked)
	if err != nil {
		return history.Revision{}, err
	}
	r, err := s.Last()
	return r, explain(err)
}

// oneFile has a command take a document.
func oneFile(_ *cobra.Command, args []string) error {
	if len(args) != 1 {
		return errors.New("give a document")
	}
	return nil
}

func (c command) plan() *cobra.Command {
	var merged bool
	cmd := &cobra.Command{
		Use:     "plan ENSEMBLE.toml",
		Short:   "Show what a document would change",
		Long:    "Show which servers a document would start, configure, replace and stop, and change nothing.",
		Example: "  divisi ensemble plan ensemble.toml\n  divisi ensemble plan --merge part.toml",
		Args:    oneFile,
		RunE: func(_ *cobra.Command, args []string) error {
			h, err := home.Find()
			if err != nil {
				return err
			}
			g, err := take(h, args[0], merged)
			if err != nil {
				return err
			}
			last, err := g.shelf.Last()
			if err != nil && !errors.Is(err, history.ErrNone) {
				return err
			}
			next, err := g.follow(last)
			if err != nil {
				return err
			}
			before, after, err := meanings(last, next)
			if err != nil {
				return err
			}
			changes := ensemble.Plan(before, after)
			if done, err := c.JSON(changes); done {
				return err
			}
			fmt.Fprint(c.Out, planText(changes))
			return nil
		},
	}
	mergeFlag(cmd, &merged)
	return cmd
}

// planText returns what changes, a line for each server.
func planText(changes []ensemble.Change) string {
	if len(changes) == 0 {
		return "nothing changes\n"
	}
	var b strings.Builder
	for _, change := range changes {
		text := fmt.Sprintf("%-9s %s", change.Kind, change.Server)
		if len(change.What) > 0 {
			text += ": " + strings.Join(change.What, ", ")
		}
		fmt.Fprintln(&b, text)
	}
	return b.String()
}

func (c command) apply() *cobra.Command {
	var yes, merged bool
	var timeout time.Duration
	cmd := &cobra.Command{
		Use:   "apply ENSEMBLE.toml",
		Short: "Have an ensemble be what a document says",
		Long: "Add a document as the next revision of its ensemble, and have what runs become that: what differs is\n" +
			"replaced, one server after the other; what is new starts; what is gone stops. If one does not become ready,\n" +
			"the revision before goes on. What an operator has said stays so, unless the document itself says something\n" +
			"else than before. An ensemble that does not run is not started.\n\n" +
			"With --merge the file has only what changes: the rest is as in the newest document, from whose folder paths are.",
		Example: "  divisi ensemble apply ensemble.toml --yes\n  divisi ensemble apply --merge part.toml",
		Args:    oneFile,
		RunE: func(cmd *cobra.Command, args []string) error {
			h, err := home.Find()
			if err != nil {
				return err
			}
			g, err := take(h, args[0], merged)
			if err != nil {
				return err
			}
			why := "divisi ensemble apply "
			if merged {
				why += "--merge "
			}
			return c.change(cmd.Context(), h, g.shelf, yes, timeout, func(last history.Revision) (history.Revision, error) {
				next, err := g.follow(last)
				next.Why = why + args[0]
				return next, err
			})
		},
	}
	mergeFlag(cmd, &merged)
	cmd.Flags().BoolVar(&yes, "yes", false, "confirm that more than one server is touched")
	console.TimeoutFlag(cmd, &timeout, 2*time.Minute)
	return cmd
}

func (c command) history() *cobra.Command {
	return &cobra.Command{
		Use:     "history [/DOMAIN]",
		Short:   "List the revisions of an ensemble",
		Long:    "List what an ensemble was to be, the newest last: 100 revisions at most, and what has become of each.",
		Example: "  divisi ensemble history /test",
		Args:    atMostOne,
		RunE: func(_ *cobra.Command, args []string) error {
			h, err := home.Find()
			if err != nil {
				return err
			}
			s, err := pick(h, strings.Join(args, ""))
			if err != nil {
				return err
			}
			return c.showHistory(s)
		},
	}
}

// past is a revision in a list.
type past struct {
	Number  int       `json:"number"`
	Time    time.Time `json:"time"`
	Who     string    `json:"who"`
	Why     string    `json:"why"`
	Outcome string    `json:"outcome"`
}

func (c command) showHistory(s history.Shelf) error {
	numbers, err := s.Numbers()
	if err != nil {
		return err
	}
	list := []past{}
	rows := [][]string{{"REVISION", "TIME", "WHO", "WHY", "OUTCOME"}}
	for _, n := range numbers {
		r, err := s.Get(n)
		if err != nil {
			return err
		}
		p := past{n, r.Time, r.Who, r.Why, "not run yet"}
		if o := s.Outcome(n); o.Failed != "" {
			first, _, _ := strings.Cut(o.Failed, "\n")
			p.Outcome = "failed: " + first
		} else if !o.Settled.IsZero() {
			p.Outcome = "settled"
		}
		list = append(list, p)
		rows = append(rows, []string{strconv.Itoa(n), r.Time.Local().Format(time.DateTime), cmp.Or(p.Who, "-"), p.Why, p.Outcome})
	}
	if done, err := c.JSON(list); done {
		return err
	}
	c.Columns(rows)
	return nil
}

func (c command) revert() *cobra.Command {
	var yes bool
	var timeout time.Duration
	cmd := &cobra.Command{
		Use:     "revert [/DOMAIN] NUMBER",
		Short:   "Have an ensemble be what it was in an earlier revision",
		Long:    "Add an earlier revision once more as the newest one, with all that was said then, and have what runs become that.",
		Example: "  divisi ensemble history\n  divisi ensemble revert 3 --yes",
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) < 1 || len(args) > 2 {
				return errors.New("give the number of a revision")
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			number, err := strconv.Atoi(args[len(args)-1])
			if err != nil {
				return console.UsageError("%s is no number of a revision: see divisi ensemble history", args[len(args)-1])
			}
			h, err := home.Find()
			if err != nil {
				return err
			}
			s, err := pick(h, strings.Join(args[:len(args)-1], ""))
			if err != nil {
				return err
			}
			return c.change(cmd.Context(), h, s, yes, timeout, func(history.Revision) (history.Revision, error) {
				old, err := s.Get(number)
				if err != nil {
					return old, console.Failure("divisi ensemble history "+s.Domain, "%s has no revision %d", s.Domain, number)
				}
				old.Why = fmt.Sprintf("divisi ensemble revert %d", number)
				return old, nil
			})
		},
	}
	cmd.Flags().BoolVar(&yes, "yes", false, "confirm that more than one server is replaced or stopped")
	console.TimeoutFlag(cmd, &timeout, 2*time.Minute)
	return cmd
}

// document returns the revision that a file is, for the first one of an ensemble or the next one.
func document(file string) (history.Revision, *ensemble.Ensemble, error) {
	r, err := history.Read(file)
	if err != nil {
		return r, nil, err
	}
	e, err := ensemble.Parse(file, r.Text, ensemble.Said{})
	return r, e, err
}
