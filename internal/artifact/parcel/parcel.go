// Package parcel makes an artifact of files as somebody has them: of one program, of a folder, or of a tar.
//
// The files are read twice: first for their sums, by which whoever keeps the artifact knows what of it he has, and then
// as they are sent. What has changed in between is refused there.
package parcel

import (
	"archive/tar"
	"bufio"
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"github.com/divisi-go/divisi/internal/artifact/archive"
	"github.com/divisi-go/divisi/internal/artifact/manifest"
)

// Folder has the files in the artifact, beside its description.
const Folder = "files"

// What is wrong with files, besides what can be with every artifact.
var (
	ErrFormat = errors.New("it is neither a folder nor a tar, compressed by gzip or not: make one of it")
	ErrEmpty  = errors.New("there is no file in it")
	ErrMore   = errors.New("something comes after the last file: make the archive again")
	ErrNoFile = errors.New("it is no regular file")
)

const (
	maxEntries = 200_000 // of a tar, with its folders
	padding    = 1 << 20 // bytes that may follow the last file
)

// Parcel is an artifact whose files are somewhere on this machine.
type Parcel struct {
	Manifest manifest.Manifest

	file string            // a tar
	from map[string]string // or files, by their paths in the artifact
}

// Tree makes an artifact of a folder, or of the files in a tar. They have no more than maxSize bytes in all.
func Tree(name, file string, maxSize int64) (*Parcel, error) {
	info, err := os.Stat(file)
	if err != nil {
		return nil, err
	}
	p := &Parcel{Manifest: manifest.Manifest{Name: name}}
	if info.IsDir() {
		err = p.folder(file)
	} else {
		p.file = file
		err = p.describe(maxSize)
	}
	if err == nil {
		err = p.Manifest.Check(maxSize)
	}
	if err == nil && len(p.Manifest.Files) == 0 {
		err = ErrEmpty
	}
	if err != nil {
		return nil, fmt.Errorf("cannot use %s: %w", file, err)
	}
	p.enclose()
	return p, nil
}

// Program makes an artifact of one file, which can be executed there, whatever it can be here.
func Program(name, file string, maxSize int64) (*Parcel, error) {
	info, err := os.Stat(file) // a link to a program means the program
	if err == nil && !info.Mode().IsRegular() {
		err = ErrNoFile
	}
	if err == nil {
		file, err = filepath.EvalSymlinks(file)
	}
	if err != nil {
		return nil, fmt.Errorf("cannot use %s: %w", file, err)
	}
	p := &Parcel{from: map[string]string{name: file}}
	entries, err := archive.Entries(p.from)
	if err == nil {
		entries[0].Mode = manifest.Executable
		p.Manifest = manifest.Manifest{Name: name, Files: entries}
		err = p.Manifest.Check(maxSize)
	}
	if err != nil {
		return nil, fmt.Errorf("cannot use %s: %w", file, err)
	}
	p.enclose()
	return p, nil
}

// folder describes the files of a folder, also where a link leads to it.
func (p *Parcel) folder(dir string) (err error) {
	if dir, err = filepath.EvalSymlinks(dir); err != nil {
		return err
	}
	if p.from, err = archive.Tree(dir); err != nil {
		return err
	}
	p.Manifest.Files, err = archive.Entries(p.from)
	return err
}

// enclose puts the files, which were checked where they are, into their folder. So no link leads to what is beside that.
func (p *Parcel) enclose() {
	for i := range p.Manifest.Files {
		p.Manifest.Files[i].Path = path.Join(Folder, p.Manifest.Files[i].Path)
	}
	slices.SortFunc(p.Manifest.Files, func(a, b manifest.Entry) int { return strings.Compare(a.Path, b.Path) })
}

// Text returns the artifact.toml.
func (p *Parcel) Text() []byte { return p.Manifest.Text() }

// Contents has the files visited. What the visitor does not read is skipped.
func (p *Parcel) Contents(visit func(f manifest.Entry, content io.Reader) error) error {
	known := map[string]manifest.Entry{}
	for _, f := range p.Manifest.Files {
		known[strings.TrimPrefix(f.Path, Folder+"/")] = f
	}
	if p.file != "" {
		return p.walk(func(header *tar.Header, inside string, content io.Reader) error {
			f, ok := known[inside]
			if !ok || header.Typeflag != tar.TypeReg {
				return nil // the archive has changed, and what is missing of it will be missed
			}
			return visit(f, content)
		})
	}

	for inside, from := range p.from {
		f := known[inside]
		if f.Link != "" {
			continue
		}
		if err := one(from, func(content io.Reader) error { return visit(f, content) }); err != nil {
			return fmt.Errorf("%s: %w", from, err)
		}
	}
	return nil
}

// one has one file of this machine visited.
func one(from string, visit func(io.Reader) error) error {
	file, err := os.Open(from)
	if err != nil {
		return err
	}
	defer file.Close()
	return visit(file)
}

// describe describes the files in the tar.
func (p *Parcel) describe(maxSize int64) error {
	left := maxSize
	return p.walk(func(header *tar.Header, inside string, content io.Reader) error {
		entry := manifest.Entry{Path: inside, Link: header.Linkname}
		if header.Typeflag == tar.TypeReg {
			if left -= header.Size; left < 0 {
				return fmt.Errorf("its files have more than %d bytes: %w", maxSize, manifest.ErrLimit)
			}
			h := sha256.New()
			size, err := io.Copy(h, content)
			if err != nil {
				return err
			}
			entry = manifest.Entry{Path: inside, Mode: manifest.Plain, Size: size, SHA256: hex.EncodeToString(h.Sum(nil))}
			if header.Mode&0o111 != 0 {
				entry.Mode = manifest.Executable
			}
		}
		p.Manifest.Files = append(p.Manifest.Files, entry)
		return nil
	})
}

// walk visits the files and links in the tar, but for an artifact.toml, which says what the tar was made from.
func (p *Parcel) walk(visit func(header *tar.Header, inside string, content io.Reader) error) error {
	file, err := os.Open(p.file)
	if err != nil {
		return err
	}
	defer file.Close()
	info, err := file.Stat()
	if err == nil && !info.Mode().IsRegular() {
		err = ErrNoFile
	}
	if err != nil {
		return err
	}
	plain, err := uncompressed(file)
	if err != nil {
		return err
	}

	_, isPlain := plain.(*bufio.Reader)
	in := tar.NewReader(plain)
	for n := 0; ; n++ {
		header, err := in.Next()
		switch {
		case errors.Is(err, io.EOF) && isPlain:
			return errors.Join(end(plain), ended(file, info.Size()))
		case errors.Is(err, io.EOF):
			return end(plain)
		case n == 0 && (errors.Is(err, tar.ErrHeader) || isPlain && errors.Is(err, io.ErrUnexpectedEOF)):
			return ErrFormat
		case err != nil:
			return damage(err)
		case n == maxEntries:
			return fmt.Errorf("it has more than %d files and folders: %w", maxEntries, manifest.ErrLimit)
		}
		if err := enter(header, in, visit); err != nil {
			return fmt.Errorf("%q: %w", header.Name, err)
		}
	}
}

// enter visits one entry of a tar.
func enter(header *tar.Header, in io.Reader, visit func(*tar.Header, string, io.Reader) error) error {
	inside := strings.TrimSuffix(strings.TrimPrefix(header.Name, "./"), "/")
	switch {
	case header.Typeflag == tar.TypeXGlobalHeader, header.Typeflag == tar.TypeDir && (inside == "" || inside == "."):
		return nil
	case !fs.ValidPath(inside):
		return manifest.ErrEscapes
	case header.Typeflag == tar.TypeDir, inside == manifest.File:
		return nil
	case header.Typeflag != tar.TypeReg && header.Typeflag != tar.TypeSymlink:
		return archive.ErrKind
	}
	return visit(header, inside, whole{in})
}

// uncompressed returns what is in a file, whether that is compressed or not.
func uncompressed(file io.Reader) (io.Reader, error) {
	in := bufio.NewReader(file)
	const magic = "\x1f\x8b"
	if begin, err := in.Peek(len(magic)); err != nil || string(begin) != magic {
		return in, nil // the tar says what is wrong
	}
	zip, err := gzip.NewReader(in)
	if err != nil {
		return nil, damage(err)
	}
	return zip, nil
}

// end reads what is after the last file, which is padding, and the sum of what was compressed.
func end(in io.Reader) error {
	n, err := io.Copy(io.Discard, io.LimitReader(in, padding))
	if err != nil {
		return damage(err)
	}
	if n == padding {
		return ErrMore
	}
	return nil
}

// ended says of a tar that is not compressed whether it ends too early: then its last blocks, which are empty, are not
// there. What is compressed says so itself.
func ended(file io.ReaderAt, size int64) error {
	last := make([]byte, 1024)
	if n, _ := file.ReadAt(last, max(0, size-int64(len(last)))); n < len(last) || len(bytes.Trim(last, "\x00")) > 0 {
		return manifest.ErrTruncated
	}
	return nil
}

// damage is the error of an archive that cannot be read on.
func damage(err error) error {
	if errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, io.EOF) {
		return manifest.ErrTruncated
	}
	return fmt.Errorf("the archive is damaged, bring it here again: %w", err)
}

// whole is a file in a tar, whose errors say what is wrong with that.
type whole struct{ from io.Reader }

// Read reads the file.
func (w whole) Read(p []byte) (int, error) {
	n, err := w.from.Read(p)
	if err != nil && err != io.EOF {
		err = damage(err)
	}
	return n, err
}
