package operator

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"runtime/debug"
	"slices"
	"strings"
	"sync"
	"unicode"

	"github.com/divisi-go/divisi/internal/control"
	"github.com/divisi-go/divisi/internal/whole"
)

// Shelf is where a desk keeps what outlives the program: a folder, with a file for each question, for each
// value that was set, and for the command that has run the program. A file is replaced as a whole, so that whoever reads it while it is written reads what
// was there before or what is there then.
type Shelf struct {
	dir string // "" for none: then it is kept in this process

	mu   sync.Mutex        // guards kept
	kept map[string][]byte // by file name
}

// NewShelf returns the shelf in a folder, which is made when something is put there. Without a folder it is
// empty, and ends with the process.
func NewShelf(dir string) *Shelf { return &Shelf{dir: dir, kept: map[string][]byte{}} }

// Note is a question on a shelf.
type Note struct {
	control.Question
	Taken bool `json:"taken,omitempty"` // the program has taken the answer
}

// setting is a value on a shelf.
type setting struct {
	Name  string `json:"name"`
	Value string `json:"value"`
}

// Command is how a program was run, so that it can be run again.
type Command struct {
	Binary string   `json:"binary"`
	Args   []string `json:"args"`
	Dir    string   `json:"dir"` // that it was run in

	Package string `json:"package,omitempty"` // of go run, which removes the binary
}

// String returns the command as a shell takes it.
func (c Command) String() string {
	words := []string{"cd", quoted(c.Dir), "&&"}
	if _, err := os.Stat(c.Binary); err != nil && c.Package != "" {
		words = append(words, "go", "run", quoted(c.Package))
	} else {
		words = append(words, quoted(c.Binary))
	}
	for _, arg := range c.Args {
		words = append(words, quoted(arg))
	}
	return strings.Join(words, " ")
}

// quoted returns a word as a shell takes it.
func quoted(word string) string {
	plain := func(r rune) bool {
		return unicode.IsLetter(r) || unicode.IsDigit(r) || strings.ContainsRune("/.,:=@%+-_", r)
	}
	if word != "" && !strings.ContainsFunc(word, func(r rune) bool { return !plain(r) }) {
		return word
	}
	return "'" + strings.ReplaceAll(word, "'", `'\''`) + "'"
}

// PutCommand keeps how the program is run.
func (s *Shelf) PutCommand(c Command) error { return s.put(commandFile, c) }

// Command returns how the program was run last, and false if nobody knows.
func (s *Shelf) Command() (c Command, ok bool) {
	err := s.get(commandFile, &c)
	return c, err == nil && c.Binary != ""
}

const (
	commandFile  = "command.json"
	hostsFile    = "hosts.json"
	questionFile = "question-"
	valueFile    = "value-"
	fileSuffix   = ".json"

	maxFile = 1 << 20 // bytes that are read
)

// PutHosts keeps the names of the other hosts that the program has servers on.
func (s *Shelf) PutHosts(names []string) error {
	if slices.Equal(names, s.Hosts()) {
		return nil
	}
	return s.put(hostsFile, names)
}

// Hosts returns the names of the other hosts that the program has servers on, as it was when it ran last.
func (s *Shelf) Hosts() (names []string) {
	_ = s.get(hostsFile, &names) // who has never had any has no file
	return names
}

// file returns the name of the file of a key, which may have any bytes.
func file(prefix, key string) string {
	sum := sha256.Sum256([]byte(key))
	return prefix + hex.EncodeToString(sum[:8]) + fileSuffix
}

func (s *Shelf) question(key string) (Note, bool) {
	var n Note
	err := s.get(file(questionFile, key), &n)
	return n, err == nil && n.Key == key
}

func (s *Shelf) putQuestion(n Note) error { return s.put(file(questionFile, n.Key), n) }

func (s *Shelf) value(name string) (string, bool) {
	var v setting
	err := s.get(file(valueFile, name), &v)
	return v.Value, err == nil && v.Name == name
}

func (s *Shelf) putValue(name, text string) error {
	return s.put(file(valueFile, name), setting{name, text})
}

// remove forgets a question, if it can.
func (s *Shelf) remove(key string) {
	at := file(questionFile, key)
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.kept, at)
	if s.dir != "" {
		os.Remove(filepath.Join(s.dir, at))
	}
}

func (s *Shelf) get(at string, v any) error {
	if s.dir == "" {
		s.mu.Lock()
		defer s.mu.Unlock()
		return json.Unmarshal(s.kept[at], v)
	}
	return read(filepath.Join(s.dir, at), v)
}

// read reads a file of a shelf.
func read(path string, v any) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, maxFile))
	if err != nil {
		return err
	}
	return json.Unmarshal(text, v)
}

func (s *Shelf) put(at string, v any) error {
	text, err := json.Marshal(v)
	if err != nil {
		return err
	}
	if len(text) > maxFile {
		return fmt.Errorf("it has %d bytes, and at most %d are kept", len(text), maxFile)
	}

	s.mu.Lock()
	defer s.mu.Unlock()
	if s.dir == "" {
		s.kept[at] = text
		return nil
	}
	if err := os.MkdirAll(s.dir, 0o700); err != nil {
		return err
	}
	return whole.Write(filepath.Join(s.dir, at), text, 0o600)
}

// Open returns the questions that are on the shelf and have no answer that was taken, the oldest first:
// those of a program that does not run. Of an answer that waits for that they have the kind: its value may be a secret. A
// file that cannot be read is no question.
func (s *Shelf) Open() ([]control.Question, error) {
	entries, err := os.ReadDir(s.dir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}

	list := []control.Question{}
	for _, e := range entries {
		var n Note
		name := e.Name()
		mine := strings.HasPrefix(name, questionFile) && strings.HasSuffix(name, fileSuffix)
		if mine && read(filepath.Join(s.dir, name), &n) == nil && !n.Taken && n.Key != "" {
			if n.Given != nil {
				n.Given.Value = ""
			}
			list = append(list, n.Question)
		}
	}
	sortQuestions(list)
	return list, nil
}

// Answer leaves an answer for the next run of the program, which takes or refuses it.
func (s *Shelf) Answer(a control.Answer) error {
	open, err := s.Open()
	if err != nil {
		return err
	}
	key, err := Pick(a.Key, open)
	if err != nil {
		return err
	}

	n, ok := s.question(key)
	if !ok {
		return fmt.Errorf("the question %s is there no longer", key)
	}
	a.Key = key
	n.Given, n.Refused = &a, ""
	return s.putQuestion(n)
}

// ThisCommand returns how this process was run.
func ThisCommand() Command {
	c := Command{Args: os.Args[1:]}
	c.Binary, _ = os.Executable() // without one, or without a folder, nobody can run it again
	c.Binary = strings.TrimSuffix(c.Binary, " (deleted)")
	c.Dir, _ = os.Getwd()
	if info, ok := debug.ReadBuildInfo(); ok && ofGoRun(c.Binary) && info.Path != "command-line-arguments" {
		c.Package = info.Path
	}
	return c
}

// ofGoRun reports whether a binary is where go run has it, which is until it ends.
func ofGoRun(binary string) bool {
	return strings.Contains(binary, "/go-build") && filepath.Base(filepath.Dir(binary)) == "exe"
}
