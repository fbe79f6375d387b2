// Package roster keeps a record of every version of a domain that has processes, or is about to have
// some: whoever decides about the domain next, also after a crash or months later, learns from it what
// they are. A record is written before the first process of its version starts, and removed when the
// last one has gone.
//
//	versions/VERSION.json   a record: an object in JSON
//	versions/new-RANDOM     one that is being written
//
// Of what is in a record only the member "binary" means anything here: the program, which is kept as
// long as the record is there.
package roster

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/divisi-go/divisi/internal/name"
	"github.com/divisi-go/divisi/internal/whole"
)

const (
	suffix    = ".json"  // ends the names of records
	maxRecord = 16 << 20 // bytes
)

// Record is what is known of a version.
type Record struct {
	Version string
	Binary  string          // the program, an absolute path
	Content json.RawMessage // all of the record
}

// Roster is the records of one domain, in the hands of the one who decides about it.
type Roster struct{ dir string }

// Open returns the records in a folder, which is made with the first one. What another one was writing
// when it was killed is removed.
func Open(dir string) (*Roster, error) {
	files, err := list(dir)
	for _, f := range files {
		if whole.Left(f) {
			err = errors.Join(err, remove(filepath.Join(dir, f)))
		}
	}
	if err != nil {
		return nil, fmt.Errorf("cannot use the records of versions: %w", err)
	}
	return &Roster{dir}, nil
}

// Write makes the record of a version, or replaces it. When it returns, the record is on the disk;
// nobody ever reads half of it. The content becomes an object in JSON with a member "binary".
func (r *Roster) Write(version string, content any) error {
	if err := r.write(version, content); err != nil {
		return fmt.Errorf("cannot write the record of version %q: %w", version, err)
	}
	return nil
}

func (r *Roster) write(version string, content any) error {
	if err := name.CheckLabel(version); err != nil {
		return err
	}
	text, err := json.Marshal(content)
	if err != nil {
		return err
	}
	if _, err := parse(version, text); err != nil {
		return err
	}
	if err := os.MkdirAll(r.dir, 0o700); err != nil {
		return err
	}
	return whole.Write(filepath.Join(r.dir, version+suffix), append(text, '\n'), 0o600)
}

// Remove removes the record of a version. One that is not there is no error.
func (r *Roster) Remove(version string) error {
	if err := name.CheckLabel(version); err != nil {
		return fmt.Errorf("cannot remove the record of version %q: %w", version, err)
	}
	if err := remove(filepath.Join(r.dir, version+suffix)); err != nil {
		return fmt.Errorf("cannot remove the record of version %q: %w", version, err)
	}
	_ = whole.SyncFolder(r.dir) // it is gone; only a power cut may bring it back
	return nil
}

// Load returns the record of a version. The error is [fs.ErrNotExist] if there is none.
func (r *Roster) Load(version string) (Record, error) {
	return read(r.dir, version)
}

// Records returns the records, ordered by version. The error is that of [Read].
func (r *Roster) Records() ([]Record, error) { return Read(r.dir) }

// Read returns the records in a folder, which others may write at the same time, ordered by version.
// The error names the files that are no records, if there are any; the others are returned with it.
func Read(dir string) ([]Record, error) {
	files, err := list(dir)
	if err != nil {
		return nil, fmt.Errorf("cannot read the records of versions: %w", err)
	}

	var records []Record
	var failed []error
	for _, f := range files {
		version, isRecord := strings.CutSuffix(f, suffix)
		if !isRecord {
			continue
		}
		record, err := read(dir, version)
		switch {
		case err == nil:
			records = append(records, record)
		case !errors.Is(err, fs.ErrNotExist): // else it was removed meanwhile
			failed = append(failed, err)
		}
	}
	return records, errors.Join(failed...)
}

// list returns the names of the regular files in a folder, none if there is no folder.
func list(dir string) (files []string, err error) {
	entries, err := os.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	for _, e := range entries {
		if e.Type().IsRegular() { // a domain below this one may have a folder here
			files = append(files, e.Name())
		}
	}
	return files, err
}

// read reads the record of a version in a folder.
func read(dir, version string) (Record, error) {
	path := filepath.Join(dir, version+suffix)
	damaged := func(err error) error {
		return fmt.Errorf("%s is no record of a version: %w (remove it when no process of the version runs)", path, err)
	}
	if err := name.CheckLabel(version); err != nil {
		return Record{}, damaged(err)
	}
	file, err := os.Open(path)
	if err != nil {
		return Record{}, fmt.Errorf("cannot read the record of a version: %w", err)
	}
	defer file.Close()

	text, err := io.ReadAll(io.LimitReader(file, maxRecord+1))
	if err != nil {
		return Record{}, fmt.Errorf("cannot read the record of a version: %w", err)
	}
	record, err := parse(version, text)
	if err != nil {
		return Record{}, damaged(err)
	}
	return record, nil
}

// parse reads a record.
func parse(version string, text []byte) (Record, error) {
	if len(text) > maxRecord {
		return Record{}, fmt.Errorf("it has more than %d bytes", maxRecord)
	}
	var known struct {
		Binary string `json:"binary"`
	}
	if err := json.Unmarshal(text, &known); err != nil {
		return Record{}, err
	}
	if !filepath.IsAbs(known.Binary) {
		return Record{}, fmt.Errorf("its program, %q in binary, is no absolute path", known.Binary)
	}
	return Record{Version: version, Binary: known.Binary, Content: text}, nil
}

func remove(path string) error {
	err := os.Remove(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}
