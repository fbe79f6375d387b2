// Package contexts has the operator contexts of a user: names for a state folder and a domain, of which one is in effect. A
// context is a file, and what it says goes on as the variables DIVISI_HOME and DIVISI_DOMAIN, so nobody else knows of contexts.
package contexts

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/pelletier/go-toml/v2"

	"github.com/divisi-go/divisi/internal/config"
	"github.com/divisi-go/divisi/internal/name"
	"github.com/divisi-go/divisi/internal/whole"
)

// Context is what commands are about unless they say otherwise.
type Context struct {
	Home   string `toml:"home,omitempty" json:"home,omitempty"`     // state folder, absolute; "" for that without contexts
	Domain string `toml:"domain,omitempty" json:"domain,omitempty"` // in which names without one are; "" for none
}

// None is the name of no context: commands are about what the variables say.
const None = "default"

// The variables.
const (
	contextVariable = "DIVISI_CONTEXT"
	homeVariable    = "DIVISI_HOME"
	domainVariable  = "DIVISI_DOMAIN"
)

const (
	suffix   = ".toml"
	usedFile = "context" // its name, beside the folder of all
)

// shelf is the folder of this user.
type shelf struct{ dir string }

func open() (shelf, error) {
	dir, err := os.UserConfigDir()
	if err != nil {
		return shelf{}, fmt.Errorf("there is no folder for contexts: %w", err)
	}
	return shelf{filepath.Join(dir, "divisi")}, nil
}

func (s shelf) file(of string) string { return filepath.Join(s.dir, "contexts", of+suffix) }

// names returns those of all contexts, in order.
func (s shelf) names() (names []string, err error) {
	entries, err := os.ReadDir(filepath.Join(s.dir, "contexts"))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	for _, e := range entries {
		if stem, ok := strings.CutSuffix(e.Name(), suffix); ok && name.CheckLabel(stem) == nil {
			names = append(names, stem)
		}
	}
	return names, nil
}

// get returns the context of a name.
func (s shelf) get(of string) (c Context, err error) {
	if err := name.CheckLabel(of); err != nil {
		return c, err
	}
	text, err := os.ReadFile(s.file(of))
	if errors.Is(err, fs.ErrNotExist) {
		known, _ := s.names()
		return c, fmt.Errorf("there is no context %q: %s", of, name.Suggest(of, append(known, None)))
	}
	if err != nil {
		return c, err
	}
	err = config.Read(s.file(of), string(text), &c, func(f *config.File) {
		if err := c.check(); err != nil {
			f.Fail(nil, "%w", err)
		}
	})
	return c, err
}

// check says what of a context cannot be meant.
func (c Context) check() error {
	switch {
	case c == Context{}:
		return errors.New("a context has a home, a domain, or both")
	case c.Home != "" && !filepath.IsAbs(c.Home):
		return fmt.Errorf("the home %s is not absolute", c.Home)
	case c.Domain != "":
		return name.CheckDomain(c.Domain)
	}
	return nil
}

// put writes a context that is new.
func (s shelf) put(of string, c Context) error {
	text, err := toml.Marshal(c)
	if err == nil {
		err = os.MkdirAll(filepath.Join(s.dir, "contexts"), 0o700)
	}
	if err != nil {
		return err
	}
	return whole.Write(s.file(of), text, 0o600)
}

// used returns the name of the context that somebody uses, unless something else is said.
func (s shelf) used() (string, error) {
	text, err := os.ReadFile(filepath.Join(s.dir, usedFile))
	if errors.Is(err, fs.ErrNotExist) {
		return None, nil
	}
	return strings.TrimSpace(string(text)), err
}

// use has a context be used from now on.
func (s shelf) use(of string) error {
	if err := os.MkdirAll(s.dir, 0o700); err != nil {
		return err
	}
	return whole.Write(filepath.Join(s.dir, usedFile), []byte(of+"\n"), 0o600)
}
