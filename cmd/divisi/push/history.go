package push

import (
	"errors"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/divisi-go/divisi/cmd/divisi/console"
	"github.com/divisi-go/divisi/cmd/divisi/ensembles"
	"github.com/divisi-go/divisi/cmd/divisi/ensembles/content"
	"github.com/divisi-go/divisi/cmd/divisi/ensembles/history"
	"github.com/divisi-go/divisi/internal/ensemble"
	"github.com/divisi-go/divisi/internal/home"
	stored "github.com/divisi-go/divisi/internal/program"
)

// oneContent has a command take content, and a revision if it says so.
func oneContent(most int) cobra.PositionalArgs {
	return func(_ *cobra.Command, args []string) error {
		if len(args) < 1 || len(args) > most {
			return errors.New("say which content, as divisi push list shows it, such as fs or env.www")
		}
		return nil
	}
}

// completeContent completes what was pushed.
func completeContent(_ *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
	h, err := home.Find()
	if err != nil || len(args) > 0 {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	s, _ := ensembles.Pick(h, "")
	last, _ := s.Last() // without one there is nothing to complete
	return slices.Sorted(maps.Keys(last.Content)), cobra.ShellCompDirectiveNoFileComp
}

// of returns the ensemble and the key of content that somebody names, such as env.www@/test, and that was pushed.
func of(asked string) (s history.Shelf, key string, err error) {
	h, err := home.Find()
	if err != nil {
		return s, "", err
	}
	key, domain, _ := strings.Cut(asked, "@")
	s, err = ensembles.Pick(h, domain)
	if err != nil {
		return s, "", err
	}
	last, err := s.Last()
	if err == nil && last.Content[key] == "" {
		err = console.Failure("divisi push list "+s.Domain+" lists what was", "no %s was pushed to %s", key, s.Domain)
	}
	return s, key, err
}

// version is content as it was from a revision on.
type version struct {
	Revision int       `json:"revision"`
	Time     time.Time `json:"time"`
	Sum      string    `json:"sha256"`
	Why      string    `json:"why"`
}

// versions returns what content was, the oldest first, with the revision that began with it.
func versions(s history.Shelf, key string) (all []version, err error) {
	numbers, err := s.Numbers()
	if err != nil {
		return nil, err
	}
	before := ""
	for _, n := range numbers {
		r, err := s.Get(n)
		if err != nil {
			return nil, err
		}
		if sum := r.Content[key]; sum != before {
			all = append(all, version{n, r.Time, sum, r.Why})
			before = sum
		}
	}
	return all, nil
}

func (c command) history() *cobra.Command {
	return &cobra.Command{
		Use:     "history CONTENT[@DOMAIN]",
		Short:   "List what content was",
		Long:    "List what content was, the newest last, with the revisions that began with it.",
		Example: "  divisi push history fs\n  divisi push history env.www@/test",
		Args:    oneContent(1), ValidArgsFunction: completeContent,
		RunE: func(_ *cobra.Command, args []string) error {
			s, key, err := of(args[0])
			if err != nil {
				return err
			}
			list, err := versions(s, key)
			if err != nil {
				return err
			}
			if done, err := c.JSON(list); done {
				return err
			}
			rows := [][]string{{"REVISION", "TIME", "SHA256", "WHY"}}
			for _, v := range list {
				rows = append(rows, []string{strconv.Itoa(v.Revision), v.Time.Local().Format(time.DateTime), content.Brief(v.Sum), v.Why})
			}
			c.Columns(rows)
			return nil
		},
	}
}

func (c command) revert() *cobra.Command {
	var yes bool
	var timeout time.Duration
	cmd := &cobra.Command{
		Use:   "revert CONTENT[@DOMAIN] [REVISION]",
		Short: "Have content be what it was",
		Long: "Have content be what it was before, or in a revision, and nothing else. Twice is as if nothing had been.\n" +
			"divisi ensemble revert goes back with all that was said then.",
		Example: "  divisi push revert fs\n  divisi push revert env.www@/test 3",
		Args:    oneContent(2), ValidArgsFunction: completeContent,
		RunE: func(cmd *cobra.Command, args []string) error {
			s, key, err := of(args[0])
			if err != nil {
				return err
			}
			sum, err := earlier(s, key, args[1:])
			if err != nil {
				return err
			}
			h, err := home.Find()
			if err != nil {
				return err
			}
			if err := content.Here(stored.Store(h), ensemble.Content{key: sum}); err != nil {
				return err
			}
			return ensembles.Change(cmd.Context(), c.Console, h, s, yes, timeout, func(last history.Revision) (history.Revision, error) {
				last.Why = "divisi push revert " + strings.Join(args, " ")
				last.Said = last.Push(key, sum)
				return last, nil
			})
		},
	}
	cmd.Flags().BoolVar(&yes, "yes", false, "confirm that more than one server is replaced")
	console.TimeoutFlag(cmd, &timeout, 2*time.Minute)
	return cmd
}

// earlier returns what content was in a revision that somebody names, or else before it was what it is.
func earlier(s history.Shelf, key string, asked []string) (sum string, err error) {
	if len(asked) > 0 {
		number, err := strconv.Atoi(asked[0])
		if err != nil {
			return "", console.UsageError("%s is no number of a revision: see divisi push history %s", asked[0], key)
		}
		r, err := s.Get(number)
		if err != nil || r.Content[key] == "" {
			return "", console.Failure("divisi push history "+key+"@"+s.Domain, "%s has no %s in a revision %d", s.Domain, key, number)
		}
		return r.Content[key], nil
	}

	all, err := versions(s, key)
	if err != nil {
		return "", err
	}
	if len(all) < 2 || all[len(all)-2].Sum == "" {
		return "", console.Failure("divisi push history "+key+"@"+s.Domain, "%s was never another one", key)
	}
	return all[len(all)-2].Sum, nil
}
