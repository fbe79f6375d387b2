//go:build !unix

package home

import (
	"context"
	"errors"
	"os"
)

// Claim is the right of one process to a domain.
type Claim struct{ Domain }

// Claim fails on this system.
func (Domain) Claim() (*Claim, error) {
	return nil, errElsewhere
}

var errElsewhere = errors.New("processes are kept on Linux and macOS only: use go run . here")

// Gate fails on this system.
func (Domain) Gate(context.Context) (*os.File, error) { return nil, errElsewhere }

// Release ends the claim.
func (*Claim) Release() error { return nil }
