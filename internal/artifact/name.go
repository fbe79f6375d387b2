package artifact

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/divisi-go/divisi/internal/artifact/manifest"
	"github.com/divisi-go/divisi/internal/name"
	"github.com/divisi-go/divisi/internal/whole"
)

const (
	named   = "name-"    // begins the names of folders with versions
	current = "current"  // a link to the tree that a name means
	history = "versions" // the sums of the last versions of a name, the newest one first, each in a line
	lasting = 3          // versions that stay, of each name
)

// ErrOldest is the error of going back from the oldest version.
var ErrOldest = errors.New("there is no version before this one: install the one that you want")

// Switch makes an artifact the current one of its name. Whoever follows the [Store.Link] of that sees the one before
// or this one, and nothing between.
func (s *Store) Switch(sum string) error {
	t, err := s.Open(sum)
	if err != nil {
		return err
	}
	defer t.Release()
	all, err := s.Versions(t.Manifest.Name)
	if err != nil && !errors.Is(err, ErrNone) {
		return err
	}
	all = slices.Insert(slices.DeleteFunc(all, func(old string) bool { return old == sum }), 0, sum)

	dir := filepath.Join(s.dir, named+t.Manifest.Name)
	if err := os.MkdirAll(dir, passable); err != nil {
		return err
	}
	if err := s.write(dir, history, []byte(strings.Join(all[:min(len(all), lasting)], "\n")+"\n")); err != nil {
		return err
	}
	return point(dir, sum)
}

// Link returns the path of a link to the folder of the current version of a name.
func (s *Store) Link(of string) string { return filepath.Join(s.dir, named+of, current) }

// point has the link in a folder lead to the tree of a sum.
func point(dir, sum string) error {
	next := filepath.Join(dir, unfinished+current)
	if err := os.Remove(next); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if err := os.Symlink(filepath.Join("..", kept+sum), next); err != nil {
		return err
	}
	if err := os.Rename(next, filepath.Join(dir, current)); err != nil {
		return err
	}
	return whole.SyncFolder(dir)
}

// Revert makes the version before the current one the current one.
func (s *Store) Revert(of string) error {
	now, err := s.Current(of)
	if err != nil {
		return err
	}
	all, err := s.Versions(of)
	if err != nil {
		return err
	}
	before := slices.Index(all, now) + 1
	if before == len(all) {
		return fmt.Errorf("%s: %w", of, ErrOldest)
	}
	t, err := s.Open(all[before])
	if err != nil {
		return err
	}
	defer t.Release()
	return point(filepath.Join(s.dir, named+of), t.Sum)
}

// Current returns the sum of the artifact that a name means.
func (s *Store) Current(of string) (string, error) {
	none := fmt.Errorf("the artifact %s: %w", of, ErrNone)
	if name.CheckLabel(of) != nil {
		return "", none
	}
	link, err := os.Readlink(s.Link(of))
	if errors.Is(err, fs.ErrNotExist) {
		return "", none
	}
	if err != nil {
		return "", err
	}
	sum := strings.TrimPrefix(filepath.Base(link), kept)
	if !manifest.IsSum(sum) {
		return "", fmt.Errorf("the artifact %s: %w", of, ErrDamaged)
	}
	return sum, nil
}

// Versions returns the sums of the last versions of a name, the newest one first.
func (s *Store) Versions(of string) (sums []string, err error) {
	text, err := os.ReadFile(filepath.Join(s.dir, named+of, history))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("the artifact %s: %w", of, ErrNone)
	}
	for sum := range strings.FieldsSeq(string(text)) {
		if !manifest.IsSum(sum) {
			return nil, fmt.Errorf("the versions of %s: %w", of, ErrDamaged)
		}
		sums = append(sums, sum)
	}
	return sums, err
}

// Names returns the names that artifacts have.
func (s *Store) Names() ([]string, error) {
	entries, err := os.ReadDir(s.dir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	var names []string
	for _, e := range entries {
		if of, ok := strings.CutPrefix(e.Name(), named); ok {
			names = append(names, of)
		}
	}
	return names, nil
}

// versions returns the folders of the last versions of all names.
func (s *Store) versions() (folders []string, err error) {
	names, err := s.Names()
	if err != nil {
		return nil, err
	}
	for _, of := range names {
		sums, err := s.Versions(of)
		if err != nil && !errors.Is(err, ErrNone) {
			return nil, err
		}
		for _, sum := range sums {
			folders = append(folders, kept+sum)
		}
	}
	return folders, nil
}
