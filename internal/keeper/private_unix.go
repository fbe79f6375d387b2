//go:build linux || darwin

package keeper

import (
	"fmt"
	"os"
	"syscall"
)

// privateDir makes a folder that only this user can enter, and refuses one that is another's.
func privateDir(dir string) error {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	info, err := os.Lstat(dir)
	if err != nil {
		return err
	}
	owner, ok := info.Sys().(*syscall.Stat_t)
	switch {
	case !info.IsDir():
		return fmt.Errorf("%s is not a folder", dir)
	case !ok || int(owner.Uid) != os.Getuid():
		return fmt.Errorf("%s belongs to another user: remove it, or set DIVISI_HOME and "+
			"XDG_RUNTIME_DIR to folders of your own", dir)
	case info.Mode().Perm()&0o077 != 0:
		return os.Chmod(dir, 0o700)
	}
	return nil
}
