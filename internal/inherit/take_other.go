//go:build !unix

package inherit

import "errors"

// Take refuses to be deployed: deployers run on Linux and macOS only.
func Take() (Files, error) {
	defer forget()
	if Deployed() {
		return Files{}, errors.New("deployers run on Linux and macOS only: use go run . here")
	}
	return Files{}, nil
}
