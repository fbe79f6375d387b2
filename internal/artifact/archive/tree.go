package archive

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"

	"github.com/divisi-go/divisi/internal/artifact/manifest"
)

// Tree returns the files and links in a folder, by their paths in it, but for an artifact.toml, which says what the
// folder was made from. Other things in it are an error.
func Tree(dir string) (map[string]string, error) {
	files := map[string]string{}
	err := filepath.WalkDir(dir, func(file string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		if !d.Type().IsRegular() && d.Type() != fs.ModeSymlink {
			return fmt.Errorf("%s is %v: %w", file, d.Type(), ErrKind)
		}
		inside, err := filepath.Rel(dir, file)
		if inside != manifest.File {
			files[filepath.ToSlash(inside)] = file
		}
		return err
	})
	return files, err
}

// Entries describes files of this machine, which are given by their paths in an artifact, in the order of these.
func Entries(from map[string]string) (entries []manifest.Entry, err error) {
	for _, path := range slices.SortedFunc(maps.Keys(from), cmp.Compare) {
		entry, err := describe(from[path])
		if err != nil {
			return nil, err
		}
		entry.Path = path
		entries = append(entries, entry)
	}
	return entries, nil
}

// describe describes one file or link.
func describe(file string) (manifest.Entry, error) {
	info, err := os.Lstat(file)
	if err != nil {
		return manifest.Entry{}, err
	}
	if info.Mode().Type() == fs.ModeSymlink {
		link, err := os.Readlink(file)
		return manifest.Entry{Link: filepath.ToSlash(link)}, err
	}
	if !info.Mode().IsRegular() {
		return manifest.Entry{}, fmt.Errorf("%s: %w", file, ErrKind)
	}

	f, err := os.Open(file)
	if err != nil {
		return manifest.Entry{}, err
	}
	defer f.Close()
	h := sha256.New()
	size, err := io.Copy(h, f)
	entry := manifest.Entry{Mode: manifest.Plain, Size: size, SHA256: hex.EncodeToString(h.Sum(nil))}
	if info.Mode()&0o111 != 0 {
		entry.Mode = manifest.Executable
	}
	return entry, err
}
