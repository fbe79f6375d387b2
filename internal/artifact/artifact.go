// Package artifact keeps programs by their content: what a version of an application runs is what
// was read when it began, whatever happens to the file that it was read from.
//
//	cas/sha256-HEX/shop   a program under its own name, in a folder named by its content
//	cas/new-RANDOM/       one that is being made, or removed
//
// A process that uses a folder has it locked, and the lock ends with the process. So a folder that
// is not locked is used by nobody, however its last user ended.
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
	"syscall"
	"time"
)

const (
	kept       = "sha256-" // begins the names of folders with programs
	unfinished = "new-"    // begins the names of others
	spare      = 3         // programs that nobody uses and that are kept, the newest ones
	attempts   = 100       // to use a folder that others remove at the same time
)

// Store is a folder of programs.
type Store struct{ dir string }

// NewStore returns the store in a folder, which is made with the first program.
func NewStore(dir string) *Store { return &Store{dir} }

// Program is a program in a store. It does not change, and stays until it is released.
type Program struct {
	Path string
	lock *os.File
}

// Release lets the program be removed. What runs it goes on.
func (p *Program) Release() { p.lock.Close() }

// Copy keeps the program that is in a file now.
func (s *Store) Copy(file string) (*Program, error) {
	p, err := s.Make(func(dir string) (string, error) {
		target := filepath.Join(dir, filepath.Base(file))
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
	if err := os.Chmod(file, 0o500); err != nil {
		return nil, err
	}
	if err := executable(file); err != nil {
		return nil, fmt.Errorf("programs cannot run in %s: %w (set DIVISI_HOME to a folder "+
			"whose file system is not mounted noexec)", s.dir, err)
	}
	sum, err := sumOf(file)
	if err != nil {
		return nil, err
	}

	home := filepath.Join(s.dir, kept+sum)
	path := filepath.Join(home, filepath.Base(file))
	for range attempts {
		err := os.Rename(dir, home)
		if err == nil {
			return &Program{path, lock}, nil
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
		if err := refresh(home, path, file, sum); err != nil {
			return nil, errors.Join(err, used.Close())
		}
		return &Program{path, used}, nil
	}
	return nil, fmt.Errorf("%s is removed as soon as it is made", home)
}

// refresh makes a folder the newest one, and puts a program into it unless it is there, whole.
func refresh(home, path, file, sum string) error {
	now := time.Now()
	if err := os.Chtimes(home, now, now); err != nil {
		return err
	}
	if got, err := sumOf(path); err == nil && got == sum {
		return nil
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

// Clean removes what no process uses: what was left unfinished, and all but the newest programs.
func (s *Store) Clean() error {
	entries, err := os.ReadDir(s.dir)
	if err != nil {
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		return err
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

	left := spare
	var failed []error
	for _, f := range folders {
		least := 0
		switch {
		case strings.HasPrefix(f.Name(), kept):
			least = left
		case !strings.HasPrefix(f.Name(), unfinished):
			continue
		}
		unused, err := s.remove(filepath.Join(s.dir, f.Name()), least > 0)
		if unused && least > 0 {
			left--
		}
		failed = append(failed, err)
	}
	return errors.Join(failed...)
}

// remove removes a folder if nobody uses it, unless it is to be spared, and reports whether nobody
// uses it.
func (s *Store) remove(dir string, spared bool) (unused bool, err error) {
	f, err := os.Open(dir)
	if err != nil {
		return false, nil // it is gone
	}
	defer f.Close()
	if !tryLockAlone(f) || !isAt(f, dir) {
		return false, nil
	}
	if spared {
		return true, nil
	}

	// Under the name of its content nobody ever sees a part of it.
	trash := dir
	if name, ok := strings.CutPrefix(filepath.Base(dir), kept); ok {
		trash = filepath.Join(s.dir, unfinished+name)
		if err := errors.Join(os.RemoveAll(trash), os.Rename(dir, trash)); err != nil {
			return true, err
		}
	}
	return true, os.RemoveAll(trash)
}
