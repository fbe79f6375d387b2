//go:build !unix

package inherit

import "errors"

// takeOver refuses to be deployed: deployers run on Linux and macOS only.
func takeOver() (Files, error) {
	defer forget()
	if Deployed() {
		return Files{}, errors.New("deployers run on Linux and macOS only: use go run . here")
	}
	return Files{}, nil
}

// Descriptors returns none: they come from systemd.
func Descriptors() ([]Descriptor, error) {
	forget()
	return nil, nil
}
