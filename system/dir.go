package system

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
)

// Dir is a folder of one host. The zero value is none.
type Dir struct {
	host *Host
	path string
}

// File is a name in a folder of one host, such as that of shared memory or of a socket, whether there is
// such a file or not.
type File struct {
	dir  Dir
	path string
}

// Dir returns a folder of the host, and makes it if it is not there. A path that is not absolute is below
// the folder in which the program keeps its data, which is never removed.
func (h *Host) Dir(path string) (Dir, error) {
	if !filepath.IsAbs(path) {
		path = filepath.Join(h.below.Data, path)
	}
	return h.makeDir(path)
}

func (h *Host) makeDir(path string) (Dir, error) {
	if err := h.files().MakeDir(path); err != nil {
		return Dir{}, fmt.Errorf("cannot make the folder %s on %s: %w", path, h.name, err)
	}
	return Dir{h, path}, nil
}

// Dir returns a folder in the folder, and makes it if it is not there.
func (d Dir) Dir(name string) (Dir, error) {
	if d.host == nil {
		return Dir{}, errNoDir
	}
	return d.host.makeDir(filepath.Join(d.path, name))
}

// Listen is [Host.Listen] for the Unix socket of a name in the folder.
func (d Dir) Listen(ctx context.Context, n *Nursery, name string) (*Listener, error) {
	return d.File(name).Listen(ctx, n, name)
}

// Listen is [Host.Listen] for the Unix socket that the file is.
func (f File) Listen(ctx context.Context, n *Nursery, name string) (*Listener, error) {
	if f.dir.host == nil {
		return nil, errNoDir
	}
	return f.dir.host.listen(ctx, n, name, "unix", f.path)
}

// File returns a name in the folder.
func (d Dir) File(name string) File { return File{d, filepath.Join(d.path, name)} }

var errNoDir = errors.New("the zero Dir is no folder: take one from a Host")

// On returns the path of the folder for who is on a host. The error names both hosts if that is another
// one.
func (d Dir) On(h *Host) (string, error) { return on(h, d.host, "the folder", d.path) }

// On returns the path of the file for who is on a host. The error names both hosts if that is another one.
func (f File) On(h *Host) (string, error) { return on(h, f.dir.host, "the file", f.path) }

func on(h, place *Host, what, path string) (string, error) {
	switch {
	case place == nil:
		return "", errNoDir
	case place != h:
		return "", fmt.Errorf("%s %s is on %s, and cannot be used on %s", what, path, place.name, h.name)
	}
	return path, nil
}

// String returns the path with its host, as in "local:/var/lib/orderd".
func (d Dir) String() string {
	if d.host == nil {
		return "no folder"
	}
	return d.host.name + ":" + d.path
}

// String returns the path with its host.
func (f File) String() string {
	if f.dir.host == nil {
		return "no file"
	}
	return f.dir.host.name + ":" + f.path
}

// Stat says what a file of the folder is. If there is none, the error is [fs.ErrNotExist].
func (d Dir) Stat(name string) (fs.FileInfo, error) {
	if d.host == nil {
		return nil, errNoDir
	}
	return d.host.files().Stat(d.File(name).path)
}

// ReadFile returns what is in a file of the folder.
func (d Dir) ReadFile(name string) ([]byte, error) {
	if d.host == nil {
		return nil, errNoDir
	}
	return d.host.files().ReadFile(d.File(name).path)
}

// WriteFile replaces a file of the folder as a whole: whoever reads it sees all of the one or all of the
// other content, also after the end of the machine.
func (d Dir) WriteFile(name string, content []byte) error {
	if d.host == nil {
		return errNoDir
	}
	path := d.File(name).path
	if err := d.host.files().WriteFile(path, content); err != nil {
		return fmt.Errorf("cannot write %s: %w", path, err)
	}
	return nil
}
