package artifact

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/divisi-go/divisi/internal/artifact/manifest"
	"github.com/divisi-go/divisi/internal/whole"
)

// What can be wrong with a tree in a store.
var (
	ErrNone    = errors.New("it is not here: divisi artifact install brings it")
	ErrDamaged = errors.New("it has been changed since it came here: divisi artifact install brings it again")
)

// Tree is an artifact in a store. It does not change, and stays until it is released.
type Tree struct {
	Dir      string
	Sum      string
	Manifest manifest.Manifest

	text     []byte
	required map[string]*Tree
	lock     *os.File
}

// Open returns the artifact of a sum, and those that it requires, when every file of it was read and compared
// with its sum.
func (s *Store) Open(sum string) (*Tree, error) {
	t := &Tree{Dir: s.Path(sum), Sum: sum, required: map[string]*Tree{}}
	if err := t.open(s); err != nil {
		t.Release()
		return nil, fmt.Errorf("the artifact %s: %w", sum, err)
	}
	return t, nil
}

func (t *Tree) open(s *Store) (err error) {
	if !manifest.IsSum(t.Sum) {
		return ErrNone
	}
	t.lock, err = use(t.Dir)
	if errors.Is(err, fs.ErrNotExist) {
		return ErrNone
	}
	if err != nil {
		return err
	}

	root, err := os.OpenRoot(t.Dir)
	if err != nil {
		return err
	}
	defer root.Close()
	if t.Manifest, err = described(root, t.Sum); err != nil {
		return err
	}
	if t.text, err = root.ReadFile(manifest.File); err != nil {
		return err
	}
	wrong, err := inspect(root, t.Manifest)
	if err != nil {
		return err
	}
	if len(wrong) > 0 {
		return fmt.Errorf("its file %q: %w", wrong[0], ErrDamaged)
	}

	for _, name := range slices.Sorted(maps.Keys(t.Manifest.Requires)) {
		other, err := s.Open(t.Manifest.Requires[name])
		if err != nil {
			return fmt.Errorf("it requires %s: %w", name, err)
		}
		t.required[name] = other
	}
	return nil
}

// Release lets the artifact be removed, and those that it requires. What runs it goes on.
func (t *Tree) Release() {
	for _, other := range t.required {
		other.Release()
	}
	if t.lock != nil {
		t.lock.Close()
	}
}

// Command returns how the program of the artifact is called, nothing if it has none.
func (t *Tree) Command() []string {
	folders := map[string]string{}
	for name, other := range t.required {
		folders[name] = other.Dir
	}
	return t.Manifest.Command(t.Dir, folders)
}

// Folder returns the folder of an artifact, which is read no further than its text.
func (s *Store) Folder(sum string) (string, error) {
	if _, err := s.manifest(kept + sum); err != nil {
		return "", fmt.Errorf("the artifact %s: %w", sum, err)
	}
	return s.Path(sum), nil
}

// Path returns where the artifact of a sum is, if it is here.
func (s *Store) Path(sum string) string { return filepath.Join(s.dir, kept+sum) }

// described reads the text in a folder, which is to have a sum.
func described(root *os.Root, sum string) (manifest.Manifest, error) {
	file, err := root.Open(manifest.File)
	if errors.Is(err, fs.ErrNotExist) {
		return manifest.Manifest{}, fmt.Errorf("it is a program, and has no %s: %w", manifest.File, ErrNone)
	}
	if err != nil {
		return manifest.Manifest{}, err
	}
	defer file.Close()

	text, err := io.ReadAll(io.LimitReader(file, manifest.MaxText+1))
	if err != nil {
		return manifest.Manifest{}, err
	}
	if manifest.Sum(text) != sum {
		return manifest.Manifest{}, fmt.Errorf("its %s: %w", manifest.File, ErrDamaged)
	}
	return manifest.Parse(text, manifest.MaxSize)
}

// inspect returns the paths of a folder that are not as a manifest says: those that are missing or others, and
// those that are there besides.
func inspect(root *os.Root, m manifest.Manifest) (wrong []string, err error) {
	there := map[string]bool{manifest.File: true}
	for _, f := range m.Files {
		there[f.Path] = true
		if !isAs(root, f) {
			wrong = append(wrong, f.Path)
		}
	}
	err = fs.WalkDir(root.FS(), ".", func(path string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() && !there[path] {
			wrong = append(wrong, path)
		}
		return err
	})
	return wrong, err
}

// isAs reports whether a file or link of a folder is as its manifest says.
func isAs(root *os.Root, f manifest.Entry) bool {
	if f.Link != "" {
		link, err := root.Readlink(f.Path)
		return err == nil && filepath.ToSlash(link) == f.Link
	}
	info, err := root.Lstat(f.Path)
	if err != nil || !info.Mode().IsRegular() || info.Mode().Perm() != fs.FileMode(f.Mode) || info.Size() != f.Size {
		return false
	}
	file, err := root.Open(f.Path)
	if err != nil {
		return false
	}
	defer file.Close()
	h := sha256.New()
	_, err = io.Copy(h, file)
	return err == nil && hex.EncodeToString(h.Sum(nil)) == f.SHA256
}

// addRequired adds the folders that those of some names require.
func (s *Store) addRequired(stays map[string]bool) {
	names := slices.Collect(maps.Keys(stays))
	for len(names) > 0 {
		name := names[0]
		names = names[1:]
		m, err := s.manifest(name)
		if err != nil {
			continue // a program, or no tree that anybody can use
		}
		for _, sum := range m.Requires {
			if other := kept + sum; !stays[other] {
				stays[other] = true
				names = append(names, other)
			}
		}
	}
}

// manifest reads what is said about the tree in a folder.
func (s *Store) manifest(name string) (manifest.Manifest, error) {
	sum, isKept := strings.CutPrefix(name, kept)
	if !isKept {
		return manifest.Manifest{}, ErrNone
	}
	root, err := os.OpenRoot(filepath.Join(s.dir, name))
	if err != nil {
		return manifest.Manifest{}, err
	}
	defer root.Close()
	return described(root, sum)
}

// build makes the tree of an upload in a folder of the store.
func (u *upload) build(dir string) error {
	root, err := os.OpenRoot(u.store.dir)
	if err != nil {
		return err
	}
	defer root.Close()
	base := filepath.Base(dir)
	modes, folders := map[string]int64{}, map[string]bool{base: true}
	for _, f := range u.manifest.Files {
		path := filepath.Join(base, filepath.FromSlash(f.Path))
		for parent := filepath.Dir(path); !folders[parent]; parent = filepath.Dir(parent) {
			folders[parent] = true
		}
		if err := root.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			return err
		}
		if f.Link != "" {
			if err := root.Symlink(filepath.FromSlash(f.Link), path); err != nil {
				return err
			}
			continue
		}
		if err := u.place(root, path, f, modes); err != nil {
			return err
		}
	}
	if err := root.WriteFile(filepath.Join(base, manifest.File), u.text, manifest.Plain); err != nil {
		return err
	}
	for folder := range folders {
		if err := whole.SyncFolder(filepath.Join(u.store.dir, folder)); err != nil {
			return err
		}
	}
	return nil
}

// place puts a content that has arrived to a path. Paths of one content are one file if they have one mode.
func (u *upload) place(root *os.Root, path string, f manifest.Entry, modes map[string]int64) error {
	content := filepath.Join(filepath.Base(u.dir), f.SHA256)
	mode, used := modes[f.SHA256]
	if !used || mode == f.Mode {
		modes[f.SHA256] = f.Mode
		if err := root.Link(content, path); err == nil {
			return root.Chmod(path, fs.FileMode(f.Mode))
		}
	}

	from, err := root.Open(content)
	if err != nil {
		return err
	}
	defer from.Close()
	to, err := root.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	_, err = io.Copy(to, from)
	if err := errors.Join(err, to.Sync(), to.Close()); err != nil {
		return err
	}
	return root.Chmod(path, fs.FileMode(f.Mode))
}

// mend has a folder of the store, which is there already, have the files of one that was just made.
func (u *upload) mend(home, made string) error {
	root, err := os.OpenRoot(u.store.dir)
	if err != nil {
		return err
	}
	defer root.Close()
	inside, err := root.OpenRoot(filepath.Base(home))
	if err != nil {
		return err
	}
	defer inside.Close()

	text, err := inside.ReadFile(manifest.File)
	if err != nil || !bytes.Equal(text, u.text) {
		from, to := filepath.Join(filepath.Base(made), manifest.File), filepath.Join(filepath.Base(home), manifest.File)
		if err := root.Rename(from, to); err != nil {
			return err
		}
	}
	wrong, err := inspect(inside, u.manifest)
	for _, path := range wrong {
		local := filepath.FromSlash(path)
		if err := inside.RemoveAll(local); err != nil {
			return err
		}
		if !slices.ContainsFunc(u.manifest.Files, func(f manifest.Entry) bool { return f.Path == path }) {
			continue
		}
		if err := inside.MkdirAll(filepath.Dir(local), 0o755); err != nil {
			return err
		}
		err := root.Rename(filepath.Join(filepath.Base(made), local), filepath.Join(filepath.Base(home), local))
		if err != nil {
			return err
		}
	}
	return err
}
