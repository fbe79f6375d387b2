//go:build unix && !linux

package fork

import (
	"errors"

	"github.com/divisi-go/divisi/internal/keeper/limit"
)

// Enter does nothing: no process has limits of its own here.
func Enter() {}

type gate struct{ their int }

func newGate() (*gate, error) {
	return nil, errors.New("processes have limits of their own on Linux only")
}

func (*gate) close()                                        {}
func (*gate) program(*Program, int) (string, string, error) { return "", "", errors.ErrUnsupported }
func (*gate) open(int, []limit.Limit) error                 { return errors.ErrUnsupported }
