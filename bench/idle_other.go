//go:build !linux

package main

import (
	"context"
	"errors"
)

var errLinux = errors.New("it needs Linux")

// idle reads what only Linux tells.
func (b *bench) idle(context.Context) error { return errLinux }

// web reads it as well.
func (b *bench) web(context.Context) error { return errLinux }

// store as well.
func (b *bench) store(context.Context) error { return errLinux }
