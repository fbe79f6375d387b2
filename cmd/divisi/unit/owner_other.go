//go:build !unix

package unit

import "errors"

func checkOwner(string) error { return errors.New("there is no systemd on this system") }
