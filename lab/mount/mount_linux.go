// Package mount arranges the files that the hosts of a lab see.
package mount

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"

	"github.com/divisi-go/divisi/internal/namespace"
)

// own are the folders that every host has of its own, with their permissions.
var own = map[string]os.FileMode{"/tmp": 0o777 | os.ModeSticky, "/run": 0o755, "/var/tmp": 0o777 | os.ModeSticky, "/dev/shm": 0o777 | os.ModeSticky}

// Protect makes all files read-only for this process's mounts and those that are made of them.
func Protect() error {
	if err := namespace.Private(); err != nil {
		return err
	}
	return namespace.RestrictAt("/", namespace.ReadOnly, true)
}

// Fuse returns the file system that is served on a descriptor of /dev/fuse, as a mount that can be moved elsewhere.
func Fuse(channel *os.File) (*os.File, error) {
	raw, err := channel.SyscallConn()
	if err != nil {
		return nil, err
	}
	system, err := unix.Fsopen("fuse", unix.FSOPEN_CLOEXEC)
	if err != nil {
		return nil, fmt.Errorf("cannot mount by FUSE: %w; load the module fuse", err)
	}
	defer unix.Close(system)

	tree := -1
	var failed error
	err = raw.Control(func(fd uintptr) {
		failed = errors.Join(
			unix.FsconfigSetString(system, "source", "divisi-lab"),
			unix.FsconfigSetString(system, "fd", fmt.Sprint(fd)),
			unix.FsconfigSetString(system, "rootmode", fmt.Sprintf("%o", unix.S_IFDIR)),
			unix.FsconfigSetString(system, "user_id", "0"),
			unix.FsconfigSetString(system, "group_id", "0"),
			unix.FsconfigSetFlag(system, "allow_other"),
			unix.FsconfigSetFlag(system, "default_permissions"),
			unix.FsconfigCreate(system))
	})
	if err := errors.Join(err, failed); err != nil {
		return nil, fmt.Errorf("cannot mount by FUSE: %w", err)
	}
	tree, err = unix.Fsmount(system, unix.FSMOUNT_CLOEXEC, unix.MOUNT_ATTR_NOSUID|unix.MOUNT_ATTR_NODEV)
	if err != nil {
		return nil, fmt.Errorf("cannot mount by FUSE: %w", err)
	}
	return os.NewFile(uintptr(tree), "disk"), nil
}

// root is where a host prepares its files.
const root = "/tmp"

// Root makes another root for this process: a writable one, in which everything of the machine is read-only, and the
// folders of a host's own are empty. It needs a process that has no other threads in system calls about paths.
func Root(home string) error {
	if err := namespace.Private(); err != nil {
		return err
	}
	if err := namespace.Empty(root, 0o755); err != nil {
		return err
	}
	entries, err := os.ReadDir("/")
	if err != nil {
		return err
	}
	for _, entry := range entries {
		if err := borrow(entry); err != nil {
			return err
		}
	}

	paths := map[string]os.FileMode{}
	for path, mode := range own {
		paths[path] = mode
	}
	if home != "" {
		paths[home] = 0o700
	}
	for path, mode := range paths {
		at := filepath.Join(root, path)
		if filepath.Dir(path) == "/" {
			if err := os.MkdirAll(at, 0o755); err != nil {
				return err
			}
		}
		if info, err := os.Stat(at); err != nil || !info.IsDir() {
			continue // a machine without it
		}
		if err := namespace.Empty(at, mode); err != nil {
			return err
		}
	}

	if err := namespace.Processes(filepath.Join(root, "proc")); err != nil {
		return err
	}
	return namespace.Enter(root)
}

// borrow shows one entry of the machine's root in the new one.
func borrow(entry fs.DirEntry) error {
	from, to := filepath.Join("/", entry.Name()), filepath.Join(root, entry.Name())
	if _, isOwn := own[from]; isOwn || from == "/proc" {
		return nil
	}
	if entry.Type()&fs.ModeSymlink != 0 {
		target, err := os.Readlink(from)
		if err != nil {
			return err
		}
		return os.Symlink(target, to)
	}

	if err := namespace.Place(to, entry.IsDir()); err != nil {
		return err
	}
	err := unix.Mount(from, to, "", unix.MS_BIND|unix.MS_REC, "")
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("cannot show %s to a host: %w", from, err)
	}
	return nil
}
