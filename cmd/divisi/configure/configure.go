// Package configure has the command that is about the configuration of what runs.
package configure

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/pelletier/go-toml/v2"
	"github.com/spf13/cobra"

	"github.com/divisi-go/divisi/cmd/divisi/console"
	"github.com/divisi-go/divisi/cmd/divisi/editor"
	"github.com/divisi-go/divisi/cmd/divisi/ensembles"
	"github.com/divisi-go/divisi/cmd/divisi/ensembles/history"
	"github.com/divisi-go/divisi/cmd/divisi/server"
	"github.com/divisi-go/divisi/internal/config"
	"github.com/divisi-go/divisi/internal/ensemble"
	"github.com/divisi-go/divisi/internal/home"
	"github.com/divisi-go/divisi/internal/name"
	"github.com/divisi-go/divisi/internal/selection"
)

// command is what the commands of this package share.
type command struct{ *console.Console }

// Command returns the command.
func Command(shared *console.Console) *cobra.Command {
	c := command{shared}
	cmd := &cobra.Command{
		Use:   "config",
		Short: "Show and change the configuration of servers of an ensemble",
		Long: "Show and change the configuration of a server of an ensemble, of several of a kind, or of all of a role in a\n" +
			"domain and below it. What is said here has the place of what the document says, until the document itself\n" +
			"says something else than before. Each change is a revision: divisi ensemble history and revert know it.",
		Example: "  divisi config get httpd@/test/www\n  divisi config set httpd@/test/www body-max=1048576 --yes\n  divisi config edit httpd-0@/test/www",
	}
	cmd.AddCommand(c.get(), c.set(), c.edit())
	return cmd
}

// target is whose configuration is meant.
type target struct {
	of    string // full name
	shelf history.Shelf
}

// find returns whom somebody means.
func find(asked string) (target, error) {
	bare, domain, placed := strings.Cut(asked, "@")
	domain = selection.Resolve(domain, server.Current())
	if !placed {
		domain = server.Current()
	}
	id, err := name.ParseServer(bare + "@" + domain)
	if err != nil {
		return target{}, &console.Error{Code: console.Usage, Err: err, Way: "write SERVER or ROLE@DOMAIN, such as httpd@/test/www"}
	}
	s, err := ensembles.Find(id.Domain)
	return target{id.String(), s}, err
}

// config returns the configuration by the newest revision.
func (t target) config() (map[string]any, error) {
	last, err := t.shelf.Last()
	if err != nil {
		return nil, err
	}
	e, err := last.Parse()
	if err != nil {
		return nil, err
	}
	return e.Config(t.of)
}

// complete completes the names of servers, and then the keys of what one is configured by.
func complete(_ *cobra.Command, args []string, _ string) (words []string, _ cobra.ShellCompDirective) {
	if len(args) > 0 {
		t, err := find(args[0])
		if err != nil {
			return nil, cobra.ShellCompDirectiveError
		}
		table, err := t.config()
		if err != nil {
			return nil, cobra.ShellCompDirectiveError
		}
		return ensemble.Keys(table), cobra.ShellCompDirectiveNoFileComp
	}
	all, err := ensembles.Servers()
	if err != nil {
		return nil, cobra.ShellCompDirectiveError
	}
	for _, s := range all {
		words = append(words, s.Server.Server.String())
	}
	return words, cobra.ShellCompDirectiveNoFileComp
}

func (c command) get() *cobra.Command {
	return &cobra.Command{
		Use:   "get SERVER|ROLE@DOMAIN [KEY]",
		Short: "Show a configuration, with all that is said of it",
		Long: "Show the configuration of a server as a file has it, with what its role, the document and operators have said.\n" +
			"Of one key it shows the value: a text without quotes, and a table as a file has it.",
		Example: "  divisi config get httpd@/test/www\n  divisi config get httpd@/test/www servlet-env.GREETING",
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) < 1 || len(args) > 2 {
				return errors.New("give a server, and at most one key")
			}
			return nil
		},
		ValidArgsFunction: complete,
		RunE: func(_ *cobra.Command, args []string) error {
			t, err := find(args[0])
			if err != nil {
				return err
			}
			table, err := t.config()
			if err != nil {
				return err
			}
			return c.show(t, table, args[1:]...)
		},
	}
}

// show shows a configuration, or what is at a key in it.
func (c command) show(t target, table map[string]any, keys ...string) error {
	var value any = table
	for _, key := range keys {
		found, err := ensemble.At(table, key)
		switch {
		case err != nil:
			return &console.Error{Code: console.Usage, Err: err}
		case found == nil:
			return console.Failure("", "the configuration of %s has no key %s: %s", t.of, key, name.Suggest(key, ensemble.Keys(table)))
		}
		value = found
	}
	if done, err := c.JSON(value); done {
		return err
	}
	switch value := value.(type) {
	case map[string]any:
		text, err := toml.Marshal(value)
		if err == nil {
			_, err = c.Out.Write(text)
		}
		return err
	case string:
		fmt.Fprintln(c.Out, value)
	default:
		fmt.Fprintln(c.Out, config.Text(value))
	}
	return nil
}

func (c command) set() *cobra.Command {
	var yes bool
	var timeout time.Duration
	cmd := &cobra.Command{
		Use:   "set SERVER|ROLE@DOMAIN KEY=VALUE...",
		Short: "Set values of a configuration",
		Long: "Set values of a configuration, which are written as in a file: a text has quotes, and a key in a table dots.\n" +
			"KEY= takes back what was said of a key, so that it is as in the document. KEY=- is a text that is read from the\n" +
			"standard input, or typed without being shown. A program that follows its file stays; another one is replaced.",
		Example: "  divisi config set httpd@/test/www body-max=1048576 'root=\"www\"' --yes\n" +
			"  divisi config set httpd-0@/test/www 'servlet-env = { GREETING = \"hello\" }'\n  divisi config set db@/test password=- < password\n  divisi config set httpd@/test/www body-max=",
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) < 2 {
				return errors.New("give a server, and what is set, as KEY=VALUE")
			}
			return nil
		},
		ValidArgsFunction: complete,
		RunE: func(cmd *cobra.Command, args []string) error {
			t, err := find(args[0])
			if err != nil {
				return err
			}
			said, err := c.parse(cmd, args[1:])
			if err != nil {
				return err
			}
			return t.change(cmd.Context(), c, yes, timeout, "set "+args[0]+" "+strings.Join(said.keys(), " "),
				func(_ *ensemble.Ensemble, o ensemble.Overrides) (ensemble.Overrides, error) {
					for _, key := range said.back {
						o = o.Unset(t.of, key)
					}
					return o.Set(t.of, said.table), nil
				})
		},
	}
	cmd.Flags().BoolVar(&yes, "yes", false, "confirm that more than one server is touched")
	console.TimeoutFlag(cmd, &timeout, 2*time.Minute)
	return cmd
}

// said is what a command line says.
type said struct {
	table map[string]any
	back  []string // keys of which what was said is taken back
}

// keys returns all keys, which are no secrets.
func (s said) keys() []string {
	return slices.Concat(ensemble.Keys(s.table), s.back)
}

// parse reads KEY=VALUE.
func (c command) parse(cmd *cobra.Command, args []string) (s said, err error) {
	var lines []string
	for _, arg := range args {
		key, value, ok := strings.Cut(arg, "=")
		if !ok || strings.TrimSpace(key) == "" {
			return s, console.UsageError("%s: write KEY=VALUE, such as cache.size=4", arg)
		}
		if value == console.Stdin {
			if value, err = c.Given(cmd.Context(), cmd.InOrStdin(), value, "the value of "+key); err != nil {
				return s, err
			}
			value = config.Text(value)
		}
		line := key + " = " + value
		if value == "" {
			s.back = append(s.back, strings.TrimSpace(key))
			line = key + " = 0"
		}
		_, err := ensemble.ReadTable("", line)
		if wrong, ok := errors.AsType[*config.Error](err); ok {
			return s, &console.Error{Code: console.Usage, Err: fmt.Errorf("%s: %w", strings.TrimSpace(key), wrong.Err),
				Way: `values are written as in a file: 4, true, [1, 2], '"a text"', and - for a text that is read`}
		}
		if err != nil {
			return s, err
		}
		if value != "" {
			lines = append(lines, line)
		}
	}
	s.table, err = ensemble.ReadTable("", strings.Join(lines, "\n"))
	if wrong, ok := errors.AsType[*config.Error](err); ok {
		err = &console.Error{Code: console.Usage, Err: wrong.Err}
	}
	return s, err
}

// change adds a revision with other overrides, which are made of the last ones and of the ensemble without any.
func (t target) change(ctx context.Context, c command, yes bool, limit time.Duration, why string,
	next func(*ensemble.Ensemble, ensemble.Overrides) (ensemble.Overrides, error)) error {
	h, err := home.Find()
	if err != nil {
		return err
	}
	return ensembles.Change(ctx, c.Console, h, t.shelf, yes, limit, func(last history.Revision) (history.Revision, error) {
		bare := last.Said
		bare.Config = nil
		e, err := ensemble.Parse(last.File, last.Text, bare)
		if err == nil {
			err = e.Knows(t.of)
		}
		if err == nil {
			last.Config, err = next(e, last.Config)
		}
		last.Why = "divisi config " + why
		return last, err
	})
}

func (c command) edit() *cobra.Command {
	var yes bool
	var timeout time.Duration
	cmd := &cobra.Command{
		Use:   "edit SERVER|ROLE@DOMAIN",
		Short: "Edit a configuration in an editor",
		Long: "Open the configuration of a server in the editor that VISUAL or EDITOR names, and have it be what was saved. A\n" +
			"mistake is told with its line and column, and the text offered again, or kept. Nothing saved, nothing changed.",
		Example: "  divisi config edit httpd@/test/www --yes\n  EDITOR=nano divisi config edit httpd-0@/test/www",
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) != 1 {
				return errors.New("give one server")
			}
			return nil
		},
		ValidArgsFunction: complete,
		RunE: func(cmd *cobra.Command, args []string) error {
			t, err := find(args[0])
			if err != nil {
				return err
			}
			table, err := t.config()
			if err != nil {
				return err
			}
			text, err := toml.Marshal(table)
			if err != nil {
				return err
			}
			head := "# The configuration of " + t.of + ". Save it to have it so.\n"
			return editor.Edit(cmd.Context(), c.Console, "config.toml", head+string(text), func(file, text string) error {
				edited, err := ensemble.ReadTable(file, text)
				if err != nil {
					return err
				}
				if now, err := t.config(); err != nil || !reflect.DeepEqual(now, table) {
					return errors.Join(err, fmt.Errorf("somebody else has changed the configuration of %s meanwhile: look again, and repeat it", t.of))
				}
				return t.change(cmd.Context(), c, yes, timeout, "edit "+args[0],
					func(e *ensemble.Ensemble, o ensemble.Overrides) (ensemble.Overrides, error) {
						return o.Replace(e, t.of, edited)
					})
			})
		},
	}
	cmd.Flags().BoolVar(&yes, "yes", false, "confirm that more than one server is touched")
	console.TimeoutFlag(cmd, &timeout, 2*time.Minute)
	return cmd
}
