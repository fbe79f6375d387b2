package namespace

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
	"unsafe"
)

// Numbers of system calls, and of <linux/mount.h>.
const (
	sysOpenTree     = 428
	sysMoveMount    = 429
	sysMountSetattr = 442

	treeClone    = 0x1
	treeClosed   = syscall.O_CLOEXEC
	recursive    = 0x8000
	emptyPath    = 0x1000
	moveFromOpen = 0x4
	here         = -100 // the current folder
)

// Attributes say what nobody may do with the files of a mount.
type Attributes uint64

// The attributes.
const (
	ReadOnly  Attributes = 0x1
	NoSetuid  Attributes = 0x2
	NoDevices Attributes = 0x4
)

// Private keeps the mounts of this process apart from all others.
func Private() error {
	if err := syscall.Mount("", "/", "", syscall.MS_REC|syscall.MS_PRIVATE, ""); err != nil {
		return fmt.Errorf("cannot keep mounts apart: %w", err)
	}
	return nil
}

// Copy returns what is at a path, with all that is mounted below, as a mount that can be attached elsewhere.
func Copy(path string) (*os.File, error) {
	name, err := syscall.BytePtrFromString(path)
	if err != nil {
		return nil, &fs.PathError{Op: "share", Path: path, Err: err}
	}
	folder := here
	fd, _, errno := syscall.Syscall(sysOpenTree, uintptr(folder), uintptr(unsafe.Pointer(name)), treeClone|treeClosed|recursive)
	if errno != 0 {
		return nil, &fs.PathError{Op: "share", Path: path, Err: errno}
	}
	return os.NewFile(fd, path), nil
}

// Attach moves a mount to a path, and makes that before: a folder, or a file if the mount is one.
func Attach(mount *os.File, path string) error {
	info, err := mount.Stat()
	if err != nil {
		return err
	}
	if err := Place(path, info.IsDir()); err != nil {
		return err
	}
	nothing, _ := syscall.BytePtrFromString("")
	to, err := syscall.BytePtrFromString(path)
	if err != nil {
		return err
	}
	err = control(mount, func(fd uintptr) syscall.Errno {
		folder := here
		_, _, errno := syscall.Syscall6(sysMoveMount, fd, uintptr(unsafe.Pointer(nothing)), uintptr(folder), uintptr(unsafe.Pointer(to)), moveFromOpen, 0)
		return errno
	})
	if err != nil {
		return fmt.Errorf("cannot mount %s: %w", path, err)
	}
	return nil
}

// Place makes a folder or an empty file to mount something at.
func Place(path string, folder bool) error {
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

// attr is struct mount_attr.
type attr struct{ set, clear, propagation, users uint64 }

// Restrict has nobody do something with a mount and all that is mounted below it.
func Restrict(mount *os.File, a Attributes) error {
	err := control(mount, func(fd uintptr) syscall.Errno { return set(fd, "", emptyPath|recursive, a) })
	if err != nil {
		return fmt.Errorf("cannot protect %s: %w (mount_setattr needs Linux 5.12)", mount.Name(), err)
	}
	return nil
}

// RestrictAt has nobody do something with what is mounted at a path, also below it if deep.
func RestrictAt(path string, a Attributes, deep bool) error {
	folder, flags := here, uintptr(0)
	if deep {
		flags = recursive
	}
	if errno := set(uintptr(folder), path, flags, a); errno != 0 {
		return fmt.Errorf("cannot protect %s: %w (mount_setattr needs Linux 5.12)", path, errno)
	}
	return nil
}

func set(fd uintptr, path string, flags uintptr, a Attributes) syscall.Errno {
	name, err := syscall.BytePtrFromString(path)
	if err != nil {
		return syscall.EINVAL
	}
	wanted := attr{set: uint64(a)}
	_, _, errno := syscall.Syscall6(sysMountSetattr, fd, uintptr(unsafe.Pointer(name)), flags, uintptr(unsafe.Pointer(&wanted)), unsafe.Sizeof(wanted), 0)
	return errno
}

// control does something with the descriptor of a file.
func control(f *os.File, do func(fd uintptr) syscall.Errno) error {
	raw, err := f.SyscallConn()
	if err != nil {
		return err
	}
	var errno syscall.Errno
	if err := raw.Control(func(fd uintptr) { errno = do(fd) }); err != nil {
		return err
	}
	if errno != 0 {
		return errno
	}
	return nil
}

// Empty mounts an empty folder, which is in memory.
func Empty(path string, mode os.FileMode) error {
	bits := uint32(mode.Perm())
	if mode&os.ModeSticky != 0 {
		bits |= syscall.S_ISVTX
	}
	if err := syscall.Mount("tmpfs", path, "tmpfs", syscall.MS_NOSUID|syscall.MS_NODEV, fmt.Sprintf("mode=%o", bits)); err != nil {
		return fmt.Errorf("cannot mount an empty %s: %w", path, err)
	}
	return nil
}

// Processes mounts those of this process namespace at a path.
func Processes(path string) error {
	if err := os.Mkdir(path, 0o555); err != nil {
		return err
	}
	if err := syscall.Mount("proc", path, "proc", syscall.MS_NOSUID|syscall.MS_NODEV|syscall.MS_NOEXEC, ""); err != nil {
		return fmt.Errorf("cannot mount /proc: %w; a container that hides parts of /proc does not allow it", err)
	}
	return nil
}

// Enter makes a folder, at which something is mounted, the root. Nothing of the root before can be reached any more. It
// needs a process that has no other threads in system calls about paths.
func Enter(dir string) error {
	if err := os.Chdir(dir); err != nil {
		return err
	}
	if err := syscall.PivotRoot(".", "."); err != nil {
		return fmt.Errorf("cannot change the root: %w", err)
	}
	if err := syscall.Unmount(".", syscall.MNT_DETACH); err != nil {
		return fmt.Errorf("cannot leave the root before: %w", err)
	}
	return os.Chdir("/")
}
