package server

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
)

// Files are those of a host. Paths are absolute.
type Files interface {
	MakeDir(path string) error // with those above it
	Stat(path string) (fs.FileInfo, error)
	ReadFile(path string) ([]byte, error)
	WriteFile(path string, content []byte) error // as a whole, also after the end of the machine
}

// Local are the files of this machine.
type Local struct{}

var _ Files = Local{}

// MakeDir implements [Files].
func (Local) MakeDir(path string) error { return os.MkdirAll(path, 0o700) }

// Stat implements [Files].
func (Local) Stat(path string) (fs.FileInfo, error) { return os.Stat(path) }

// ReadFile implements [Files].
func (Local) ReadFile(path string) ([]byte, error) { return os.ReadFile(path) }

// WriteFile implements [Files] by renaming a file.
func (Local) WriteFile(path string, content []byte) error {
	f, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+"-")
	if err != nil {
		return err
	}
	_, err = f.Write(content)
	if err = errors.Join(err, f.Sync(), f.Close()); err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		os.Remove(f.Name())
	}
	return err
}
