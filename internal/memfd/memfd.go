// Package memfd has files that are in memory only and never change: secrets, and the state of one
// program for the next. They have no name, so whoever has a descriptor may read them, and nobody else.
//
// Linux seals them. Where there is no such thing, a file without a name takes their place, which
// nobody has open to write.
package memfd

import (
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"
)

// New returns a file with the data. The name is for those who look at descriptors; it need not be
// unique. Children inherit the file only if they are given it. They read on where others have stopped
// who have the same file, so each gets one of its own.
func New(name string, data []byte) (*os.File, error) {
	f, err := create(name, data)
	if err != nil {
		return nil, fmt.Errorf("cannot make the memory file %s: %w", name, err)
	}

	return f, nil
}

// Copy returns a file of its own with all that is in a file: who reads one moves on in all its
// descriptors. More than limit bytes are an error.
func Copy(f *os.File, limit int) (*os.File, error) {
	data, err := Read(f, limit)
	if err != nil {
		return nil, err
	}

	return New(filepath.Base(f.Name()), data)
}

// Read returns all that is in the file, which may be of any kind that has a size. More than limit
// bytes are an error. It does not matter how far somebody else has read the same descriptor.
func Read(f *os.File, limit int) ([]byte, error) {
	data, err := io.ReadAll(io.LimitReader(io.NewSectionReader(f, 0, math.MaxInt64), int64(limit)+1))
	if err != nil {
		return nil, fmt.Errorf("cannot read the memory file: %w", err)
	}
	if len(data) > limit {
		return nil, fmt.Errorf("cannot read the memory file %s: it has more than %d bytes", f.Name(), limit)
	}

	return data, nil
}
