package servlet

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/tetratelabs/wazero"
)

// kept is a folder of compiled servlets, for the next process. Several processes may have it at once: what is in it has names
// by its content, and comes there by a rename.
type kept struct {
	dir   string
	cache wazero.CompilationCache
}

// keep opens the folder, and makes it if it is not there.
func keep(dir string) (*kept, error) {
	err := os.MkdirAll(dir, 0o700)
	if err != nil {
		return nil, err
	}
	info, err := os.Lstat(dir)
	switch {
	case err != nil:
		return nil, err
	case !info.IsDir():
		return nil, fmt.Errorf("%s is not a folder", dir)
	case info.Mode().Perm()&0o022 != 0:
		return nil, fmt.Errorf("others may write %s, from which programs are run: chmod %o %[1]s", dir, info.Mode().Perm()&^0o022)
	}
	cache, err := wazero.NewCompilationCacheWithDir(dir)
	if err != nil {
		return nil, err
	}
	return &kept{dir: dir, cache: cache}, nil
}

// mend empties the folder if it is why a servlet cannot be compiled: no room is left, or a file is damaged. It reports whether
// to try again.
func (k *kept) mend(why error) bool {
	var file *fs.PathError
	if k == nil || !errors.As(why, &file) && !strings.Contains(why.Error(), "compilationcache:") {
		return false
	}
	k.shrink(-1) // empty ones as well
	return true
}

// shrink removes the oldest files until the others have no more bytes than that. What it cannot remove stays.
func (k *kept) shrink(most int64) {
	type file struct {
		path string
		info fs.FileInfo
	}
	var files []file
	var all int64
	_ = filepath.WalkDir(k.dir, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || !entry.Type().IsRegular() {
			return nil
		}
		if info, err := entry.Info(); err == nil {
			files = append(files, file{path, info})
			all += info.Size()
		}
		return nil
	})
	slices.SortFunc(files, func(a, b file) int { return a.info.ModTime().Compare(b.info.ModTime()) })
	for _, f := range files {
		if all <= most {
			return
		}
		if os.Remove(f.path) == nil {
			all -= f.info.Size()
		}
	}
}

// close gives back what was compiled.
func (k *kept) close() error {
	if k == nil {
		return nil
	}
	return k.cache.Close(context.Background())
}
