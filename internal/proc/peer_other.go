//go:build !linux && !darwin

package proc

import "errors"

func peer(uintptr) (int, error) { return 0, errors.ErrUnsupported }
