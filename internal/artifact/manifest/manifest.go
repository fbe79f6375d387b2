// Package manifest says what an artifact is: a program with all that it needs, or files that others need.
//
//	name = "exampled"
//	version = "1.2"
//	system = "linux/amd64"
//	run = ["{self}/bin/exampled", "--data", "{tables}/small"]
//	requires = {tables = "SHA-256"}
//
//	[[file]]
//	path = "bin/exampled"
//	mode = 0o555
//	size = 5121
//	sha256 = "SHA-256"
//
// The sum of this text is the name of the artifact: it has the sums of all files, so whoever knows it knows
// every byte. How they are packed and sent means nothing to it.
package manifest

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"path"
	"regexp"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/divisi-go/divisi/internal/config"
	"github.com/divisi-go/divisi/internal/name"
)

// File is how the text is called, in archives and where artifacts are kept.
const File = "artifact.toml"

// What an artifact may have. The size of all files is for the reader to bound.
const (
	MaxText  = 32 << 20 // bytes of the text
	maxFiles = 100_000
	maxPath  = 1024 // bytes
	maxDepth = 64   // names in a path
	maxName  = 255  // bytes of each
	maxRun   = 1000 // words
)

// MaxSize is how large the files of an artifact are in all, unless a reader says otherwise.
const MaxSize = 16 << 30

// The modes of files. Nobody writes a file of an artifact.
const (
	Plain      = 0o444
	Executable = 0o555
)

// What can be wrong with an artifact.
var (
	ErrText      = errors.New("its " + File + " is not right: mend what it is made from, and pack it again")
	ErrEscapes   = errors.New("it would be outside of the folder: do not use this artifact unless you know who made it")
	ErrLink      = errors.New("the link leads out of the folder: pack what it points to as well, and link to that by a relative path")
	ErrDuplicate = errors.New("the same name is there twice: pack the artifact again with divisi artifact pack")
	ErrContent   = errors.New("what is in it is not what " + File + " says: fetch the artifact again, or pack it again")
	ErrTruncated = errors.New("it ends too early: fetch the artifact again")
	ErrLimit     = errors.New("it is larger than allowed: do not use this artifact unless you know who made it, " +
		"and split it if that was you")
)

// Manifest is what an artifact is.
type Manifest struct {
	Name    string
	Version string
	System  string // that it runs on, such as linux/amd64, "" for any

	// Run is how its program is called: {self} is its own folder, and {NAME} is that of one that it requires.
	// Nothing if it has no program.
	Run []string

	Requires map[string]string // the sums of other artifacts, by their names in Run
	Files    []Entry           `toml:"file"`
}

// Entry is a file, or a symbolic link. Folders are there as far as files are in them.
type Entry struct {
	Path   string
	Mode   int64
	Size   int64
	SHA256 string
	Link   string // what it points to, by a path from its folder; then there is nothing else
}

// Sum returns the name of the artifact that a text describes.
func Sum(text []byte) string {
	sum := sha256.Sum256(text)
	return hex.EncodeToString(sum[:])
}

// IsSum reports whether a word is a SHA-256 sum as this package writes them.
func IsSum(word string) bool {
	raw, err := hex.DecodeString(word)
	return err == nil && len(raw) == sha256.Size && strings.ToLower(word) == word
}

// Parse reads a text, of an artifact whose files have a size of no more than maxSize in all.
func Parse(text []byte, maxSize int64) (Manifest, error) {
	if len(text) > MaxText {
		return Manifest{}, fmt.Errorf("its %s has more than %d bytes: %w", File, MaxText, ErrLimit)
	}
	var m Manifest
	if err := config.Decode(config.Whole(File, string(text)), &m); err != nil {
		return Manifest{}, fmt.Errorf("%w: %w", ErrText, err)
	}
	return m, m.Check(maxSize)
}

// Text returns the text, with the files in the order of their paths: the same artifact has the same text.
func (m Manifest) Text() []byte {
	var b strings.Builder
	for _, field := range []struct{ key, value string }{{"name", m.Name}, {"version", m.Version}, {"system", m.System}} {
		if field.value != "" {
			fmt.Fprintf(&b, "%s = %q\n", field.key, field.value)
		}
	}
	if len(m.Run) > 0 {
		words := make([]string, len(m.Run))
		for i, word := range m.Run {
			words[i] = fmt.Sprintf("%q", word)
		}
		fmt.Fprintf(&b, "run = [%s]\n", strings.Join(words, ", "))
	}
	if len(m.Requires) > 0 {
		fmt.Fprint(&b, "\n[requires]\n")
		for _, other := range slices.Sorted(maps.Keys(m.Requires)) {
			fmt.Fprintf(&b, "%q = %q\n", other, m.Requires[other])
		}
	}

	files := slices.SortedFunc(slices.Values(m.Files), func(x, y Entry) int { return cmp.Compare(x.Path, y.Path) })
	for _, f := range files {
		fmt.Fprintf(&b, "\n[[file]]\npath = %q\n", f.Path)
		if f.Link != "" {
			fmt.Fprintf(&b, "link = %q\n", f.Link)
			continue
		}
		fmt.Fprintf(&b, "mode = %#o\nsize = %d\nsha256 = %q\n", octal(f.Mode), f.Size, f.SHA256)
	}
	return []byte(b.String())
}

// octal is a mode as TOML writes it, such as 0o555.
type octal int64

// Format writes the mode.
func (o octal) Format(s fmt.State, _ rune) { fmt.Fprintf(s, "0o%o", int64(o)) }

// Size returns the size of all files.
func (m Manifest) Size() (size int64) {
	for _, f := range m.Files {
		size += f.Size
	}
	return size
}

// Title is what people call the artifact.
func (m Manifest) Title() string { return strings.TrimSpace(m.Name + " " + m.Version) }

// Command returns how the program is called where the artifact and those that it requires are in folders.
func (m Manifest) Command(self string, required map[string]string) []string {
	folders := []string{"{self}", self}
	for other, folder := range required {
		folders = append(folders, "{"+other+"}", folder)
	}
	replace := strings.NewReplacer(folders...)
	words := make([]string, len(m.Run))
	for i, word := range m.Run {
		words[i] = replace.Replace(word)
	}
	return words
}

var (
	versions     = regexp.MustCompile(`^[A-Za-z0-9._+~-]{0,64}$`)
	systems      = regexp.MustCompile(`^([a-z0-9]+/[a-z0-9]+)?$`)
	placeholders = regexp.MustCompile(`\{([^{}]*)\}`)
)

// Check says what is wrong with an artifact whose files have a size of no more than maxSize in all.
func (m Manifest) Check(maxSize int64) error {
	if err := name.CheckLabel(m.Name); err != nil {
		return fmt.Errorf("the name of the artifact: %w (%w)", err, ErrText)
	}
	if !versions.MatchString(m.Version) {
		return fmt.Errorf("the version %q is not up to 64 letters, digits and ._+~-: %w", m.Version, ErrText)
	}
	if !systems.MatchString(m.System) {
		return fmt.Errorf("the system %q is none such as linux/amd64: %w", m.System, ErrText)
	}
	if err := m.checkFiles(maxSize); err != nil {
		return err
	}
	return m.checkRun()
}

// checkRun checks what is required, and that what the program is called by is there.
func (m Manifest) checkRun() error {
	for other, sum := range m.Requires {
		if err := name.CheckLabel(other); err != nil || other == "self" || !IsSum(sum) {
			return fmt.Errorf("it cannot require %q with the sum %q: %w", other, sum, ErrText)
		}
	}
	if len(m.Run) > maxRun {
		return fmt.Errorf("its program is called with more than %d words: %w", maxRun, ErrLimit)
	}

	for i, word := range m.Run {
		if !printable(word) {
			return fmt.Errorf("the word %q of run is no text: %w", word, ErrText)
		}
		for _, found := range placeholders.FindAllStringSubmatch(word, -1) {
			if _, ok := m.Requires[found[1]]; !ok && found[1] != "self" {
				return fmt.Errorf("the word %q of run names %s, which is neither {self} nor required: %w", word, found[0], ErrText)
			}
		}
		if i > 0 {
			continue
		}
		own, isOwn := strings.CutPrefix(word, "{self}/")
		is := func(f Entry) bool { return f.Path == own && (f.Mode == Executable || f.Link != "") }
		if isOwn && !slices.ContainsFunc(m.Files, is) {
			return fmt.Errorf("its program %q is no file that can be executed: %w", own, ErrText)
		}
		if !isOwn && !strings.HasPrefix(word, "{") {
			return fmt.Errorf("its program %q is in no artifact: begin it with {self}/: %w", word, ErrText)
		}
	}
	return nil
}

// checkFiles checks the files and links, each by itself and beside the others.
func (m Manifest) checkFiles(maxSize int64) error {
	if len(m.Files) > maxFiles {
		return fmt.Errorf("it has %d files, more than %d: %w", len(m.Files), maxFiles, ErrLimit)
	}
	there, sizes := map[string]bool{}, map[string]int64{}
	left := maxSize
	for _, f := range m.Files {
		if err := f.check(); err != nil {
			return fmt.Errorf("the file %q: %w", f.Path, err)
		}
		if there[f.Path] {
			return fmt.Errorf("the file %q: %w", f.Path, ErrDuplicate)
		}
		there[f.Path] = true

		if size, known := sizes[f.SHA256]; f.Link == "" && known && size != f.Size {
			return fmt.Errorf("the file %q: its content has two sizes: %w", f.Path, ErrText)
		}
		sizes[f.SHA256] = f.Size
		if f.Size > left {
			return fmt.Errorf("its files have more than %d bytes: %w", maxSize, ErrLimit)
		}
		left -= f.Size
	}
	for _, f := range m.Files {
		for dir := path.Dir(f.Path); dir != "."; dir = path.Dir(dir) {
			if there[dir] {
				return fmt.Errorf("the file %q: %q is a file, and no folder: %w", f.Path, dir, ErrDuplicate)
			}
		}
	}
	return nil
}

// check says what is wrong with one file or link.
func (f Entry) check() error {
	names := strings.Split(f.Path, "/")
	tooLong := func(name string) bool { return len(name) > maxName }
	switch {
	case !fs.ValidPath(f.Path) || f.Path == "." || strings.Contains(f.Path, `\`):
		return ErrEscapes
	case !printable(f.Path) || f.Path == File:
		return fmt.Errorf("no file of an artifact can be called so: %w", ErrText)
	case len(f.Path) > maxPath || len(names) > maxDepth || slices.ContainsFunc(names, tooLong):
		return fmt.Errorf("a path has up to %d bytes in up to %d names of %d: %w", maxPath, maxDepth, maxName, ErrLimit)
	case f.Link != "":
		return f.checkLink(len(names) - 1)
	case f.Mode != Plain && f.Mode != Executable:
		return fmt.Errorf("its mode is %#o, and not 0o444 or 0o555: %w", octal(f.Mode), ErrText)
	case f.Size < 0 || !IsSum(f.SHA256):
		return fmt.Errorf("it needs size and sha256: %w", ErrText)
	}
	return nil
}

// checkLink checks a link in a folder of a depth. It leads up first, if at all, from a folder that is none
// itself, and then down; so no chain of links leads out.
func (f Entry) checkLink(depth int) error {
	if f.Mode != 0 || f.Size != 0 || f.SHA256 != "" || !printable(f.Link) || len(f.Link) > maxPath {
		return fmt.Errorf("a link has nothing but what it points to: %w", ErrText)
	}
	rest := f.Link
	for up := 0; rest == ".." || strings.HasPrefix(rest, "../"); up++ {
		if up == depth {
			return ErrLink
		}
		rest = strings.TrimPrefix(strings.TrimPrefix(rest, ".."), "/")
	}
	if rest != "" && !fs.ValidPath(rest) {
		return ErrLink
	}
	return nil
}

// printable reports whether a word is a text without control characters.
func printable(word string) bool {
	return utf8.ValidString(word) && !strings.ContainsFunc(word, unicode.IsControl)
}
