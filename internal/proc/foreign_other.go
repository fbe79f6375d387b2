//go:build !linux

package proc

import (
	"errors"
	"os"
	"syscall"
)

// Foreign is a process that this one has not started, of which nothing is known here.
type Foreign struct{}

// Ended is how a process ended, and how that is known.
type Ended struct {
	Status      syscall.WaitStatus
	Stat, Pidfd bool
}

// Find fails on this system.
func Find(int, uint64) (*Foreign, error) { return nil, errors.ErrUnsupported }

// Adopt returns a process of which nothing is known.
func Adopt(int, int) *Foreign { return &Foreign{} }

// Descriptor returns none.
func (*Foreign) Descriptor() (int, error) { return 0, errors.ErrUnsupported }

// Close gives the process up.
func (*Foreign) Close() error { return errors.ErrUnsupported }

// Wait waits for the end of the process.
func (*Foreign) Wait() (Ended, error) { return Ended{}, errors.ErrUnsupported }

// Signal sends a signal to the process and its group.
func (*Foreign) Signal(syscall.Signal) error { return errors.ErrUnsupported }

// Socket returns a copy of the process's socket with an inode.
func (*Foreign) Socket(uint64) (int, error) { return 0, errors.ErrUnsupported }

// Output opens one of the process's standard streams.
func (*Foreign) Output(int) (*os.File, error) { return nil, errors.ErrUnsupported }

// ByMark finds nobody on this system.
func ByMark(string, string) (pid int, ticks uint64, found bool) { return 0, 0, false }
