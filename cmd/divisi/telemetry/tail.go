package telemetry

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// tail reads the log of one replica: a feed, or the files that were rotated away, and then the current one
// for as long as more is written to it.
type tail struct {
	path    string // of the current file
	replica string
	feed    *Feed      // that has the log, in the place of files
	files   []*os.File // the oldest first; the last one was the current one when it was opened
	reader  *bufio.Reader
	partial []byte    // the beginning of a line whose end is not written yet
	head    *Entry    // read ahead
	order   time.Time // of head, among other replicas' entries
}

// openTail opens all files of a replica's log.
func openTail(path string) (*tail, error) {
	t := &tail{path: path, replica: strings.TrimSuffix(filepath.Base(path), ".log")}
	// The current file comes first: a rotation in between makes the next one the same, but leaves
	// no gap.
	for n := 0; ; n++ {
		name := path
		if n > 0 {
			name = fmt.Sprintf("%s.%d", path, n)
		}

		f, err := os.Open(name)
		if errors.Is(err, fs.ErrNotExist) {
			if n == 0 {
				continue // between a rotation and the next line
			}
			break
		}

		if err != nil {
			t.close()
			return nil, err
		}
		if t.has(f) {
			f.Close()
			continue
		}

		t.files = slices.Insert(t.files, 0, f)
	}

	return t, nil
}

// has reports whether a file is open already, perhaps under another name.
func (t *tail) has(f *os.File) bool { return t.index(f) >= 0 }

func (t *tail) index(f *os.File) int {
	info, err := f.Stat()
	if err != nil {
		return -1
	}
	return slices.IndexFunc(t.files, func(other *os.File) bool {
		i, err := other.Stat()
		return err == nil && os.SameFile(info, i)
	})
}

func (t *tail) close() {
	for _, f := range t.files {
		f.Close()
	}
	t.files = nil
}

// peek returns the next entry, or nil if no more is written.
func (t *tail) peek() (*Entry, error) {
	for t.head == nil {
		text, err := t.line()
		if text == nil || err != nil {
			return nil, err
		}
		text = bytes.TrimSpace(text)
		if len(text) == 0 {
			continue
		}

		e := parse(text, t.replica)
		// An entry whose time is missing, or to come, must not hold up those behind it.
		if !e.Time.IsZero() {
			t.order = e.Time
		}
		if now := time.Now(); t.order.After(now) {
			t.order = now
		}

		t.head = &e
	}

	return t.head, nil
}

// line returns the next line, or nil if none is complete. It is valid until the next call.
func (t *tail) line() ([]byte, error) {
	if t.feed != nil {
		return t.feed.next(t.replica), nil
	}
	for len(t.files) > 0 {
		if t.reader == nil {
			t.reader = bufio.NewReader(t.files[0])
		}

		piece, err := t.reader.ReadSlice('\n')
		t.partial = append(t.partial, piece...)
		switch {
		case err == nil:
			text := t.partial
			t.partial = t.partial[:0]
			return text, nil
		case errors.Is(err, bufio.ErrBufferFull):
		case !errors.Is(err, io.EOF):
			return nil, fmt.Errorf("cannot read the log: %w", err)
		case len(t.files) > 1:
			t.files[0].Close()
			t.files = t.files[1:]
			t.reader, t.partial = nil, nil
		default:
			if more, err := t.rotated(); !more || err != nil {
				return nil, err
			}
		}
	}

	return nil, nil
}

// rotated looks whether other files have come after the one that was the current one, and opens
// them. That one may have grown until then, and has to be read to its end once more.
func (t *tail) rotated() (bool, error) {
	now, err := os.Stat(t.path)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	if mine, err := t.files[0].Stat(); err != nil || os.SameFile(mine, now) {
		return false, err
	}

	all, err := openTail(t.path)
	if err != nil {
		return false, err
	}

	// If the current file has been deleted, all the others came after it.
	at := all.index(t.files[0])
	for i, f := range all.files {
		if i <= at {
			f.Close()
		} else {
			t.files = append(t.files, f)
		}
	}

	return len(t.files) > 1, nil
}
