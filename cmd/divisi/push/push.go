// Package push has the commands that bring programs and files to ensembles.
package push

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"path/filepath"
	"slices"
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

// command is what the commands share.
type command struct{ *console.Console }

// Command returns the command with its subcommands.
func Command(shared *console.Console) *cobra.Command {
	c := command{shared}
	cmd := &cobra.Command{
		Use:   "push",
		Short: "Bring programs and files to an ensemble, by their content",
		Long: "Bring programs and files to an ensemble. A document calls them {exe.NAME}, {env.NAME}, {fs} and {fs.NAME}, in\n" +
			"program, args, env and dir. What is pushed is the next revision: servers that use it are replaced, and\n" +
			"each sees all of the one content or all of the other. If one does not become ready, the revision before goes\n" +
			"on. What no revision has any more is removed.",
		Example: "  divisi push fs www.tar.gz\n  divisi push env lib.tar.gz www@/test\n  divisi push exe ./build/rlb\n  divisi push revert fs",
	}
	cmd.AddCommand(
		c.kind(ensemble.Executable, "exe FILE [NAME][@DOMAIN]", "Bring a program, which is {exe.NAME} in a document",
			"The name is that of the file, unless another one is given.", "  divisi push exe ./build/rlb\n  divisi push exe ./build/rlb-linux rlb@/test"),
		c.kind(ensemble.Needs, "env FILE NAME[@DOMAIN]", "Bring what programs need, which is the folder {env.NAME} in a document",
			"FILE is a folder, or a tar, compressed by gzip or not.", "  divisi push env env-www.tar.gz www"),
		c.kind(ensemble.Files, "fs FILE [NAME][@DOMAIN]", "Bring files, which are the folder {fs} or {fs.NAME} in a document",
			"FILE is a folder, or a tar, compressed by gzip or not.", "  divisi push fs fs-www.tar.gz\n  divisi push fs ./docs docs@/test"),
		c.list(), c.history(), c.revert(),
	)
	return cmd
}

// kind returns the command that brings content of a kind.
func (c command) kind(kind, use, short, long, example string) *cobra.Command {
	var yes bool
	var timeout time.Duration
	cmd := &cobra.Command{
		Use: use, Short: short, Example: example,
		Long: short + ".\n" + long + " It is in an ensemble by the current domain, or the\n" +
			"one of " + ensembles.DocumentFile + " in this folder, or the only one. What is there of the same content is not copied, and what\n" +
			"was interrupted goes on where it ended.",
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) < 1 || len(args) > 2 {
				return errors.New("give one file, and at most one name")
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			if slices.Contains([]string{ensemble.Executable, ensemble.Needs, ensemble.Files}, args[0]) {
				return console.UsageError("%s and %s are two kinds: push each by itself, or a file of that name as ./%s", kind, args[0], args[0])
			}
			h, err := home.Find()
			if err != nil {
				return err
			}
			of, domain, placed := strings.Cut(strings.Join(args[1:], ""), "@")
			if placed && domain == "" {
				return console.UsageError("there is no domain after the @: write %s@/DOMAIN", of)
			}
			if kind == ensemble.Executable {
				of = cmp.Or(of, filepath.Base(args[0]))
			}
			key, err := ensemble.Key(kind, of)
			if err != nil {
				return console.UsageError("%w", err)
			}
			s, first, err := ensembles.Recipient(h, domain)
			if err != nil {
				return err
			}
			return c.run(cmd.Context(), h, s, first, delivery{key, args[0], yes, timeout})
		},
	}
	cmd.Flags().BoolVar(&yes, "yes", false, "confirm that more than one server is replaced")
	console.TimeoutFlag(cmd, &timeout, 2*time.Minute)
	return cmd
}

// delivery is what is to be pushed.
type delivery struct {
	key     string
	file    string
	yes     bool
	timeout time.Duration // of what follows for servers
}

// run keeps content, and has an ensemble use it.
func (c command) run(ctx context.Context, h home.Home, s history.Shelf, first history.Revision, d delivery) error {
	kept, err := content.Keep(ctx, c.Console, h, d.key, d.file)
	if err != nil {
		return err
	}
	defer kept.Release() // until a revision has it
	if c.Format != "json" {
		fmt.Fprintf(c.Out, "%s is %s: files: %d, bytes: %d, of which were sent: %d\n",
			d.key, content.Brief(kept.Sum), len(kept.Manifest.Files), kept.Manifest.Size(), kept.Sent)
	}

	err = ensembles.Change(ctx, c.Console, h, s, d.yes, d.timeout, func(last history.Revision) (history.Revision, error) {
		if last.Number == 0 {
			last = first
			last.Number = 0
		}
		kind, of, _ := strings.Cut(d.key, ".")
		last.Why = strings.TrimSpace("divisi push " + kind + " " + d.file + " " + of)
		last.Said = last.Push(d.key, kept.Sum)
		return last, nil
	})
	if wrong := stored.Store(h).Clean(); wrong != nil {
		fmt.Fprintf(c.Err, "divisi: old content is not removed: %v\n", wrong)
	}
	return err
}

func (c command) list() *cobra.Command {
	return &cobra.Command{
		Use:     "list [/DOMAIN]",
		Short:   "List what an ensemble has been brought",
		Long:    "List what an ensemble has been brought: how a document calls it, its sum, and where it is.",
		Example: "  divisi push list /test",
		Args:    cobra.MaximumNArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			h, err := home.Find()
			if err != nil {
				return err
			}
			s, err := ensembles.Pick(h, strings.Join(args, ""))
			if err != nil {
				return err
			}
			last, err := s.Last()
			if err != nil {
				return err
			}
			type row struct {
				Content string `json:"content"`
				Sum     string `json:"sha256"`
				Path    string `json:"path"`
			}
			list, rows := []row{}, [][]string{{"CONTENT", "SHA256", "PATH"}}
			paths := content.Paths(stored.Store(h), last.Content)
			for _, key := range slices.Sorted(maps.Keys(last.Content)) {
				r := row{key, last.Content[key], paths.Replace("{" + key + "}")}
				list, rows = append(list, r), append(rows, []string{r.Content, content.Brief(r.Sum), r.Path})
			}
			if done, err := c.JSON(list); done {
				return err
			}
			c.Columns(rows)
			return nil
		},
	}
}
