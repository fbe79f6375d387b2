package server

import (
	"io/fs"
	"os"

	"github.com/divisi-go/divisi/internal/whole"
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

// WriteFile implements [Files].
func (Local) WriteFile(path string, content []byte) error {
	return whole.Write(path, content, 0o600)
}
