// Package mount arranges the files that the hosts of a lab see.
package mount

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// own are the folders that every host has of its own, with their permissions.
var own = map[string]os.FileMode{"/tmp": 0o777 | os.ModeSticky, "/run": 0o755, "/var/tmp": 0o777 | os.ModeSticky, "/dev/shm": 0o777 | os.ModeSticky}

// Protect makes all files read-only for this process's mounts and those that are made of them.
func Protect() error {
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		return fmt.Errorf("cannot keep the mounts of a lab apart: %w", err)
	}
	attr := unix.MountAttr{Attr_set: unix.MOUNT_ATTR_RDONLY}
	if err := unix.MountSetattr(unix.AT_FDCWD, "/", unix.AT_RECURSIVE, &attr); err != nil {
		return fmt.Errorf("cannot make the files of a lab read-only: %w (mount_setattr needs Linux 5.12)", err)
	}
	return nil
}

// Copy returns what is at a path as a mount that can be moved elsewhere.
func Copy(path string) (*os.File, error) {
	fd, err := unix.OpenTree(unix.AT_FDCWD, path, unix.OPEN_TREE_CLONE|unix.OPEN_TREE_CLOEXEC|unix.AT_RECURSIVE)
	if err != nil {
		return nil, &fs.PathError{Op: "share", Path: path, Err: err}
	}
	return os.NewFile(uintptr(fd), path), nil
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

// Attach moves a mount to a path, and makes that before: a folder, or a file if the mount is one.
func Attach(mount *os.File, path string) error {
	info, err := mount.Stat()
	if err != nil {
		return err
	}
	if err := place(path, info.IsDir()); err != nil {
		return err
	}
	raw, err := mount.SyscallConn()
	if err != nil {
		return err
	}
	var moved error
	err = raw.Control(func(fd uintptr) {
		moved = unix.MoveMount(int(fd), "", unix.AT_FDCWD, path, unix.MOVE_MOUNT_F_EMPTY_PATH)
	})
	if err := errors.Join(err, moved); err != nil {
		return fmt.Errorf("cannot mount %s: %w", path, err)
	}
	return nil
}

// place makes a folder or an empty file to mount something at.
func place(path string, folder bool) error {
	if _, err := os.Stat(path); err == nil {
		return nil
	}
	dir := path
	if !folder {
		dir = filepath.Dir(path)
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return fmt.Errorf("cannot make %s: %w; the machine's own folders are read-only for a host", dir, err)
	}
	if folder {
		return nil
	}
	return os.WriteFile(path, nil, 0o600)
}

// Empty mounts an empty folder, which is in memory.
func Empty(path string, mode os.FileMode) error {
	bits := uint32(mode.Perm())
	if mode&os.ModeSticky != 0 {
		bits |= unix.S_ISVTX
	}
	if err := unix.Mount("tmpfs", path, "tmpfs", unix.MS_NOSUID|unix.MS_NODEV, fmt.Sprintf("mode=%o", bits)); err != nil {
		return fmt.Errorf("cannot mount an empty %s: %w", path, err)
	}
	return nil
}

// root is where a host prepares its files.
const root = "/tmp"

// Root makes another root for this process: a writable one, in which everything of the machine is read-only, and the
// folders of a host's own are empty. It needs a process that has no other threads in system calls about paths.
func Root(home string) error {
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		return err
	}
	if err := Empty(root, 0o755); err != nil {
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
		if err := Empty(at, mode); err != nil {
			return err
		}
	}

	if err := os.Mkdir(filepath.Join(root, "proc"), 0o555); err != nil {
		return err
	}
	if err := unix.Mount("proc", filepath.Join(root, "proc"), "proc", unix.MS_NOSUID|unix.MS_NODEV|unix.MS_NOEXEC, ""); err != nil {
		return fmt.Errorf("cannot mount /proc for a host: %w; a container that hides parts of /proc does not allow it", err)
	}
	return enter(root)
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

	if err := place(to, entry.IsDir()); err != nil {
		return err
	}
	err := unix.Mount(from, to, "", unix.MS_BIND|unix.MS_REC, "")
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("cannot show %s to a host: %w", from, err)
	}
	return nil
}

// enter makes a folder the root.
func enter(dir string) error {
	if err := os.Chdir(dir); err != nil {
		return err
	}
	if err := unix.PivotRoot(".", "."); err != nil {
		return fmt.Errorf("cannot change the root of a host: %w", err)
	}
	if err := unix.Unmount(".", unix.MNT_DETACH); err != nil {
		return fmt.Errorf("cannot leave the machine's root: %w", err)
	}
	return os.Chdir("/")
}
