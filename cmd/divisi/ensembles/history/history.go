// Package history has what ensembles were to be, revision by revision, in files that survive everything but the state folder.
package history

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/user"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/divisi-go/divisi/internal/ensemble"
	"github.com/divisi-go/divisi/internal/home"
	"github.com/divisi-go/divisi/internal/whole"
)

// Revision is what an ensemble was to be at a time: a document, and what an operator has said besides.
type Revision struct {
	Number int       `json:"number"`
	Time   time.Time `json:"time"`
	Who    string    `json:"who"`  // has said it: a user of this machine
	Why    string    `json:"why"`  // for people, such as "divisi scale httpd@/test/www=3"
	File   string    `json:"file"` // absolute; relative paths in the text are from its folder
	Text   string    `json:"text"`
	ensemble.Said
}

// Outcome is what has become of a revision.
type Outcome struct {
	Settled time.Time `json:"settled,omitzero"`
	Failed  string    `json:"failed,omitempty"` // why
}

// Shelf has the revisions of one ensemble in a folder: a file for each, and one for its outcome. A file is written as a
// whole, and that of a revision once: of two who follow the same revision, one is told to look again.
type Shelf struct {
	Domain string
	dir    string
}

const (
	mostRevisions = 100
	maxText       = 1 << 20 // bytes of a document

	revisionSuffix = ".json"
	outcomeSuffix  = ".outcome.json"
)

// Of returns the revisions of the ensemble of a domain.
func Of(h home.Home, domain string) Shelf {
	return Shelf{domain, h.Domain(domain).Ensemble}
}

// ErrNone is the error where there is no ensemble.
var ErrNone = errors.New("there is no such ensemble")

// Numbers returns those of all revisions, the oldest first.
func (s Shelf) Numbers() (all []int, err error) {
	entries, err := os.ReadDir(s.dir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	for _, e := range entries {
		stem, _ := strings.CutSuffix(e.Name(), revisionSuffix)
		if n, err := strconv.Atoi(stem); err == nil && n > 0 {
			all = append(all, n)
		}
	}
	slices.Sort(all)
	return all, nil
}

// Get returns a revision.
func (s Shelf) Get(number int) (r Revision, err error) {
	if err := s.read(strconv.Itoa(number)+revisionSuffix, &r); err != nil {
		return r, fmt.Errorf("cannot read revision %d of %s: %w", number, s.Domain, err)
	}
	return r, nil
}

// Last returns the newest revision. The error is ErrNone if there is none.
func (s Shelf) Last() (Revision, error) {
	all, err := s.Numbers()
	switch {
	case err != nil:
		return Revision{}, err
	case len(all) == 0:
		return Revision{}, ErrNone
	}
	return s.Get(all[len(all)-1])
}

// Add adds a revision after the last one that its writer has seen, and returns it with its number and the time.
func (s Shelf) Add(r Revision, last int) (Revision, error) {
	r.Number, r.Time, r.Who = last+1, time.Now(), who()
	text, err := json.Marshal(r)
	if err == nil {
		err = os.MkdirAll(s.dir, 0o700)
	}
	if err != nil {
		return r, err
	}
	path := filepath.Join(s.dir, strconv.Itoa(r.Number)+revisionSuffix)
	next := filepath.Join(s.dir, fmt.Sprintf("next-%d-%d", os.Getpid(), r.Number))
	if err := whole.Write(next, text, 0o600); err != nil {
		return r, err
	}
	defer os.Remove(next)
	if err := os.Link(next, path); errors.Is(err, fs.ErrExist) {
		return r, s.Changed()
	} else if err != nil {
		return r, err
	}
	if err := whole.SyncFolder(s.dir); err != nil {
		return r, err
	}

	s.clean()
	return r, nil
}

// Changed is the error of a change that was made of a revision which is not the last one any more.
func (s Shelf) Changed() error {
	return fmt.Errorf("somebody else has changed %s meanwhile: look again, and repeat it", s.Domain)
}

// who returns the user that this process acts for.
func who() string {
	own := strconv.Itoa(os.Getuid())
	if u, err := user.Current(); err == nil {
		own = u.Username
	}
	if behind := os.Getenv("SUDO_USER"); behind != "" && behind != own {
		return behind + " as " + own
	}
	return own
}

// clean removes the oldest revisions of too many.
func (s Shelf) clean() {
	all, _ := s.Numbers()
	for _, number := range all[:max(0, len(all)-mostRevisions)] {
		_ = os.Remove(filepath.Join(s.dir, strconv.Itoa(number)+revisionSuffix))
		_ = os.Remove(filepath.Join(s.dir, strconv.Itoa(number)+outcomeSuffix))
	}
}

// Outcome returns what has become of a revision; the zero value if that is not known yet.
func (s Shelf) Outcome(number int) (o Outcome) {
	_ = s.read(strconv.Itoa(number)+outcomeSuffix, &o) // nobody has written it
	return o
}

// PutOutcome takes note of what has become of a revision.
func (s Shelf) PutOutcome(number int, o Outcome) error {
	text, err := json.Marshal(o)
	if err != nil {
		return err
	}
	return whole.Write(filepath.Join(s.dir, strconv.Itoa(number)+outcomeSuffix), text, 0o600)
}

// Before returns the newest revision before another one that has settled.
func (s Shelf) Before(number int) (Revision, bool) {
	all, _ := s.Numbers()
	for _, n := range slices.Backward(all) {
		if n < number && !s.Outcome(n).Settled.IsZero() {
			r, err := s.Get(n)
			return r, err == nil
		}
	}
	return Revision{}, false
}

func (s Shelf) read(name string, v any) error {
	text, err := os.ReadFile(filepath.Join(s.dir, name))
	if err != nil {
		return err
	}
	return json.Unmarshal(text, v)
}

// Parse returns what a revision means.
func (r Revision) Parse() (*ensemble.Ensemble, error) {
	return ensemble.Parse(r.File, r.Text, r.Said)
}

// Read returns the text of a file as a revision.
func Read(file string) (Revision, error) {
	path, err := filepath.Abs(file)
	if err != nil {
		return Revision{}, err
	}
	info, err := os.Stat(path)
	if err == nil && info.Size() > maxText {
		err = fmt.Errorf("%s has %d bytes: a document has at most %d", file, info.Size(), maxText)
	}
	var text []byte
	if err == nil {
		text, err = os.ReadFile(path)
	}
	if err != nil {
		return Revision{}, fmt.Errorf("cannot read the document: %w", err)
	}
	return Revision{File: path, Text: string(text)}, nil
}
