//go:build !linux

package memfd

import (
	"errors"
	"os"
)

// create writes the data to a temporary file, and has it open to read once nobody can open it again.
func create(_ string, data []byte) (*os.File, error) {
	w, err := os.CreateTemp("", "divisi-memory-*")
	if err != nil {
		return nil, err
	}
	_, err = w.Write(data)
	if err := errors.Join(err, w.Chmod(0o400), w.Close()); err != nil {
		return nil, errors.Join(err, os.Remove(w.Name()))
	}

	r, err := os.Open(w.Name())
	removeErr := os.Remove(w.Name())
	if err != nil {
		return nil, errors.Join(err, removeErr)
	}
	if removeErr != nil {
		return nil, errors.Join(removeErr, r.Close())
	}

	return r, nil
}

// Sealed reports false: files without a name are what there is on this system.
func Sealed(f *os.File) bool { return false }
