//go:build !linux

package main

import (
	"context"
	"errors"
)

// idle reads what only Linux tells.
func (b *bench) idle(context.Context) error { return errors.New("it needs Linux") }
