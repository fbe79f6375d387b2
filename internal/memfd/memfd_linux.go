package memfd

import (
	"errors"
	"fmt"
	"os"
	"runtime"
	"strings"
	"syscall"
	"unsafe"
)

// Of <linux/memfd.h> and <linux/fcntl.h>.
const (
	mfdCloexec      = 1
	mfdAllowSealing = 2
	mfdNoexecSeal   = 8 // since Linux 6.3, where systems may ask for it
	addSeals        = 1033
	getSeals        = 1034
	seals           = 1 | 2 | 4 | 8 // that there are no more seals, no shrinking, growing or writing

	maxName = 249 // bytes
)

// memfdCreate are the numbers of the system call, which differ and which package syscall has for some
// architectures only.
var memfdCreate = map[string]uintptr{
	"386": 356, "amd64": 319, "arm": 385, "arm64": 279, "loong64": 279, "mips": 4354, "mipsle": 4354,
	"mips64": 5314, "mips64le": 5314, "ppc64": 360, "ppc64le": 360, "riscv64": 279, "s390x": 350,
}

func create(name string, data []byte) (*os.File, error) {
	f, err := open(name)
	if err != nil {
		return nil, err
	}

	_, err = f.WriteAt(data, 0) // who inherits it reads from the beginning
	if err == nil {
		err = use(f, seal)
	}
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}

	return f, nil
}

func open(name string) (*os.File, error) {
	number, ok := memfdCreate[runtime.GOARCH]
	if !ok {
		return nil, fmt.Errorf("the system call is not known on %s", runtime.GOARCH)
	}
	if len(name) > maxName {
		return nil, fmt.Errorf("its name has %d bytes, and may have %d", len(name), maxName)
	}
	text, err := syscall.BytePtrFromString(name)
	if err != nil {
		return nil, err
	}

	const flags = mfdCloexec | mfdAllowSealing
	fd, _, errno := syscall.Syscall(number, uintptr(unsafe.Pointer(text)), flags|mfdNoexecSeal, 0)
	if errno == syscall.EINVAL {
		fd, _, errno = syscall.Syscall(number, uintptr(unsafe.Pointer(text)), flags, 0)
	}
	if errno != 0 {
		return nil, os.NewSyscallError("memfd_create", errno)
	}

	return os.NewFile(fd, "memfd:"+strings.ToValidUTF8(name, "?")), nil
}

func seal(fd uintptr) error {
	_, _, errno := syscall.Syscall(syscall.SYS_FCNTL, fd, addSeals, seals)
	if errno != 0 {
		return os.NewSyscallError("fcntl F_ADD_SEALS", errno)
	}

	return nil
}

// Sealed reports whether what is in the file can never change, whoever has it.
func Sealed(f *os.File) bool {
	var got uintptr
	err := use(f, func(fd uintptr) error {
		var errno syscall.Errno
		got, _, errno = syscall.Syscall(syscall.SYS_FCNTL, fd, getSeals, 0)
		if errno != 0 {
			return errno
		}
		return nil
	})

	return err == nil && got&seals == seals
}

// use calls fn with the descriptor, which it leaves as it is: Fd would take it, and all its copies in
// other processes, out of non-blocking mode.
func use(f *os.File, fn func(fd uintptr) error) error {
	raw, err := f.SyscallConn()
	if err != nil {
		return err
	}

	var fnErr error
	err = raw.Control(func(fd uintptr) { fnErr = fn(fd) })

	return errors.Join(err, fnErr)
}
