package server

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/divisi-go/divisi/internal/logline"
)

// Mark is a place in the log of a server. The zero mark is its beginning.
type Mark struct {
	First  string `json:"first"` // the sum of the first line of a file, which is known by that when it is rotated
	Offset int64  `json:"offset"`
}

// Listening is what somebody elsewhere wants to hear of the logs in a folder and the folders in it.
type Listening struct {
	Folder string          `json:"folder"`
	Only   string          `json:"only,omitempty"`  // a log; "" for all
	After  map[string]Mark `json:"after,omitempty"` // by log
	Last   bool            `json:"last,omitempty"`  // of a log without a mark the end is enough
}

// Said is what a log has after a mark: whole lines, and not all of them if they are many.
type Said struct {
	Log  string `json:"log"` // path in the folder, such as eu/web.log
	Text []byte `json:"text"`
	Next Mark   `json:"next"` // behind the text
}

// Bounds of what is heard at once, in bytes.
const (
	mostOfLog = 4 * logline.MaxLine
	mostSaid  = 4 << 20
)

// Hear returns what was said in logs. Whoever wants the rest asks again with the next marks, until nothing comes. A log
// that is not there, or is removed meanwhile, has nothing.
func Hear(l Listening) (heard []Said, err error) {
	size := 0
	err = filepath.WalkDir(l.Folder, func(path string, entry fs.DirEntry, err error) error {
		switch {
		case errors.Is(err, fs.ErrNotExist):
			return nil
		case err != nil:
			return err
		case entry.IsDir() || !strings.HasSuffix(path, logSuffix):
			return nil
		case size >= mostSaid:
			return fs.SkipAll
		}
		name, err := filepath.Rel(l.Folder, path)
		if err != nil {
			return err
		}
		name = filepath.ToSlash(name)
		if l.Only != "" && name != l.Only {
			return nil
		}
		said, err := hear(path, l.After[name], l.Last)
		if len(said.Text) > 0 {
			said.Log = name
			heard, size = append(heard, said), size+len(said.Text)
		}
		return err
	})
	return heard, err
}

const logSuffix = ".log"

// hear returns what a log has after a mark.
func hear(path string, after Mark, last bool) (said Said, err error) {
	files, err := parts(path)
	defer func() {
		for _, f := range files {
			f.Close()
		}
	}()
	if err != nil || len(files) == 0 {
		return said, err
	}

	at := slices.IndexFunc(files, func(f *os.File) bool { return after.First != "" && firstLine(f) == after.First })
	switch {
	case at >= 0:
	case after == Mark{} && last:
		at = len(files) - 1
		after = Mark{Offset: lastLine(files[at])}
	default:
		at, after = 0, Mark{}
	}
	for _, f := range files[at:] {
		text, err := io.ReadAll(io.NewSectionReader(f, after.Offset, mostOfLog))
		if err != nil {
			return said, fmt.Errorf("cannot read the log: %w", err)
		}
		text = text[:bytes.LastIndexByte(text, '\n')+1]
		if len(text) > 0 {
			return Said{Text: text, Next: Mark{firstLine(f), after.Offset + int64(len(text))}}, nil
		}
		after = Mark{}
	}
	return said, nil
}

// parts opens the files of a log, the oldest first. The current one is opened first: so a rotation in between makes the
// next one the same, but leaves no gap.
func parts(path string) (files []*os.File, err error) {
	for n := 0; ; n++ {
		name := path
		if n > 0 {
			name = fmt.Sprintf("%s.%d", path, n)
		}
		f, err := os.Open(name)
		switch {
		case errors.Is(err, fs.ErrNotExist) && n == 0:
			continue // between a rotation and the next line
		case errors.Is(err, fs.ErrNotExist):
			return files, nil
		case err != nil:
			return files, err
		case len(files) > 0 && firstLine(f) == firstLine(files[0]):
			f.Close()
			continue
		}
		files = slices.Insert(files, 0, f)
	}
}

// firstLine returns the sum of the first line of a file, "" if that has none yet.
func firstLine(f *os.File) string {
	line, err := bufio.NewReader(io.NewSectionReader(f, 0, logline.MaxLine)).ReadBytes('\n')
	if err != nil {
		return ""
	}
	sum := sha256.Sum256(line)
	return hex.EncodeToString(sum[:8])
}

// lastLine returns where the last lines of a file begin.
func lastLine(f *os.File) int64 {
	info, err := f.Stat()
	if err != nil || info.Size() <= lastBytes {
		return 0
	}
	begin := info.Size() - lastBytes
	skipped, err := bufio.NewReader(io.NewSectionReader(f, begin, lastBytes)).ReadBytes('\n')
	if err != nil {
		return begin
	}
	return begin + int64(len(skipped))
}
