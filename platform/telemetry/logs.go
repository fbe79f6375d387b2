package telemetry

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// followEvery is how often files are looked at for more.
const followEvery = 100 * time.Millisecond

// Logs are the logs of one application.
type Logs struct {
	dir    string
	offset map[string]int64 // by file, what was read
	inode  map[string]os.FileInfo
}

// OpenLogs returns the logs in a keeper's folder.
func OpenLogs(dir string) *Logs {
	return &Logs{dir: dir, offset: map[string]int64{}, inode: map[string]os.FileInfo{}}
}

// Read returns the entries that were written since the last call, in the order of their times.
// Rotated files are read by the first call only.
func (l *Logs) Read() ([]Entry, error) {
	pattern := "*.log"
	first := len(l.offset) == 0
	if first {
		pattern = "*.log*"
	}
	files, err := filepath.Glob(filepath.Join(l.dir, pattern))
	if err != nil {
		return nil, err
	}
	var entries []Entry
	for _, file := range files {
		more, err := l.readFile(file)
		if err != nil && !errors.Is(err, os.ErrNotExist) {
			return nil, fmt.Errorf("cannot read the log: %w", err)
		}
		entries = append(entries, more...)
	}
	slices.SortStableFunc(entries, func(a, b Entry) int { return a.Time.Compare(b.Time) })
	return entries, nil
}

// readFile returns the complete lines of a file that are new.
func (l *Logs) readFile(file string) ([]Entry, error) {
	f, err := os.Open(file)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	if before, ok := l.inode[file]; ok && !os.SameFile(before, info) {
		l.offset[file] = 0 // another file has taken its place
	}
	l.inode[file] = info
	data, err := io.ReadAll(io.NewSectionReader(f, l.offset[file], info.Size()-l.offset[file]))
	if err != nil {
		return nil, err
	}
	end := bytes.LastIndexByte(data, '\n') + 1
	l.offset[file] += int64(end)
	replica, _, _ := strings.Cut(filepath.Base(file), ".log")
	var entries []Entry
	for text := range bytes.Lines(data[:end]) {
		if text = bytes.TrimSpace(text); len(text) > 0 {
			entries = append(entries, parse(text, replica))
		}
	}
	return entries, nil
}

// Follow hands on entries that match until ctx ends, beginning with the last few that are there.
// Entries that are written at nearly the same time come in the order of their times.
func (l *Logs) Follow(ctx context.Context, f *Filter, tail int, show func(Entry) error) error {
	tick := time.NewTicker(followEvery)
	defer tick.Stop()
	for first := true; ; first = false {
		entries, err := l.Read()
		if err != nil {
			return err
		}
		entries = slices.DeleteFunc(entries, func(e Entry) bool { return !f.Match(e) })
		if first && tail >= 0 {
			entries = entries[max(0, len(entries)-tail):]
		}
		for _, e := range entries {
			if err := show(e); err != nil {
				return err
			}
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return nil
		}
	}
}
