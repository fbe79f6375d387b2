package journal

import (
	"os"
	"syscall"
)

// keepSize leaves the length of a file as it is: FALLOC_FL_KEEP_SIZE.
const keepSize = 1

// reserve has the disk keep room for what is to be added to a file, where it can.
func reserve(f *os.File, end, bytes int64) {
	raw, err := f.SyscallConn()
	if err == nil {
		_ = raw.Control(func(fd uintptr) { _ = syscall.Fallocate(int(fd), keepSize, end, bytes) })
	}
}
