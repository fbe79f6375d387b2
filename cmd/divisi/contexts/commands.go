package contexts

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"

	"github.com/spf13/cobra"

	"github.com/divisi-go/divisi/cmd/divisi/console"
	"github.com/divisi-go/divisi/internal/home"
	"github.com/divisi-go/divisi/internal/name"
)

// command is what the commands share.
type command struct {
	*console.Console
	choice *Choice
}

// CommandName is the name of the command, which also works where the chosen context cannot be read.
const CommandName = "context"

// Command returns the command that is about contexts.
func Command(shared *console.Console, choice *Choice) *cobra.Command {
	c := command{shared, choice}
	cmd := &cobra.Command{
		Use:   CommandName,
		Short: "Name state folders and domains, and choose which one commands are about",
		Long: "A context is a name for a state folder, with the keeper and all that runs there, and for the domain in which\n" +
			"names without one are. Commands are about the context of -G, which may be a folder as well; else, if DIVISI_HOME is\n" +
			"set, about what it says; else about the context of DIVISI_CONTEXT, or the one that is used. DIVISI_DOMAIN has the\n" +
			"place of the domain of a context, but for that of -G. " + None + " is no context.",
		Example: "  divisi context create prod --home /srv/divisi --domain /prod\n  divisi context use prod\n  divisi -G prod ps",
	}
	cmd.AddCommand(c.list(), c.show(), c.use(), c.create(), c.remove())
	return cmd
}

// Flag adds the flag that chooses.
func Flag(root *cobra.Command, choice *Choice) {
	root.PersistentFlags().VarP(choice, "context", "G", "context to use, or a state folder, with a slash in it")
	_ = root.RegisterFlagCompletionFunc("context", func(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
		return known(), cobra.ShellCompDirectiveDefault // also folders
	}) // it fails only for a flag that is not there
}

// known returns the names of all contexts, for a shell.
func known() []string {
	s, err := open()
	if err != nil {
		return nil
	}
	names, _ := s.names()
	return append(names, None)
}

// Shown is a context as it is shown.
type Shown struct {
	Name string `json:"name"`
	Context
	Chosen bool   `json:"chosen"`          // commands are about it
	Wrong  string `json:"wrong,omitempty"` // why it cannot be read
}

func (c command) list() *cobra.Command {
	return &cobra.Command{
		Use:     "list",
		Short:   "List the contexts",
		Long:    "List the contexts, and which one commands are about.",
		Example: "  divisi context list",
		Args:    cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			s, err := open()
			if err != nil {
				return err
			}
			names, err := s.names()
			if err != nil {
				return err
			}
			list := []Shown{{Name: None, Context: Context{Home: c.choice.home, Domain: c.choice.domain}, Chosen: c.choice.Name == None}}
			for _, n := range names {
				one, err := s.get(n)
				shown := Shown{Name: n, Context: one, Chosen: c.choice.Name == n}
				if err != nil {
					shown.Wrong = err.Error()
				}
				list = append(list, shown)
			}
			if done, err := c.JSON(list); done {
				return err
			}
			rows := [][]string{{"CHOSEN", "NAME", "HOME", "DOMAIN"}}
			for _, one := range list {
				chosen := ""
				if one.Chosen {
					chosen = "*"
				}
				rows = append(rows, []string{chosen, one.Name, cmp.Or(one.Wrong, one.Home, "-"), cmp.Or(one.Domain, "-")})
			}
			c.Columns(rows)
			return nil
		},
	}
}

func (c command) show() *cobra.Command {
	cmd := one(&cobra.Command{
		Use:     "show [NAME]",
		Short:   "Show a context, or the one that commands are about",
		Long:    "Show a context, or the one that commands are about: the state folder and the domain that they use.",
		Example: "  divisi context show\n  divisi -G prod context show",
		RunE: func(_ *cobra.Command, args []string) error {
			shown := Shown{Name: c.choice.Name, Chosen: true}
			if len(args) == 1 {
				s, err := open()
				if err != nil {
					return err
				}
				shown.Name, shown.Chosen = args[0], args[0] == c.choice.Name
				if shown.Context, err = s.get(args[0]); err != nil {
					return err
				}
			} else {
				h, err := home.Find()
				if err = errors.Join(c.choice.Err(), err); err != nil {
					return err
				}
				shown.Home, shown.Domain = h.Dir, os.Getenv(domainVariable)
			}
			if done, err := c.JSON(shown); done {
				return err
			}
			c.Columns([][]string{{"name", shown.Name}, {"home", cmp.Or(shown.Home, "-")}, {"domain", cmp.Or(shown.Domain, "-")}})
			return nil
		},
	})
	cmd.Args = cobra.MaximumNArgs(1)
	return cmd
}

// one has a command take the name of a context.
func one(cmd *cobra.Command) *cobra.Command {
	cmd.Args = func(_ *cobra.Command, args []string) error {
		if len(args) != 1 {
			return errors.New("give the name of a context")
		}
		return nil
	}
	cmd.ValidArgsFunction = func(_ *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
		if len(args) > 0 {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		return known(), cobra.ShellCompDirectiveNoFileComp
	}
	return cmd
}

func (c command) use() *cobra.Command {
	return one(&cobra.Command{
		Use:     "use NAME",
		Short:   "Have later commands be about a context",
		Long:    "Have later commands of this user be about a context, or with " + None + " about none.",
		Example: "  divisi context use prod\n  divisi context use " + None,
		RunE: func(_ *cobra.Command, args []string) error {
			s, err := open()
			if err != nil {
				return err
			}
			if args[0] != None {
				if _, err := s.get(args[0]); err != nil {
					return err
				}
			}
			if err := s.use(args[0]); err != nil {
				return err
			}
			for _, variable := range []string{homeVariable, contextVariable} {
				if set := os.Getenv(variable); set != "" && (variable == contextVariable || c.choice.home != "") {
					fmt.Fprintf(c.Err, "divisi: warning: %s is set, and has the last word: unset it\n", variable)
				}
			}
			fmt.Fprintf(c.Out, "commands are about %s\n", args[0])
			return nil
		},
	})
}

func (c command) create() *cobra.Command {
	var made Context
	cmd := one(&cobra.Command{
		Use:     "create NAME",
		Short:   "Make a context",
		Long:    "Make a context of a state folder, which need not be there yet, a domain, or both. It is not used by that.",
		Example: "  divisi context create prod --home /srv/divisi --domain /prod",
		RunE: func(_ *cobra.Command, args []string) error {
			s, err := open()
			if err != nil {
				return err
			}
			if made.Home != "" {
				if made.Home, err = filepath.Abs(made.Home); err != nil {
					return err
				}
			}
			err = cmp.Or(name.CheckLabel(args[0]), made.check())
			if args[0] == None {
				err = errors.New(None + " is the name of no context")
			}
			if err != nil {
				return console.UsageError("cannot make the context %s: %w", args[0], err)
			}
			if _, err := os.Stat(s.file(args[0])); !errors.Is(err, fs.ErrNotExist) {
				return cmp.Or(err, console.Failure("divisi context remove "+args[0]+" first", "there is a context %s", args[0]))
			}
			if err := s.put(args[0], made); err != nil {
				return err
			}
			fmt.Fprintf(c.Out, "made the context %s: divisi context use %[1]s, or divisi -G %[1]s COMMAND\n", args[0])
			return nil
		},
	})
	cmd.ValidArgsFunction = nil
	cmd.Flags().StringVar(&made.Home, "home", "", "state folder")
	cmd.Flags().StringVar(&made.Domain, "domain", "", "domain in which names without one are, such as /prod")
	return cmd
}

func (c command) remove() *cobra.Command {
	return one(&cobra.Command{
		Use:     "remove NAME",
		Short:   "Forget a context",
		Long:    "Forget a context that is not used. Nothing of its state folder is touched.",
		Example: "  divisi context remove prod",
		RunE: func(_ *cobra.Command, args []string) error {
			s, err := open()
			if err != nil {
				return err
			}
			names, err := s.names()
			used, wrong := s.used()
			switch {
			case err != nil || wrong != nil:
				return errors.Join(err, wrong)
			case !slices.Contains(names, args[0]):
				return fmt.Errorf("there is no context %q: %s", args[0], name.Suggest(args[0], names))
			case used == args[0]:
				return console.Failure("divisi context use "+None+" first", "%s is used", args[0])
			}
			if err := os.Remove(s.file(args[0])); err != nil {
				return err
			}
			fmt.Fprintf(c.Out, "removed the context %s\n", args[0])
			return nil
		},
	})
}
