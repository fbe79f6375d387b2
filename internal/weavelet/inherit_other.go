//go:build !unix

package weavelet

import (
	"errors"
	"net"
	"os"
)

type inherited struct {
	in, out *os.File
	sockets map[string]net.Listener
}

// inherit reports that there is no deployer: none runs on this system.
func inherit() (inherited, bool, error) {
	if os.Getenv("ENVELOPE_TO_WEAVELET_FD") != "" {
		return inherited{}, false, errors.New("deployers run on Linux and macOS only: " +
			"use go run . here")
	}
	return inherited{}, false, nil
}
