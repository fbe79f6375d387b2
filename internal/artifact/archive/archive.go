// Package archive has an artifact in one file: a tar, compressed by gzip, of its artifact.toml and then its files
// in the order that this has.
//
// The order is that of the paths, and nobody's name and no time is in it, so the same files are the same archive.
// Compression is that of the standard library, which every program has that is to read it.
package archive

import (
	"archive/tar"
	"bufio"
	"compress/gzip"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/divisi-go/divisi/internal/artifact/manifest"
)

// What can be wrong with an archive, besides what can be with every artifact.
var (
	ErrFormat  = errors.New("it is no artifact: make one with divisi artifact pack")
	ErrKind    = errors.New("an artifact has regular files and symbolic links only: leave it out")
	ErrForeign = errors.New(manifest.File + " does not have it there: do not use this artifact unless you know who " +
		"made it, and pack it again if that was you")
)

// Write writes an artifact whose files are in files of this machine, by their paths in the artifact.
func Write(w io.Writer, m manifest.Manifest, from map[string]string) error {
	zip := gzip.NewWriter(w)
	out := tar.NewWriter(zip)

	text := m.Text()
	err := out.WriteHeader(&tar.Header{Name: manifest.File, Mode: manifest.Plain, Size: int64(len(text))})
	if err == nil {
		_, err = out.Write(text)
	}
	for _, f := range m.Files {
		if err != nil {
			break
		}
		if f.Link != "" {
			err = out.WriteHeader(&tar.Header{Typeflag: tar.TypeSymlink, Name: f.Path, Linkname: f.Link, Mode: 0o777})
			continue
		}
		err = add(out, f, from[f.Path])
	}
	return errors.Join(err, out.Close(), zip.Close())
}

// add writes one file, which is to be as the manifest says.
func add(out *tar.Writer, f manifest.Entry, from string) error {
	file, err := os.Open(from)
	if err != nil {
		return err
	}
	defer file.Close()

	if err := out.WriteHeader(&tar.Header{Name: f.Path, Mode: f.Mode, Size: f.Size}); err != nil {
		return err
	}
	h := sha256.New()
	n, err := io.Copy(io.MultiWriter(out, h), file)
	if errors.Is(err, tar.ErrWriteTooLong) || err == nil && (n != f.Size || hex.EncodeToString(h.Sum(nil)) != f.SHA256) {
		return fmt.Errorf("%s is being written: pack it when it is complete", from)
	}
	return err
}

// Archive is an archive that is being read.
type Archive struct {
	Manifest manifest.Manifest
	text     []byte
	zip      *gzip.Reader
	tar      *tar.Reader
}

// NewReader begins to read an archive, of an artifact whose files have a size of no more than maxSize in all.
func NewReader(r io.Reader, maxSize int64) (*Archive, error) {
	in := bufio.NewReader(r)
	const magic = "\x1f\x8b"
	if begin, err := in.Peek(len(magic)); err == nil && string(begin) != magic {
		return nil, ErrFormat
	}
	zip, err := gzip.NewReader(in)
	if err != nil {
		return nil, damage(err, ErrFormat)
	}
	a := &Archive{zip: zip, tar: tar.NewReader(zip)}
	header, err := a.tar.Next()
	switch {
	case err != nil:
		return nil, damage(err, ErrFormat)
	case header.Name != manifest.File || header.Typeflag != tar.TypeReg:
		return nil, ErrFormat
	case header.Size > manifest.MaxText:
		return nil, fmt.Errorf("its %s has %d bytes: %w", manifest.File, header.Size, manifest.ErrLimit)
	}

	a.text, err = io.ReadAll(io.LimitReader(a.tar, manifest.MaxText))
	if err != nil {
		return nil, damage(err, ErrFormat)
	}
	a.Manifest, err = manifest.Parse(a.text, maxSize)
	return a, err
}

// damage is the error of an archive that cannot be read on.
func damage(err, otherwise error) error {
	if errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, io.EOF) {
		return manifest.ErrTruncated
	}
	if errors.Is(err, gzip.ErrChecksum) || errors.Is(err, gzip.ErrHeader) || errors.Is(err, tar.ErrHeader) {
		return otherwise
	}
	return fmt.Errorf("%w (%w)", otherwise, err)
}

// FileName returns what the archive of an artifact is called.
func FileName(m manifest.Manifest) string { return strings.ReplaceAll(m.Title(), " ", "-") + ".tar.gz" }

// Text returns the artifact.toml.
func (a *Archive) Text() []byte { return a.text }

// Contents has every file visited once, in the order of the archive. What the visitor does not read is skipped;
// whether it is what the sum says is for the visitor to see.
func (a *Archive) Contents(visit func(f manifest.Entry, content io.Reader) error) error {
	for _, f := range a.Manifest.Files {
		header, err := a.tar.Next()
		if err != nil {
			return fmt.Errorf("the archive, before %q: %w", f.Path, damage(err, manifest.ErrContent))
		}
		if err := agree(header, f); err != nil {
			return fmt.Errorf("%q in the archive: %w", header.Name, err)
		}
		if f.Link != "" {
			continue
		}
		if err := visit(f, content{a.tar}); err != nil {
			return fmt.Errorf("the file %q: %w", f.Path, err)
		}
	}
	return a.end()
}

// agree says what of a header is not what the manifest has.
func agree(header *tar.Header, f manifest.Entry) error {
	switch {
	case header.Typeflag != tar.TypeReg && header.Typeflag != tar.TypeSymlink:
		return ErrKind
	case header.Name != f.Path, (f.Link != "") != (header.Typeflag == tar.TypeSymlink), header.Linkname != f.Link:
		return ErrForeign
	case header.Size != f.Size:
		return manifest.ErrContent
	}
	return nil
}

// end reads what is after the last file, which is padding.
func (a *Archive) end() error {
	const padding = 64 << 10
	header, err := a.tar.Next()
	if err == nil {
		return fmt.Errorf("%q in the archive: %w", header.Name, ErrForeign)
	}
	if !errors.Is(err, io.EOF) {
		return damage(err, manifest.ErrContent)
	}
	n, err := io.Copy(io.Discard, io.LimitReader(a.zip, padding))
	if err != nil {
		return damage(err, manifest.ErrContent)
	}
	if n == padding {
		return fmt.Errorf("what is after the last file: %w", ErrForeign)
	}
	return nil
}

// content is a file in the archive, whose errors say what is wrong with that.
type content struct{ from io.Reader }

// Read reads the file.
func (c content) Read(p []byte) (int, error) {
	n, err := c.from.Read(p)
	if err != nil && err != io.EOF {
		err = damage(err, manifest.ErrContent)
	}
	return n, err
}

// Verify reads all of an archive, and compares it with its manifest.
func (a *Archive) Verify() error {
	return a.Contents(func(f manifest.Entry, content io.Reader) error {
		h := sha256.New()
		if _, err := io.Copy(h, content); err != nil {
			return err
		}
		if hex.EncodeToString(h.Sum(nil)) != f.SHA256 {
			return manifest.ErrContent
		}
		return nil
	})
}
