package telemetry

import (
	"bytes"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// recentBytes is how much of each replica's log Recent looks at.
const recentBytes = 64 << 10

// Recent returns the last entries of a log, as [Show] has it, that a filter chooses, at most so many, in
// the order of their times. It only looks at what was written to each file lately, so that it may be called
// often. What is in a feed is looked at as well; nil is none.
func Recent(dir string, feed *Feed, f *Filter, most int) ([]Entry, error) {
	entries := []Entry{}
	for _, server := range feed.servers() {
		for text := feed.next(server); text != nil; text = feed.next(server) {
			if e := parse(bytes.TrimSpace(text), server); f.Match(e) {
				entries = append(entries, e)
			}
		}
	}
	err := walk(dir, func(file string) error {
		replica, ok := strings.CutSuffix(filepath.Base(file), ".log")
		if !ok {
			return nil
		}

		end, err := readEnd(file)
		if os.IsNotExist(err) {
			return nil // it is being rotated
		}
		if err != nil {
			return err
		}

		for text := range bytes.Lines(end) {
			text = bytes.TrimSpace(text)
			if len(text) == 0 {
				continue
			}

			if e := parse(text, replica); f.Match(e) {
				entries = append(entries, e)
			}
		}
		return nil
	})
	if err != nil {
		return nil, err
	}

	slices.SortStableFunc(entries, func(a, b Entry) int { return a.Time.Compare(b.Time) })
	return entries[max(0, len(entries)-most):], nil
}

// readEnd returns the last complete lines of a file.
func readEnd(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}

	begin := max(0, info.Size()-recentBytes)
	text, err := io.ReadAll(io.NewSectionReader(f, begin, info.Size()-begin))
	if begin > 0 {
		_, text, _ = bytes.Cut(text, []byte("\n")) // the first line may be the end of one
	}

	return text[:bytes.LastIndexByte(text, '\n')+1], err
}
