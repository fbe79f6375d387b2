//go:build linux

// Package daemon is what becomes of a process that is to outlive whoever has started it, and how it is
// started.
package daemon

import (
	"errors"
	"fmt"
	"os"
	"strconv"
	"syscall"
	"time"

	"github.com/divisi-go/divisi/internal/family"
)

// maxLog is how long the keeper's own log may be when a keeper begins. A longer one becomes
// keeper.log.1.
const maxLog = 1 << 20

// CloseForeign closes what the caller has left open. What this program itself has opened is closed on
// exec, as everything is that Go opens.
func CloseForeign() error {
	entries, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		return err
	}
	for _, e := range entries {
		fd, err := strconv.Atoi(e.Name())
		if err != nil || fd <= 2 {
			continue
		}
		flags, _, errno := syscall.Syscall(syscall.SYS_FCNTL, uintptr(fd), syscall.F_GETFD, 0)
		if errno == 0 && flags&syscall.FD_CLOEXEC == 0 {
			syscall.Close(fd)
		}
	}
	return nil
}

// Free frees the process from its caller: it outlives the caller's session and terminal, holds no
// folder of others, and gives servers nothing of the caller's.
func Free() error {
	// It fails if this process leads a session already.
	_, _ = syscall.Setsid()
	syscall.Umask(0o022)
	if err := os.Chdir("/"); err != nil {
		return err
	}

	_ = os.WriteFile("/proc/self/comm", []byte("divisi keeper"), 0) // for people
	return family.AdoptOrphans()
}

// SpeakInto has everything that the process prints written to a file. Its input is empty.
func SpeakInto(path string) error {
	if info, err := os.Stat(path); err == nil && info.Size() > maxLog {
		_ = os.Rename(path, path+".1") // it grows on
	}
	out, err := os.OpenFile(path, os.O_WRONLY|os.O_APPEND|os.O_CREATE, 0o600)
	if err != nil {
		return err
	}
	defer out.Close()
	in, err := os.Open(os.DevNull)
	if err != nil {
		return err
	}
	defer in.Close()

	return errors.Join(become(in, 0), become(out, 1), become(out, 2))
}

// become makes a descriptor one of a file.
func become(f *os.File, number int) error {
	raw, err := f.SyscallConn()
	if err != nil {
		return err
	}
	var dupErr error
	err = raw.Control(func(fd uintptr) { dupErr = syscall.Dup3(int(fd), number, 0) })
	return errors.Join(err, dupErr)
}

// Say writes a line to the keeper's log.
func Say(format string, args ...any) {
	fmt.Fprintf(os.Stderr, "%s keeper %d %s\n", time.Now().Format(time.RFC3339), os.Getpid(), fmt.Sprintf(format, args...))
}
