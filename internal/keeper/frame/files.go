//go:build linux

package frame

import (
	"fmt"
	"os"
	"syscall"
)

// descriptors are open files as numbers that children of this process do not inherit. An os.File
// would take what it is about, for all who share it, out of non-blocking mode when asked for its
// number.
type descriptors []int

// copies returns copies of files.
func copies(files []*os.File) (descriptors, error) {
	if len(files) > MaxFiles {
		return nil, fmt.Errorf("cannot pass %d files: at most %d fit into a frame", len(files), MaxFiles)
	}

	var all descriptors
	for _, f := range files {
		fd, err := duplicate(f)
		if err != nil {
			all.close()
			return nil, fmt.Errorf("cannot pass %s: %w", f.Name(), err)
		}
		all = append(all, fd)
	}
	return all, nil
}

func duplicate(f *os.File) (int, error) {
	raw, err := f.SyscallConn()
	if err != nil {
		return 0, err
	}

	var fd uintptr
	var errno syscall.Errno
	err = raw.Control(func(own uintptr) {
		fd, _, errno = syscall.Syscall(syscall.SYS_FCNTL, own, syscall.F_DUPFD_CLOEXEC, 0)
	})
	switch {
	case err != nil:
		return 0, err
	case errno != 0:
		return 0, errno
	}
	return int(fd), nil
}

// open makes files of descriptors.
func (d descriptors) open() []*os.File {
	var files []*os.File
	for _, fd := range d {
		files = append(files, os.NewFile(uintptr(fd), "passed file"))
	}
	return files
}

func (d descriptors) close() {
	for _, fd := range d {
		syscall.Close(fd)
	}
}

func closeFiles(files []*os.File) {
	for _, f := range files {
		f.Close()
	}
}
