//go:build unix

package unit

import (
	"fmt"
	"os"
	"path/filepath"
	"syscall"
)

// checkOwner says why others than root could exchange a program, and be root by that.
func checkOwner(program string) error {
	for path := program; ; path = filepath.Dir(path) {
		info, err := os.Lstat(path)
		if err != nil {
			return err
		}
		stat, ok := info.Sys().(*syscall.Stat_t)
		if !ok || stat.Uid != 0 || info.Mode().Perm()&0o002 != 0 {
			return fmt.Errorf("others than root may change %s, and what systemd runs of it: copy %s to a folder of root "+
				"such as /usr/local/bin, and install it from there; or use --user", path, program)
		}
		if path == filepath.Dir(path) {
			return nil
		}
	}
}
