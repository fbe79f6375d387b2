//go:build !unix

package keeper

import (
	"errors"
	"os"
)

var errUnsupported = errors.New("processes are kept on Linux and macOS only: use go run . here")

func privateDir(dir string) error { return errors.Join(errUnsupported, os.MkdirAll(dir, 0o700)) }
