package artifact

import (
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/divisi-go/divisi/internal/artifact/manifest"
)

// ErrCut is the error of an artifact that was cut off on its way: what has arrived stays, and to send it again goes on there.
var ErrCut = errors.New("it was cut off on its way")

// Place is where artifacts are brought to and used: a [Store] of this machine, or of another one.
type Place interface {
	Depot

	// Use makes an artifact the current one of its name, when every file of it was compared with its sum. It stays as long as
	// this process does. The error of one that has to be sent is [ErrNone] or [ErrDamaged].
	Use(ctx context.Context, sum string) (Used, error)

	// UseBefore is Use for the version before the current one of a name.
	UseBefore(ctx context.Context, name string) (Used, error)
}

var _ Place = (*Store)(nil)

// Used is an artifact that is used.
type Used struct {
	Name    string   `json:"name"`
	Version string   `json:"version,omitempty"`
	System  string   `json:"system,omitempty"`
	Sum     string   `json:"sha256"`
	Dir     string   `json:"dir"`
	Command []string `json:"command,omitempty"` // how its program is called, nothing if it has none
}

// Use implements [Place].
func (s *Store) Use(_ context.Context, sum string) (Used, error) {
	if err := s.Switch(sum); err != nil {
		return Used{}, err
	}
	return s.use(sum)
}

// use has an artifact stay.
func (s *Store) use(sum string) (Used, error) {
	t, err := s.Open(sum)
	if err != nil {
		return Used{}, err
	}
	s.mu.Lock()
	before := s.used[sum]
	if s.used == nil {
		s.used = map[string]*Tree{}
	}
	s.used[sum] = t
	s.mu.Unlock()
	if before != nil {
		before.Release()
	}
	m := t.Manifest
	return Used{Name: m.Name, Version: m.Version, System: m.System, Sum: sum, Dir: t.Dir, Command: t.Command()}, s.Clean()
}

// UseBefore implements [Place].
func (s *Store) UseBefore(_ context.Context, name string) (Used, error) {
	if err := s.Revert(name); err != nil {
		return Used{}, err
	}
	sum, err := s.Current(name)
	if err != nil {
		return Used{}, err
	}
	return s.use(sum)
}

// Holds returns what of the store a path is in, by its content and the path in that.
func (s *Store) Holds(path string) (what string, ok bool) {
	inside, ok := strings.CutPrefix(path, filepath.Join(s.dir, kept))
	sum, _, below := strings.Cut(filepath.ToSlash(inside), "/")
	return filepath.ToSlash(inside), ok && below && manifest.IsSum(sum)
}

var _ Source = (*Tree)(nil)

// Text implements [Source].
func (t *Tree) Text() []byte { return t.text }

// Contents implements [Source].
func (t *Tree) Contents(visit func(f manifest.Entry, content io.Reader) error) error {
	for _, f := range t.Manifest.Files {
		if f.Link != "" {
			continue
		}
		file, err := os.Open(filepath.Join(t.Dir, filepath.FromSlash(f.Path)))
		if err != nil {
			return err
		}
		err = visit(f, file)
		file.Close()
		if err != nil {
			return err
		}
	}
	return nil
}
