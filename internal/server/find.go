package server

import (
	"errors"
	"fmt"
	"os/exec"
	"path/filepath"

	"github.com/divisi-go/divisi/internal/artifact"
)

// Find finds a program of this machine by its path, or by its name as a shell does.
func Find(word string) (Program, error) {
	path, err := exec.LookPath(word)
	if err == nil || errors.Is(err, exec.ErrDot) {
		path, err = filepath.Abs(path)
	}
	if err != nil {
		return Program{}, fmt.Errorf("there is no program %s: %w", word, errors.Unwrap(err))
	}
	sum, err := artifact.Sum(path)
	return Program{Path: path, Sum: sum}, err
}
