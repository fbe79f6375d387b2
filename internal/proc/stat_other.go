//go:build !linux

// Package proc is what the kernel tells of processes.
package proc

import (
	"errors"
	"time"
)

// CPUTime returns how long the processors have worked for a process, which is not known here.
func CPUTime(int) (time.Duration, error) { return 0, errors.ErrUnsupported }

// StartTicks returns when a process started, which is not known here.
func StartTicks(int) uint64 { return 0 }

// NowTicks returns the time as the kernel counts the starts of processes, which is not known here.
func NowTicks() uint64 { return 0 }

// TicksSince returns when a process started, which is not known here.
func TicksSince(uint64, int) uint64 { return 0 }

// Uptime returns how long the machine has run, which is not known here.
func Uptime() (start string, up time.Duration) { return "", 0 }

// BootID returns which start of the machine this is, which is not known here.
func BootID() string { return "" }
