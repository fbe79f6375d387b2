// Package pack has the commands about artifacts: programs and folders, packed for hosts by their content.
package pack

import (
	"fmt"
	"maps"
	"os"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/divisi-go/divisi/cmd/divisi/console"
	"github.com/divisi-go/divisi/internal/artifact"
	"github.com/divisi-go/divisi/internal/artifact/archive"
	"github.com/divisi-go/divisi/internal/artifact/manifest"
	"github.com/divisi-go/divisi/internal/home"
	"github.com/divisi-go/divisi/internal/program"
)

// command is what the commands share.
type command struct{ *console.Console }

// Command returns the command with its subcommands.
func Command(shared *console.Console) *cobra.Command {
	c := command{shared}
	cmd := &cobra.Command{
		Use:   "artifact COMMAND",
		Short: "Pack programs and folders for hosts, and install them",
		Long: "Pack programs and folders for hosts, and install them. An artifact is known by the sum of its artifact.toml, which has\n" +
			"the sums of all its files: what is installed is what was packed, or is not used.",
		Example: "  divisi artifact pack --with-libs --to ./exampled /usr/local/bin/exampled\n" +
			"  divisi artifact install exampled/exampled.tar.gz\n" +
			"  divisi artifact show exampled",
	}
	cmd.AddCommand(c.pack(), c.look(), c.verify(), c.unpack(), c.install(), c.list(), c.revert())
	return cmd
}

// store returns the artifacts of the state folder.
func store() (*artifact.Store, error) {
	where, err := home.Find()
	if err != nil {
		return nil, err
	}
	return program.Store(where), nil
}

// open begins to read an archive.
func open(file string) (a *archive.Archive, end func(), err error) {
	f, err := os.Open(file)
	if err != nil {
		return nil, nil, err
	}
	a, err = archive.NewReader(f, manifest.MaxSize)
	if err != nil {
		f.Close()
		return nil, nil, fmt.Errorf("cannot use %s: %w", file, err)
	}
	return a, func() { f.Close() }, nil
}

// isFile reports whether a word is a file, and no name.
func isFile(word string) bool {
	info, err := os.Stat(word)
	return err == nil && !info.IsDir()
}

// summary is what is shown of an artifact.
type summary struct {
	manifest.Manifest
	Sum      string
	Archive  string   // the file that it is in, if it is in one
	Folder   string   // where it is installed
	Link     string   // to the folder of the current version
	Command  []string // how its program is called there
	Versions []string // that are installed, the newest one first
}

// show shows an artifact.
func (c command) show(s summary) error {
	done, err := c.JSON(struct {
		Name     string            `json:"name"`
		Version  string            `json:"version,omitempty"`
		System   string            `json:"system,omitempty"`
		Sum      string            `json:"sha256"`
		Size     int64             `json:"size"`
		Files    int               `json:"files"`
		Requires map[string]string `json:"requires,omitempty"`
		Run      []string          `json:"run,omitempty"`
		Archive  string            `json:"archive,omitempty"`
		Folder   string            `json:"folder,omitempty"`
		Link     string            `json:"link,omitempty"`
		Command  []string          `json:"command,omitempty"`
		Versions []string          `json:"versions,omitempty"`
	}{s.Name, s.Version, s.System, s.Sum, s.Size(), len(s.Files), s.Requires, s.Run, s.Archive, s.Folder, s.Link, s.Command, s.Versions})
	if done {
		return err
	}
	rows := [][]string{{"name", s.Title()}, {"sha256", s.Sum}, {"system", s.System}, {"archive", s.Archive}, {"folder", s.Folder}, {"link", s.Link},
		{"files", strconv.Itoa(len(s.Files))}, {"bytes", strconv.FormatInt(s.Size(), 10)}}
	for _, name := range slices.Sorted(maps.Keys(s.Requires)) {
		rows = append(rows, []string{"requires", name + " " + s.Requires[name]})
	}
	run := s.Command
	if len(run) == 0 {
		run = s.Run
	}
	rows = append(rows, []string{"runs", strings.Join(run, " ")})
	for _, sum := range s.Versions {
		rows = append(rows, []string{"version", sum})
	}
	c.Columns(slices.DeleteFunc(rows, func(row []string) bool { return row[1] == "" }))
	return nil
}

func (c command) look() *cobra.Command {
	return &cobra.Command{
		Use:     "show FILE|NAME",
		Short:   "Show an archive, or what is installed by a name",
		Example: "  divisi artifact show exampled -o json",
		Args:    cobra.ExactArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			if isFile(args[0]) {
				a, end, err := open(args[0])
				if err != nil {
					return err
				}
				defer end()
				return c.show(summary{Manifest: a.Manifest, Sum: manifest.Sum(a.Text()), Archive: args[0]})
			}
			s, err := store()
			if err != nil {
				return err
			}
			return c.installed(s, args[0])
		},
	}
}

// installed shows what a name means in a store.
func (c command) installed(s *artifact.Store, name string) error {
	sum, err := s.Current(name)
	if err != nil {
		return err
	}
	versions, err := s.Versions(name)
	if err != nil {
		return err
	}
	t, err := s.Open(sum)
	if err != nil {
		return err
	}
	defer t.Release()
	return c.show(summary{Manifest: t.Manifest, Sum: sum, Folder: t.Dir, Link: s.Link(name), Command: t.Command(), Versions: versions})
}

func (c command) verify() *cobra.Command {
	return &cobra.Command{
		Use:     "verify FILE|NAME",
		Short:   "Compare every file with its sum",
		Long:    "Compare every file of an archive, or of what is installed by a name, with its sum.",
		Example: "  divisi artifact verify exampled.tar.gz",
		Args:    cobra.ExactArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			if !isFile(args[0]) {
				s, err := store()
				if err != nil {
					return err
				}
				return c.installed(s, args[0]) // which is opened for that
			}
			a, end, err := open(args[0])
			if err != nil {
				return err
			}
			defer end()
			if err := a.Verify(); err != nil {
				return fmt.Errorf("cannot use %s: %w", args[0], err)
			}
			return c.show(summary{Manifest: a.Manifest, Sum: manifest.Sum(a.Text()), Archive: args[0]})
		},
	}
}

func (c command) unpack() *cobra.Command {
	return &cobra.Command{
		Use:     "unpack FILE DIR",
		Short:   "Unpack an archive into a new folder",
		Long:    "Unpack an archive into a new folder. If anything is wrong with it, nothing is left.",
		Example: "  divisi artifact unpack exampled.tar.gz ./look",
		Args:    cobra.ExactArgs(2),
		RunE: func(cmd *cobra.Command, args []string) error {
			a, end, err := open(args[0])
			if err != nil {
				return err
			}
			defer end()
			if err := artifact.Unpack(cmd.Context(), a, args[1]); err != nil {
				return fmt.Errorf("cannot unpack %s: %w", args[0], err)
			}
			return nil
		},
	}
}

func (c command) install() *cobra.Command {
	return &cobra.Command{
		Use:   "install FILE",
		Short: "Keep an artifact in the state folder, as the current version of its name",
		Long: "Keep an artifact in the state folder, as the current version of its name. Its folder stays as long as it is one of\n" +
			"the last three versions, or something that runs or is one of these requires it. divisi artifact revert goes back.",
		Example: "  divisi artifact install exampled.tar.gz",
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			a, end, err := open(args[0])
			if err != nil {
				return err
			}
			defer end()
			where, err := home.Find()
			if err != nil {
				return err
			}
			if err := where.Make(); err != nil {
				return err
			}
			s := program.Store(where)
			sum, err := artifact.Send(cmd.Context(), a, s)
			if err == nil {
				err = s.Switch(sum)
			}
			if err != nil {
				return fmt.Errorf("cannot install %s: %w", args[0], err)
			}
			if err := s.Clean(); err != nil {
				fmt.Fprintf(c.Err, "divisi: old artifacts are not removed: %v\n", err)
			}
			return c.installed(s, a.Manifest.Name)
		},
	}
}

func (c command) list() *cobra.Command {
	return &cobra.Command{
		Use:     "list",
		Short:   "List what is installed",
		Example: "  divisi artifact list -o json",
		Args:    cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			s, err := store()
			if err != nil {
				return err
			}
			names, err := s.Names()
			if err != nil {
				return err
			}
			type row struct {
				Name string `json:"name"`
				Sum  string `json:"sha256"`
			}
			list, lines := []row{}, [][]string{{"NAME", "SHA256"}}
			for _, name := range names {
				sum, err := s.Current(name)
				if err != nil {
					return err
				}
				list = append(list, row{name, sum})
				lines = append(lines, []string{name, sum})
			}
			if done, err := c.JSON(list); done {
				return err
			}
			c.Columns(lines)
			return nil
		},
	}
}

func (c command) revert() *cobra.Command {
	return &cobra.Command{
		Use:     "revert NAME",
		Short:   "Make the version before the current one the current one",
		Example: "  divisi artifact revert exampled",
		Args:    cobra.ExactArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			s, err := store()
			if err != nil {
				return err
			}
			if err := s.Revert(args[0]); err != nil {
				return err
			}
			return c.installed(s, args[0])
		},
	}
}
