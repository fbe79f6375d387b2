package oci

import (
	"archive/tar"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"slices"
	"strings"
)

// tree is a folder that layers are applied to.
type tree struct {
	root  *os.Root
	files int   // of all layers
	bytes int64 // of all layers
}

// Of the specification of layers: what hides a path of the layers below, and what hides all in a folder.
const (
	whiteout = ".wh."
	opaque   = ".wh..wh..opq"
)

// layer applies one layer.
func (t *tree) layer(r io.Reader) error {
	own := map[string]bool{} // what this layer has
	for entries := tar.NewReader(r); ; {
		h, err := entries.Next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err == nil {
			err = t.entry(h, entries, own)
		}
		if err != nil {
			return err
		}
	}
}

// entry applies one entry of a layer.
func (t *tree) entry(h *tar.Header, content io.Reader, own map[string]bool) error {
	t.files++
	t.bytes += max(0, h.Size)
	if t.files > most.files || t.bytes > most.bytes {
		return fmt.Errorf("%d files with %d bytes: %w", t.files, t.bytes, ErrTooMuch)
	}
	if h.Typeflag == tar.TypeXGlobalHeader {
		return nil
	}
	if slices.Contains(strings.Split(h.Name, "/"), "..") {
		return fmt.Errorf("%s: %w", h.Name, ErrOutside)
	}
	name := strings.TrimPrefix(path.Clean("/"+h.Name), "/")
	if name == "" {
		return nil // the root is there
	}
	dir, err := t.folder(path.Dir(name), 0)
	if err == nil {
		err = t.put(path.Join(dir, path.Base(name)), h, content, own)
	}
	if err != nil {
		return fmt.Errorf("%s: %w", h.Name, outside(err))
	}
	return nil
}

// maxLinks is how many links may lead to a folder.
const maxLinks = 40

// folder returns the folder that a path is in the image, and makes it if it is not there. Links are followed as in a process
// whose root is that of the image.
func (t *tree) folder(name string, links int) (string, error) {
	at := "."
	parts := strings.Split(path.Clean(name), "/")
	for i, part := range parts {
		next := path.Join(at, part)
		info, err := t.root.Lstat(next)
		switch {
		case errors.Is(err, fs.ErrNotExist):
			err = t.root.Mkdir(next, 0o755)
		case err == nil && info.Mode()&fs.ModeSymlink != 0:
			to, err := t.root.Readlink(next)
			if err != nil {
				return "", err
			}
			if links++; links > maxLinks {
				return "", fmt.Errorf("more than %d links lead to it: %w", maxLinks, ErrTooMuch)
			}
			if !path.IsAbs(to) {
				to = path.Join("/", at, to)
			}
			return t.folder(path.Join(append([]string{strings.TrimPrefix(path.Clean(to), "/")}, parts[i+1:]...)...), links)
		case err == nil && !info.IsDir():
			err = fmt.Errorf("%s is no folder", next)
		}
		if err != nil {
			return "", err
		}
		at = next
	}
	return at, nil
}

// put has an entry of a layer be at a path, whose folder is there.
func (t *tree) put(name string, h *tar.Header, content io.Reader, own map[string]bool) error {
	dir, base := path.Split(name)
	if base == opaque {
		return t.hide(path.Clean(dir), own)
	}
	if hidden, ok := strings.CutPrefix(base, whiteout); ok {
		if slices.Contains([]string{"", ".", ".."}, hidden) {
			return ErrOutside
		}
		return t.root.RemoveAll(path.Join(dir, hidden))
	}
	for above := name; above != "."; above = path.Dir(above) {
		own[above] = true
	}

	mode := fs.FileMode(h.Mode) & 0o777
	if h.Typeflag == tar.TypeDir {
		return t.dir(name, mode|0o700)
	}
	if err := t.root.RemoveAll(name); err != nil {
		return err
	}
	switch h.Typeflag {
	case tar.TypeReg:
		return t.file(name, mode|0o400, content)
	case tar.TypeSymlink:
		if !path.IsAbs(h.Linkname) && strings.HasPrefix(path.Join(dir, h.Linkname), "..") {
			return fmt.Errorf("a link to %s: %w", h.Linkname, ErrOutside)
		}
		return t.root.Symlink(h.Linkname, name)
	case tar.TypeLink:
		from, err := t.folder(path.Dir(strings.TrimPrefix(path.Clean("/"+h.Linkname), "/")), 0)
		if err != nil {
			return err
		}
		return t.root.Link(path.Join(from, path.Base(h.Linkname)), name)
	case tar.TypeChar, tar.TypeBlock, tar.TypeFifo:
		return ErrDevice
	}
	return fmt.Errorf("an entry of the unknown type %q", h.Typeflag)
}

// hide removes from a folder what is not of this layer.
func (t *tree) hide(dir string, own map[string]bool) error {
	f, err := t.root.Open(dir)
	if err != nil {
		return err
	}
	names, err := f.Readdirnames(-1)
	if err = errors.Join(err, f.Close()); err != nil {
		return err
	}
	for _, name := range names {
		if at := path.Join(dir, name); !own[at] {
			if err := t.root.RemoveAll(at); err != nil {
				return err
			}
		}
	}
	return nil
}

// dir makes a folder, or gives one that is there its permissions.
func (t *tree) dir(name string, mode fs.FileMode) error {
	info, err := t.root.Lstat(name)
	if err == nil && !info.IsDir() {
		err = t.root.RemoveAll(name)
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if err := t.root.Mkdir(name, mode); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	return t.root.Chmod(name, mode)
}

// file writes a file.
func (t *tree) file(name string, mode fs.FileMode, content io.Reader) error {
	f, err := t.root.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, mode)
	if err != nil {
		return err
	}
	_, err = io.Copy(f, content)
	return errors.Join(err, f.Chmod(mode), f.Close())
}
