//go:build linux || darwin

package artifact

import (
	"os"
	"syscall"
)

// lockShared waits until nobody has a folder alone, and locks it with others.
func lockShared(f *os.File) error {
	for {
		if err := syscall.Flock(int(f.Fd()), syscall.LOCK_SH); err != syscall.EINTR {
			return err
		}
	}
}

// tryLockAlone locks a folder if nobody has locked it.
func tryLockAlone(f *os.File) bool {
	return syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB) == nil
}

// executable says why a file with the permission to execute it cannot be executed.
func executable(file string) error {
	const execute = 1
	return syscall.Access(file, execute)
}
