// Package gerbil makes a document of the configurations of an ensemble of Gerbil.
package gerbil

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/pelletier/go-toml/v2"
	"github.com/spf13/cobra"

	"github.com/divisi-go/divisi/cmd/divisi/console"
	"github.com/divisi-go/divisi/internal/ensemble"
)

// file is one that is imported.
type file struct{ name, content string }

// convert makes a document of files, and says what is not in it. The domain is that of an ensemble of which no file says one.
func convert(domain string, files []file) (text string, notes []Note, err error) {
	c := &converter{doc: table{}}
	for _, f := range files {
		if err := c.add(f.name, f.content); err != nil {
			return "", nil, err
		}
	}
	head := below(c.doc, "ensemble")
	if head["domain"] == nil {
		head["domain"] = domain
	}
	if head["domain"] == "" {
		return "", nil, console.UsageError("no file has the domain of the ensemble: say it with --domain, such as /test")
	}
	made, err := toml.Marshal(c.doc)
	if err != nil {
		return "", nil, err
	}
	if _, err := ensemble.Parse("the document", string(made), ensemble.Said{}); err != nil {
		return "", nil, fmt.Errorf("what is in the files makes no ensemble: %w", err)
	}
	return string(made), c.notes, nil
}

// Command returns the command.
func Command(c *console.Console) *cobra.Command {
	var domain, to string
	cmd := &cobra.Command{
		Use:   "import FILE...",
		Short: "Make a document of the configurations of an ensemble of Gerbil",
		Long: "Make one document of files of Gerbil: an ensemble (ensemble-v0) with its roles and what it preloads, configurations\n" +
			"of servers (ensemble-server-v0), and those of gerbil httpd (httpd-v0). The document goes to the standard output.\n" +
			"What it does not have is told as FILE:LINE with the reason.",
		Example: "  divisi ensemble import env/local/ensemble/config > ensemble.toml\n  divisi ensemble import env/local/config/httpd --domain /test --to ensemble.toml",
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) == 0 {
				return errors.New("give a file")
			}
			return nil
		},
		RunE: func(_ *cobra.Command, args []string) error {
			var files []file
			for _, name := range args {
				content, err := read(name)
				if err != nil {
					return fmt.Errorf("cannot import %s: %w", name, err)
				}
				files = append(files, file{name, content})
			}
			text, notes, err := convert(domain, files)
			if err != nil {
				return err
			}
			if to != "" {
				if err := write(to, text); err != nil {
					return err
				}
			}
			return report(c, text, to, notes)
		},
	}
	cmd.Flags().StringVar(&domain, "domain", "", "of the ensemble, where no file says one")
	cmd.Flags().StringVar(&to, "to", "", "write the document to this file, which is not there yet")
	return cmd
}

// read returns what is in a file, up to what a reader takes.
func read(name string) (string, error) {
	f, err := os.Open(name)
	if err != nil {
		return "", err
	}
	defer f.Close()
	content, err := io.ReadAll(io.LimitReader(f, maxText+1))
	return string(content), err
}

// write writes a file that is not there yet.
func write(name, text string) error {
	f, err := os.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
	if err != nil {
		return fmt.Errorf("cannot write the document: %w", err)
	}
	_, err = f.WriteString(text)
	return errors.Join(err, f.Close())
}

func report(c *console.Console, text, to string, notes []Note) error {
	if done, err := c.JSON(struct {
		Document string `json:"document"`
		Notes    []Note `json:"notes"`
	}{text, append([]Note{}, notes...)}); done {
		return err
	}
	var told strings.Builder
	for _, n := range notes {
		fmt.Fprintln(&told, n)
	}
	if len(notes) > 0 {
		fmt.Fprintf(&told, "divisi: %d things are not in the document\n", len(notes))
	}
	fmt.Fprint(c.Err, told.String())
	if to == "" {
		fmt.Fprint(c.Out, text)
	}
	return nil
}
