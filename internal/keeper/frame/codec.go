//go:build linux

package frame

import (
	"encoding/json"
	"errors"
	"fmt"
)

// Bounds.
const (
	MaxFrame    = 1 << 20   // bytes of a frame, with the end of its line
	MaxFiles    = 8         // of a frame
	MaxRequests = 1024      // of a peer that are open
	maxQueue    = 16 << 20  // bytes that wait to be written
	maxInline   = 512 << 10 // bytes of an answer in its frame
	MaxAnswer   = 16 << 20  // bytes of an answer
	maxPlain    = 8 << 20   // bytes of an answer, and of its frame, where no files can be passed
)

// frame is one line.
type frame struct {
	ID     uint64          `json:"id"`
	Verb   string          `json:"verb,omitempty"` // of a request
	Cancel bool            `json:"cancel,omitempty"`
	Files  int             `json:"files,omitempty"`
	Body   json.RawMessage `json:"body,omitempty"`
	Long   bool            `json:"long,omitempty"` // the last file is the body
	Error

	again bool // of a request that was handed over
}

// encode returns the line of a frame that has no body, with one, which is JSON, or nil. It is not longer than most.
func (f *frame) encode(body json.RawMessage, most int) ([]byte, error) {
	line, err := json.Marshal(f)
	if err != nil {
		return nil, err
	}

	if body != nil {
		line = append(line[:len(line)-1], `,"body":`...)
		line = append(append(line, body...), '}')
	}
	if len(line) >= most {
		return nil, fmt.Errorf("a frame is longer than %d bytes", most)
	}
	return append(line, '\n'), nil
}

// decode reads a line.
func decode(line []byte) (frame, error) {
	var f frame
	if err := json.Unmarshal(line, &f); err != nil {
		return frame{}, fmt.Errorf("a frame is malformed: %w", err)
	}
	switch {
	case f.ID == 0:
		return frame{}, errors.New("a frame has no id")
	case f.Long && (f.Files == 0 || f.Verb != ""):
		return frame{}, errors.New("a frame has a long body, and is no answer with a file")
	case f.Files < 0 || f.Files > MaxFiles:
		return frame{}, fmt.Errorf("a frame says that it has %d files: at most %d are possible", f.Files, MaxFiles)
	}
	return f, nil
}
