package server

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"iter"
	"os"
	"slices"

	"github.com/divisi-go/divisi/internal/logline"
)

const (
	lastLines = 10       // of a log are shown of a server that could not be started
	lastBytes = 64 << 10 // of a log are looked at for them
)

// line reads a line of the log, and reports whether this start has written it.
func (s *Start) line(text []byte) (logline.Entry, bool) {
	e, ok := logline.Parse(bytes.TrimSpace(text))
	return e, ok && e.Node == s.Proc.ID.String() && !e.Time.Before(s.Proc.Started)
}

// LastWords returns the end of what the start has said, as [Words] does.
func (s *Start) LastWords() string {
	if s.Observer != nil {
		return s.Observer.LastWords(s.question())
	}
	own := func(e logline.Entry) bool { return e.Node == s.Proc.ID.String() && !e.Time.Before(s.Proc.Started) }
	return Words(own, s.Log)
}

// Words returns the end of what was said in logs, as far as somebody wants it: a line each, indented, with a line
// feed before it.
func Words(wanted func(logline.Entry) bool, files ...string) string {
	var said []logline.Entry
	for _, file := range files {
		said = append(said, tail(file, lastLines, wanted)...)
	}
	slices.SortStableFunc(said, func(a, b logline.Entry) int { return a.Time.Compare(b.Time) })

	words := ""
	for _, e := range said[max(0, len(said)-lastLines):] {
		words += "\n  " + shown(e)
	}
	return words
}

// Tail returns the last lines of a log, at most so many, as people read them. Of a log that is not there, or
// cannot be read, there are none.
func Tail(file string, most int) []string {
	return lines(tail(file, most, func(logline.Entry) bool { return true }))
}

// TailOf returns the last lines of a text that is the log of a server, at most so many, as people read them.
func TailOf(text []byte, most int) []string {
	return lines(last(text, most, func(logline.Entry) bool { return true }))
}

func lines(entries []logline.Entry) (lines []string) {
	for _, e := range entries {
		lines = append(lines, shown(e))
	}
	return lines
}

// shown returns an entry as people read it.
func shown(e logline.Entry) string {
	return fmt.Sprintf("%s %-6s %s %s", e.Time.Local().Format("15:04:05.000"), e.Level, e.Node, logline.Visible(e.Msg))
}

func tail(file string, most int, wanted func(logline.Entry) bool) []logline.Entry {
	f, err := os.Open(file)
	if err != nil {
		return nil // there is no log
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil
	}
	begin := max(0, info.Size()-lastBytes)
	text, _ := io.ReadAll(io.NewSectionReader(f, begin, info.Size()-begin)) // as much as can be read
	return last(text, most, wanted)
}

// last returns the last entries of a text that somebody wants, at most so many.
func last(text []byte, most int, wanted func(logline.Entry) bool) (all []logline.Entry) {
	for line := range bytes.Lines(text) {
		if e, ok := logline.Parse(bytes.TrimSpace(line)); ok && wanted(e) {
			all = append(all, e)
		}
	}
	return all[max(0, len(all)-max(0, most)):]
}

// maxOutput bounds what is returned of what a program has printed, in bytes.
const maxOutput = 1 << 20

// Output returns what the start has printed, its last part if that is long.
func (s *Start) Output() string {
	if s.Observer != nil {
		return s.Observer.Output(s.question())
	}
	f := follower{path: s.Log}
	defer f.close()
	var text []byte
	for line := range f.more() {
		e, ok := s.line(line)
		if !ok {
			continue
		}
		text = append(append(text, e.Msg...), '\n')
		if len(text) > 2*maxOutput {
			text = append([]byte(nil), text[len(text)-maxOutput:]...)
		}
	}
	return string(text[max(0, len(text)-maxOutput):])
}

// follower reads the lines of a file that another process writes, and puts another file in the place of
// now and then.
type follower struct {
	path    string
	file    *os.File // nil before there is one
	reader  *bufio.Reader
	partial []byte // the beginning of a line whose end is not written yet
}

// more returns the lines that were written meanwhile.
func (f *follower) more() iter.Seq[[]byte] {
	return func(yield func([]byte) bool) {
		for f.open() {
			for line := range f.lines() {
				if !yield(line) {
					return
				}
			}
			if !f.replaced() {
				return
			}
			f.close()
		}
	}
}

// open opens the file, unless it is open.
func (f *follower) open() bool {
	if f.file != nil {
		return true
	}
	file, err := os.Open(f.path)
	if err != nil {
		return false // the first line is yet to come
	}
	f.file, f.reader, f.partial = file, bufio.NewReader(file), nil
	return true
}

// lines returns the rest of the open file.
func (f *follower) lines() iter.Seq[[]byte] {
	return func(yield func([]byte) bool) {
		for {
			piece, err := f.reader.ReadSlice('\n')
			f.partial = append(f.partial, piece...)
			switch {
			case err == nil:
				line := f.partial
				f.partial = nil
				if !yield(line) {
					return
				}
			case err != bufio.ErrBufferFull:
				return
			}
		}
	}
}

// replaced reports whether another file is at the path, so that nothing more comes to the open one.
func (f *follower) replaced() bool {
	now, err := os.Stat(f.path)
	if err != nil {
		return false
	}
	mine, err := f.file.Stat()
	return err == nil && !os.SameFile(mine, now)
}

func (f *follower) close() {
	if f.file != nil {
		f.file.Close()
		f.file = nil
	}
}
