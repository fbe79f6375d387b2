//go:build unix

package fork

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"syscall"
)

// barred adds to an error which folder on the way to one of some files keeps a user from it, as far as modes tell.
func barred(err error, who string, user *syscall.Credential, paths ...string) error {
	for _, path := range paths {
		var way []string
		for at := path; at != filepath.Dir(at); at = filepath.Dir(at) {
			way = append(way, filepath.Dir(at))
		}

		for _, folder := range slices.Backward(way) {
			info, lookErr := os.Stat(folder)
			if lookErr == nil && !mayPass(user, info) {
				return fmt.Errorf("%w: the user %s may not pass the folder %s: chmod a+x %s, or use files elsewhere", err, who, folder, folder)
			}
		}
	}
	return err
}

// mayPass reports whether the mode of a folder lets a user pass it.
func mayPass(user *syscall.Credential, folder os.FileInfo) bool {
	owner, ok := folder.Sys().(*syscall.Stat_t)
	mode := folder.Mode().Perm()
	switch {
	case !ok || user.Uid == 0:
		return true
	case owner.Uid == user.Uid:
		return mode&0o100 != 0
	case owner.Gid == user.Gid || slices.Contains(user.Groups, owner.Gid):
		return mode&0o010 != 0
	}
	return mode&0o001 != 0
}
