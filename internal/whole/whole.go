// Package whole writes files as a whole: whoever reads one finds what was there before, or all that was written,
// also after a power cut.
package whole

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
)

// begun begins the names of files that are being written.
const begun = ".new-"

// Write writes a file with exactly this mode, in place of what is there. Its folder has to be there. If it fails,
// what was there stays, and nothing is left beside it; only when the folder cannot be synced the file is the new one,
// and a power cut may bring back what was.
func Write(path string, data []byte, mode fs.FileMode) error {
	return Make(path, mode, func(w io.Writer) error {
		_, err := w.Write(data)
		return err
	})
}

// Make is [Write] for what a function writes.
func Make(path string, mode fs.FileMode, content func(io.Writer) error) error {
	f, err := os.CreateTemp(filepath.Dir(path), begun+filepath.Base(path)+"-")
	if err != nil {
		return err
	}

	err = content(f)
	if err == nil {
		err = f.Chmod(mode)
	}
	if err == nil {
		err = f.Sync()
	}
	if closeErr := f.Close(); err == nil {
		err = closeErr
	}
	if err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil { // which says more than what follows from it
		_ = os.Remove(f.Name())
		return err
	}

	return SyncFolder(filepath.Dir(path))
}

// Left reports whether a name in a folder is that of a file that is being written, or was when a process ended.
func Left(name string) bool { return strings.HasPrefix(name, begun) }

// SyncFolder makes the names in a folder as durable as files that are synced, where folders can be read and synced.
func SyncFolder(dir string) error {
	if runtime.GOOS == "windows" {
		return nil
	}
	folder, err := os.Open(dir)
	if err != nil {
		return nil
	}
	defer folder.Close()

	err = folder.Sync()
	if errors.Is(err, errors.ErrUnsupported) || errors.Is(err, syscall.EINVAL) {
		return nil
	}
	return err
}
