package artifact

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"

	"github.com/divisi-go/divisi/internal/artifact/manifest"
	"github.com/divisi-go/divisi/internal/whole"
)

// What can go wrong while an artifact arrives.
var (
	ErrBusy       = errors.New("somebody else is bringing the same artifact: try again when that has ended")
	ErrIncomplete = errors.New("not all of it has arrived: send the rest")
	ErrOffset     = errors.New("it does not go on where the part that is here ends: ask what is missing again")
	ErrLonger     = errors.New("it has more bytes than " + manifest.File + " says: do not use this artifact unless you " +
		"know who made it, and pack it again if that was you")
	ErrRequires = errors.New("install what it requires first, from the archive of that")
	ErrThere    = errors.New("there is something already: name a folder that is not there")
	ErrFull     = errors.New("the disk is full: make room there, or use a folder on another disk (DIVISI_HOME is that of the state)")
)

// Source is an artifact that can be read, such as an archive.
type Source interface {
	Text() []byte // its artifact.toml

	// Contents has the files visited in order. What the visitor does not read is skipped.
	Contents(visit func(f manifest.Entry, content io.Reader) error) error
}

// Depot is where artifacts are brought to: a [Store] of this machine, or of another one.
type Depot interface {
	// Begin says what artifact is to come, and returns the contents of it that are not there.
	Begin(ctx context.Context, text []byte) ([]Missing, error)

	// Put adds to a content of the artifact of a sum what comes after an offset, which is what of it is there.
	Put(ctx context.Context, sum, content string, offset int64, r io.Reader) error

	// Commit has the artifact kept, with all of its contents.
	Commit(ctx context.Context, sum string) error
}

var _ Depot = (*Store)(nil)

// Missing is a content that is not there, or in part.
type Missing struct {
	SHA256 string
	Have   int64 // bytes that are there
}

// Send brings an artifact to where it is to be kept, and returns its sum. Contents that are there, be it in another
// artifact, are not sent. If it is interrupted, the next time goes on from there.
func Send(ctx context.Context, from Source, to Depot) (sum string, err error) {
	text := from.Text()
	sum = manifest.Sum(text)
	missing, err := to.Begin(ctx, text)
	if err != nil {
		return sum, err
	}

	have := map[string]int64{}
	for _, content := range missing {
		have[content.SHA256] = content.Have
	}
	if len(have) > 0 {
		err = from.Contents(func(f manifest.Entry, content io.Reader) error {
			offset, wanted := have[f.SHA256]
			if !wanted {
				return nil
			}
			delete(have, f.SHA256)
			if _, err := io.CopyN(io.Discard, content, offset); err != nil {
				return err
			}
			return to.Put(ctx, sum, f.SHA256, offset, content)
		})
	}
	if err != nil {
		return sum, err
	}
	return sum, to.Commit(ctx, sum)
}

// Unpack makes a folder with the files of an artifact. It is there as a whole, or not at all.
func Unpack(ctx context.Context, from Source, dir string) error {
	if _, err := os.Lstat(dir); err == nil {
		return fmt.Errorf("%s: %w", dir, ErrThere)
	}
	parent, err := os.MkdirTemp(filepath.Dir(dir), ".artifact-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(parent)
	s := &Store{dir: parent, alone: true}
	sum, err := Send(ctx, from, s)
	if err != nil {
		return err
	}
	made := filepath.Join(parent, kept+sum)
	const mode = 0o755
	if err := os.Chmod(made, mode); err != nil {
		return err
	}
	return os.Rename(made, dir)
}

// partial ends the names of contents of which only a part is there.
const partial = ".part"

// upload is an artifact that arrives, in a locked folder that has its text and what has arrived of its contents,
// each by its sum.
type upload struct {
	store    *Store
	dir      string
	lock     *os.File
	root     *os.Root
	text     []byte
	manifest manifest.Manifest
}

// Begin begins to keep an artifact, or goes on with one, and returns the contents that are not here. One that is
// here as a whole has none.
func (s *Store) Begin(_ context.Context, text []byte) ([]Missing, error) {
	m, err := manifest.Parse(text, manifest.MaxSize)
	if err != nil {
		return nil, err
	}
	if err := s.hasRequired(m); err != nil {
		return nil, err
	}
	sum := manifest.Sum(text)
	if there, err := s.Open(sum); err == nil {
		there.Release()
		return nil, nil
	}

	dir := filepath.Join(s.dir, arriving+sum)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, s.full(dir, err)
	}
	if err := s.write(dir, manifest.File, text); err != nil {
		return nil, s.full(dir, err)
	}
	u, err := s.resume(sum)
	if err != nil {
		return nil, err
	}
	defer u.close()
	missing, err := u.missing()
	return missing, s.full(dir, err)
}

// hasRequired says which of the artifacts that one requires is not here.
func (s *Store) hasRequired(m manifest.Manifest) error {
	if s.alone {
		return nil
	}
	for name, sum := range m.Requires {
		if _, err := s.manifest(kept + sum); err != nil {
			return fmt.Errorf("%s requires %s, of the sum %s: %w", m.Title(), name, sum, ErrRequires)
		}
	}
	return nil
}

// resume opens an artifact that has begun to arrive, for nobody else meanwhile.
func (s *Store) resume(sum string) (u *upload, err error) {
	if !manifest.IsSum(sum) {
		return nil, ErrNone
	}
	u = &upload{store: s, dir: filepath.Join(s.dir, arriving+sum)}
	defer func() {
		if err != nil {
			u.close()
		}
	}()

	u.root, err = os.OpenRoot(u.dir)
	if errors.Is(err, fs.ErrNotExist) {
		return u, fmt.Errorf("the artifact %s has not begun to arrive: %w", sum, ErrNone)
	}
	if err != nil {
		return u, err
	}
	if u.lock = lockUnused(u.dir); u.lock == nil {
		return u, ErrBusy
	}
	if u.text, err = u.root.ReadFile(manifest.File); err != nil {
		return u, err
	}
	if manifest.Sum(u.text) != sum {
		return u, fmt.Errorf("what has arrived of %s: %w", sum, ErrDamaged)
	}
	u.manifest, err = manifest.Parse(u.text, manifest.MaxSize)
	return u, err
}

func (u *upload) close() {
	if u.root != nil {
		u.root.Close()
	}
	if u.lock != nil {
		u.lock.Close()
	}
}

// missing returns the contents that are not there, when those that other trees have were copied.
func (u *upload) missing() (missing []Missing, err error) {
	elsewhere := map[string]string{}
	looked, seen := false, map[string]bool{}
	for _, f := range u.manifest.Files {
		if f.Link != "" || seen[f.SHA256] {
			continue
		}
		seen[f.SHA256] = true
		if _, err := u.root.Stat(f.SHA256); err == nil {
			continue
		}
		if info, err := u.root.Stat(f.SHA256 + partial); err == nil && info.Size() > 0 {
			missing = append(missing, Missing{f.SHA256, info.Size()})
			continue
		}
		if !looked {
			elsewhere, looked = u.store.contents(), true
		}
		copied, err := u.copy(f, elsewhere[f.SHA256])
		if err != nil {
			return nil, err
		}
		if !copied {
			missing = append(missing, Missing{f.SHA256, 0})
		}
	}
	return missing, nil
}

// contents returns where the contents of all trees are. One may be gone, or another one, when it is read.
func (s *Store) contents() map[string]string {
	where := map[string]string{}
	folders, _ := filepath.Glob(filepath.Join(s.dir, kept+"*"))
	for _, dir := range folders {
		m, err := s.manifest(filepath.Base(dir))
		if err != nil {
			continue // a program, or no tree that anybody can use
		}
		for _, f := range m.Files {
			if f.Link == "" {
				where[f.SHA256] = filepath.Join(dir, filepath.FromSlash(f.Path))
			}
		}
	}
	return where
}

// copy copies a content from another tree, if that has it still, and as it was.
func (u *upload) copy(f manifest.Entry, path string) (bool, error) {
	from, err := os.Open(path)
	if err != nil {
		return false, nil
	}
	defer from.Close()
	err = u.put(f, 0, leftover{from})
	if errors.Is(err, manifest.ErrContent) || errors.Is(err, manifest.ErrTruncated) || errors.Is(err, ErrLonger) {
		return false, u.root.RemoveAll(f.SHA256 + partial)
	}
	return err == nil, err
}

// leftover is a file that nobody has compared with its sum. If it cannot be read, it only ends too early.
type leftover struct{ from io.Reader }

// Read reads the file.
func (l leftover) Read(p []byte) (int, error) {
	n, err := l.from.Read(p)
	if err != nil && err != io.EOF {
		err = manifest.ErrTruncated
	}
	return n, err
}

// Put adds to a content of an artifact that has begun to arrive. What has arrived stays if the reader fails; a
// content that is not what its sum says is removed.
func (s *Store) Put(_ context.Context, sum, content string, offset int64, r io.Reader) error {
	u, err := s.resume(sum)
	if err != nil {
		return err
	}
	defer u.close()
	for _, f := range u.manifest.Files {
		if f.Link == "" && f.SHA256 == content {
			return s.full(u.dir, u.put(f, offset, r))
		}
	}
	return fmt.Errorf("the content %q is not one of %s: %w", content, u.manifest.Title(), ErrOffset)
}

// put adds to a content, and compares it with its sum when it is complete.
func (u *upload) put(f manifest.Entry, offset int64, r io.Reader) (err error) {
	if _, err := u.root.Stat(f.SHA256); err == nil {
		return nil
	}
	unfinished := f.SHA256 + partial
	file, err := u.root.OpenFile(unfinished, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return err
	}
	defer file.Close()

	h := sha256.New()
	have, err := io.Copy(h, file)
	if err != nil {
		return err
	}
	if have != offset {
		return fmt.Errorf("there are %d bytes, and what comes begins after %d: %w", have, offset, ErrOffset)
	}
	n, err := io.Copy(io.MultiWriter(file, h), io.LimitReader(r, f.Size-have+1))
	switch size := have + n; {
	case size > f.Size:
		return errors.Join(ErrLonger, u.root.Remove(unfinished))
	case err != nil:
		return err
	case size < f.Size:
		return manifest.ErrTruncated
	case hex.EncodeToString(h.Sum(nil)) != f.SHA256:
		return errors.Join(manifest.ErrContent, u.root.Remove(unfinished))
	}
	if err := file.Sync(); err != nil {
		return err
	}
	return u.root.Rename(unfinished, f.SHA256)
}

// Commit keeps an artifact all of whose contents have arrived.
func (s *Store) Commit(_ context.Context, sum string) error {
	if there, err := s.Open(sum); err == nil {
		there.Release()
		return nil
	}
	u, err := s.resume(sum)
	if err != nil {
		return err
	}
	defer u.close()
	if err := s.hasRequired(u.manifest); err != nil {
		return err
	}
	for _, f := range u.manifest.Files {
		if _, err := u.root.Stat(f.SHA256); f.Link == "" && err != nil {
			return fmt.Errorf("the content %s: %w", f.SHA256, ErrIncomplete)
		}
	}

	dir, lock, err := s.begin()
	if err != nil {
		return s.full(u.dir, err)
	}
	defer lock.Close()
	err = u.build(dir)
	if err == nil {
		err = u.keep(dir, lock, sum)
	}
	if err != nil {
		return s.full(u.dir, errors.Join(err, os.RemoveAll(dir)))
	}
	return errors.Join(os.RemoveAll(dir), os.RemoveAll(u.dir), whole.SyncFolder(s.dir))
}

// keep makes a folder with the tree the one of its sum.
func (u *upload) keep(dir string, lock *os.File, sum string) error {
	syscall.ForkLock.RLock() // no process that was forked meanwhile has a file open for writing, then
	defer syscall.ForkLock.RUnlock()
	for _, f := range u.manifest.Files {
		if f.Mode == manifest.Executable {
			if err := u.store.runs(filepath.Join(dir, filepath.FromSlash(f.Path))); err != nil {
				return err
			}
			break
		}
	}

	used, err := u.store.settle(dir, lock, sum, func(home string) error { return u.mend(home, dir) })
	if err == nil && used != lock {
		used.Close()
	}
	return err
}

// full adds the way out to the error of a full disk, and removes what has arrived of an artifact then.
func (s *Store) full(dir string, err error) error {
	if errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) {
		return errors.Join(fmt.Errorf("in %s: %w", s.dir, ErrFull), os.RemoveAll(dir))
	}
	return err
}

// write replaces a file in a folder of the store as a whole, also after a power cut.
func (s *Store) write(dir, name string, content []byte) error {
	path := filepath.Join(dir, name)
	if there, err := os.ReadFile(path); err == nil && bytes.Equal(there, content) {
		return nil
	}
	return whole.Write(path, content, 0o600)
}
