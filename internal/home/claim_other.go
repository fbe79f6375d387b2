//go:build !unix

package home

import "errors"

// Claim is the right of one process to a domain.
type Claim struct{ Domain }

// Claim fails on this system.
func (Domain) Claim() (*Claim, error) {
	return nil, errors.New("processes are kept on Linux and macOS only: use go run . here")
}

// Release ends the claim.
func (*Claim) Release() error { return nil }
