// Package artifact keeps programs, and trees of files, by their content: what a version of an application runs is
// what was read when it began, whatever happens to the file that it was read from.
//
//	cas/sha256-HEX/shop            a program under its own name, in a folder named by its content
//	cas/sha256-HEX/artifact.toml   a tree of files, in a folder named by this text, which has the sums of all of them
//	cas/new-RANDOM/                one that is being made, or removed
//	cas/part-HEX/                  a tree that is arriving
//	cas/name-NAME/                 which trees have a name, and which of them is the current one
//
// A program or tree stays as long as
//
//   - a process uses it: that one has its folder locked, and the lock ends with the process, however that
//     ends, or
//   - it is needed, as the user of the store knows: what runs it may outlive who has started it, or
//   - it is one of the last versions that have a name, or
//   - one that stays requires it.
//
// Nothing is lost between the two if whoever uses a program goes on to until others can see that it is
// needed: [Store.Clean] locks what nobody uses, and asks then what is needed.
//
// What a file system says about a file besides that it is a program, such as capabilities, is not
// kept.
package artifact

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"
)

const (
	kept       = "sha256-"      // begins the names of folders with programs
	unfinished = "new-"         // begins the names of others
	arriving   = "part-"        // begins the names of folders with trees that are not complete
	spare      = 3              // programs that nobody uses and that are kept, the newest ones
	patience   = 24 * time.Hour // after which nobody goes on to send what has begun to arrive
	attempts   = 100            // to use a folder that others remove at the same time
)

// Store is a folder of programs and trees.
type Store struct {
	dir    string
	needed func() ([]string, error)
	alone  bool // it is for one tree, without what that requires

	mu   sync.Mutex       // guards used
	used map[string]*Tree // what this process uses, by its sum
}

// NewStore returns the store in a folder, which is made with the first program. The function returns the
// paths of the programs that are needed, in the store or not.
func NewStore(dir string, needed func() ([]string, error)) *Store {
	return &Store{dir: dir, needed: needed}
}

// Program is a program in a store. It does not change, and stays until it is released.
type Program struct {
	Path string
	lock *os.File
}

// Release lets the program be removed. What runs it goes on.
func (p *Program) Release() { p.lock.Close() }

// Copy keeps the program that is in a file now.
func (s *Store) Copy(file string) (*Program, error) { return s.CopyAs(filepath.Base(file), file) }

// CopyAs keeps the program that is in a file now under another name than that of the file.
func (s *Store) CopyAs(base, file string) (*Program, error) {
	p, err := s.Make(func(dir string) (string, error) {
		target := filepath.Join(dir, base)
		return target, copyProgram(target, file, io.Copy)
	})
	if err != nil {
		return nil, fmt.Errorf("cannot keep a copy of the program %s: %w", file, s.explain(err))
	}
	return p, nil
}

// explain adds the way out to an error.
func (s *Store) explain(err error) error {
	if errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) {
		return fmt.Errorf("%w (make room for %s, or set DIVISI_HOME to a folder elsewhere)", err, s.dir)
	}
	return err
}

// copyProgram copies a program, and fails if that was written meanwhile.
func copyProgram(target, file string, copy func(io.Writer, io.Reader) (int64, error)) error {
	from, err := os.Open(file)
	if err != nil {
		return err
	}
	defer from.Close()
	before, err := from.Stat()
	switch {
	case err != nil:
		return err
	case !before.Mode().IsRegular():
		return errors.New("it is no file")
	}

	to, err := os.OpenFile(target, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	_, err = copy(to, from)
	if err := errors.Join(err, to.Close()); err != nil {
		return err
	}
	// A process that was forked meanwhile holds the file open for writing, and the program cannot
	// run, until it has executed its own. Then the lock is free.
	syscall.ForkLock.RLock()
	defer syscall.ForkLock.RUnlock()

	after, err := from.Stat()
	if err == nil && (after.Size() != before.Size() || !after.ModTime().Equal(before.ModTime())) {
		err = errors.New("it is being written: try again when it is complete")
	}
	return err
}

// Make keeps the program that a function makes in the folder that it is given. An error of the
// function is returned as it is.
func (s *Store) Make(program func(dir string) (file string, err error)) (*Program, error) {
	if err := os.MkdirAll(s.dir, 0o700); err != nil {
		return nil, err
	}
	dir, lock, err := s.begin()
	if err != nil {
		return nil, err
	}
	p, err := s.keep(dir, lock, program)
	if err == nil && p.lock == lock {
		return p, nil
	}
	_ = os.RemoveAll(dir) // what cannot be removed now, Clean removes
	lock.Close()
	return p, err
}

// begin makes a folder and locks it.
func (s *Store) begin() (string, *os.File, error) {
	for range attempts {
		dir, err := os.MkdirTemp(s.dir, unfinished)
		if err != nil {
			return "", nil, err
		}
		// Until it is locked, others take it for one that was left.
		lock, err := use(dir)
		if !errors.Is(err, fs.ErrNotExist) {
			return dir, lock, err
		}
	}
	return "", nil, fmt.Errorf("folders in %s are removed as soon as they are made", s.dir)
}

// keep has a program made in a locked folder, and makes that the folder of its content, unless
// there is one.
func (s *Store) keep(dir string, lock *os.File, program func(string) (string, error)) (*Program, error) {
	file, err := program(dir)
	if err != nil {
		return nil, err
	}
	if err := os.Chmod(file, runnable); err != nil {
		return nil, err
	}
	if err := s.runs(file); err != nil {
		return nil, err
	}
	sum, err := sumOf(file)
	if err != nil {
		return nil, err
	}

	path := filepath.Join(s.dir, kept+sum, filepath.Base(file))
	used, err := s.settle(dir, lock, sum, func(home string) error { return refresh(home, path, file, sum) })
	if err != nil {
		return nil, err
	}
	return &Program{path, used}, nil
}

// runs says why a program in the store cannot be executed.
func (s *Store) runs(file string) error {
	if err := executable(file); err != nil {
		return fmt.Errorf("programs cannot run in %s: %w (set DIVISI_HOME to a folder "+
			"whose file system is not mounted noexec)", s.dir, err)
	}
	return nil
}

// What is kept can be run by processes of other users, which know where it is: nobody else can list a folder, and so
// nobody finds what he does not run.
const (
	passable = 0o711 // of folders
	runnable = 0o555 // of programs
)

// settle makes a locked folder that of a content. If there is one, that is mended, and returned as it is locked
// then.
func (s *Store) settle(dir string, lock *os.File, sum string, mend func(home string) error) (*os.File, error) {
	home := filepath.Join(s.dir, kept+sum)
	if err := errors.Join(os.Chmod(s.dir, passable), os.Chmod(dir, passable)); err != nil {
		return nil, err
	}
	for range attempts {
		err := os.Rename(dir, home)
		if err == nil {
			return lock, nil
		}
		if !errors.Is(err, fs.ErrExist) {
			return nil, err
		}
		used, err := use(home)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, err
		}
		if err := mend(home); err != nil {
			return nil, errors.Join(err, used.Close())
		}
		return used, nil
	}
	return nil, fmt.Errorf("%s is removed as soon as it is made", home)
}

// refresh makes a folder the newest one, and puts a program into it unless it is there, whole.
func refresh(home, path, file, sum string) error {
	now := time.Now()
	if err := errors.Join(os.Chtimes(home, now, now), os.Chmod(home, passable)); err != nil {
		return err
	}
	if got, err := sumOf(path); err == nil && got == sum {
		return os.Chmod(path, runnable)
	}
	return os.Rename(file, path)
}

// Sum returns the SHA-256 sum of a program in hexadecimal. Of one in a store it is in the path, and
// nothing is read.
func Sum(file string) (string, error) {
	sum, ok := strings.CutPrefix(filepath.Base(filepath.Dir(file)), kept)
	if raw, err := hex.DecodeString(sum); ok && err == nil && len(raw) == sha256.Size {
		return sum, nil
	}
	return sumOf(file)
}

// sumOf returns the SHA-256 sum of a file in hexadecimal.
func sumOf(file string) (string, error) {
	f, err := os.Open(file)
	if err != nil {
		return "", err
	}
	defer f.Close()
	h := sha256.New()
	if _, err := io.Copy(h, f); err != nil {
		return "", err
	}
	return hex.EncodeToString(h.Sum(nil)), nil
}

// use locks a folder, so that nobody removes it. The error of one that is not there, or not any
// more, is [fs.ErrNotExist].
func use(dir string) (*os.File, error) {
	f, err := os.Open(dir)
	if err != nil {
		return nil, err
	}
	if err := lockShared(f); err != nil {
		return nil, errors.Join(fmt.Errorf("cannot lock %s: %w", dir, err), f.Close())
	}
	if !isAt(f, dir) {
		return nil, errors.Join(fs.ErrNotExist, f.Close())
	}
	return f, nil
}

// isAt reports whether an open folder is still the one at its path.
func isAt(f *os.File, dir string) bool {
	open, err := f.Stat()
	if err != nil {
		return false
	}
	there, err := os.Lstat(dir)
	return err == nil && os.SameFile(open, there)
}

// Clean removes what was left unfinished, and the programs that no process uses, but for the newest ones and
// those that are needed. What is needed is asked only if there may be something to remove; if nobody can
// tell, no program is removed.
func (s *Store) Clean() error {
	unused, err := s.unused()
	defer func() {
		for _, f := range unused {
			f.Close()
		}
	}()

	if len(unused) <= spare {
		return err
	}

	failed := []error{err}
	paths, err := s.needed()
	if err != nil {
		return errors.Join(append(failed, err)...)
	}
	versions, err := s.versions()
	if err != nil {
		return errors.Join(append(failed, err)...)
	}
	stays := map[string]bool{}
	for _, path := range append(paths, versions...) {
		for folder := range strings.SplitSeq(filepath.ToSlash(path), "/") {
			stays[folder] = true
		}
	}
	left := spare
	for _, f := range unused {
		name := filepath.Base(f.Name())
		if !stays[name] && left > 0 {
			stays[name] = true
			left--
		}
	}
	s.addRequired(stays)
	for _, f := range unused {
		if name := filepath.Base(f.Name()); !stays[name] {
			failed = append(failed, s.discard(name))
		}
	}
	return errors.Join(failed...)
}

// unused returns the folders of programs that nobody uses, the newest ones first, and locked, so that nobody
// begins to. What was left unfinished it removes.
func (s *Store) unused() (programs []*os.File, err error) {
	entries, err := os.ReadDir(s.dir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	var folders []fs.FileInfo
	for _, e := range entries {
		if info, err := e.Info(); err == nil && info.IsDir() { // else it is gone, or not ours
			folders = append(folders, info)
		}
	}
	slices.SortFunc(folders, func(a, b fs.FileInfo) int {
		return cmp.Or(b.ModTime().Compare(a.ModTime()), strings.Compare(a.Name(), b.Name()))
	})

	var failed []error
	for _, folder := range folders {
		isProgram := strings.HasPrefix(folder.Name(), kept)
		isLeft := strings.HasPrefix(folder.Name(), unfinished) ||
			strings.HasPrefix(folder.Name(), arriving) && time.Since(folder.ModTime()) > patience
		if !isProgram && !isLeft {
			continue
		}
		f := lockUnused(filepath.Join(s.dir, folder.Name()))
		switch {
		case f == nil:
		case isProgram:
			programs = append(programs, f)
		default:
			failed = append(failed, os.RemoveAll(f.Name()))
			f.Close()
		}
	}
	return programs, errors.Join(failed...)
}

// lockUnused locks a folder, or returns nil if somebody uses it, or it is gone.
func lockUnused(dir string) *os.File {
	f, err := os.Open(dir)
	if err != nil {
		return nil
	}
	if !tryLockAlone(f) || !isAt(f, dir) {
		f.Close()
		return nil
	}
	return f
}

// discard removes the folder of a program, which is locked. Under its name nobody ever sees a part of it.
func (s *Store) discard(name string) error {
	dir, trash := filepath.Join(s.dir, name), filepath.Join(s.dir, unfinished+strings.TrimPrefix(name, kept))
	if err := errors.Join(os.RemoveAll(trash), os.Rename(dir, trash)); err != nil {
		return err
	}
	return os.RemoveAll(trash)
}
