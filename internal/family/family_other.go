//go:build !linux

package family

import (
	"context"
	"errors"
	"fmt"
	"syscall"
)

var errUnsupported = fmt.Errorf("%w: only Linux says of what server a process is", errors.ErrUnsupported)

// Find fails on this system.
func (f *Family) Find() ([]int, error) { return nil, errUnsupported }

// End fails on this system.
func (f *Family) End(ctx context.Context) error { return errUnsupported }

// Whose knows nothing on this system.
func Whose(pid int) (mark string, kin []int) { return "", nil }

// AdoptOrphans fails on this system.
func AdoptOrphans() error { return errUnsupported }

// Group is a control group, which this system does not have.
type Group struct{}

// MakeGroup fails on this system.
func MakeGroup(name string) (*Group, error) { return nil, errUnsupported }

// OpenGroup fails on this system.
func OpenGroup(path string) (*Group, error) { return nil, errUnsupported }

// Path returns the folder of the group.
func (*Group) Path() string { return "" }

// Join does nothing on this system.
func (*Group) Join(attr *syscall.SysProcAttr) {}

// Close closes the group.
func (*Group) Close() error { return errUnsupported }

// Control limits nothing on this system.
func (*Group) Control(file, value string) error { return errUnsupported }

// OutOfMemory knows nothing on this system.
func (*Group) OutOfMemory() bool { return false }

// Remove removes the group.
func (*Group) Remove(ctx context.Context) error { return errUnsupported }

// GroupOf knows nothing on this system.
func GroupOf(pid int, name string) *Group { return nil }

// EndGroup does nothing on this system.
func EndGroup(ctx context.Context, name string) {}
