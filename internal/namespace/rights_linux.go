package namespace

import (
	"fmt"
	"os"
	"syscall"
	"unsafe"
)

// Of <linux/capability.h>: what it takes to make a view.
const (
	capSetpcap     = 8
	capNetAdmin    = 12
	capSysAdmin    = 21
	capSysResource = 24
	lastCapability = 63
)

// Of <linux/prctl.h> and <linux/capability.h>.
const (
	dropBound       = 24
	noNewPrivileges = 38
	ambient         = 47
	clearAmbient    = 4
	capVersion      = 0x20080522
)

// OwnUser has a process be in a user namespace in which this user has its number, and no other one is. The process may
// arrange its view, and what it executes may as well, until [Drop].
func OwnUser(s *syscall.SysProcAttr) {
	s.Cloneflags |= syscall.CLONE_NEWUSER
	s.UidMappings = []syscall.SysProcIDMap{{ContainerID: os.Geteuid(), HostID: os.Geteuid(), Size: 1}}
	s.GidMappings = []syscall.SysProcIDMap{{ContainerID: os.Getegid(), HostID: os.Getegid(), Size: 1}}
	s.AmbientCaps = []uintptr{capSetpcap, capNetAdmin, capSysAdmin, capSysResource}
}

// Drop takes all rights from this thread, and from all that it executes, which gets no others.
func Drop() error {
	for capability := range uintptr(lastCapability + 1) {
		errno := prctl(dropBound, capability, 0)
		if errno == syscall.EINVAL {
			break // the kernel has no more
		}
		if errno != 0 {
			return fmt.Errorf("cannot give up the capability %d: %w", capability, errno)
		}
	}
	if errno := prctl(ambient, clearAmbient, 0); errno != 0 {
		return fmt.Errorf("cannot give up ambient capabilities: %w", errno)
	}

	header := struct {
		version uint32
		pid     int32
	}{version: capVersion}
	var none [2]struct{ effective, permitted, inheritable uint32 }
	_, _, errno := syscall.RawSyscall(syscall.SYS_CAPSET, uintptr(unsafe.Pointer(&header)), uintptr(unsafe.Pointer(&none)), 0)
	if errno != 0 {
		return fmt.Errorf("cannot give up capabilities: %w", errno)
	}
	if errno := prctl(noNewPrivileges, 1, 0); errno != 0 {
		return fmt.Errorf("cannot refuse new privileges: %w", errno)
	}
	return nil
}

func prctl(what, one, two uintptr) syscall.Errno {
	_, _, errno := syscall.RawSyscall6(syscall.SYS_PRCTL, what, one, two, 0, 0, 0)
	return errno
}

// Loopback has the network of this process reach itself.
func Loopback() error {
	s, err := syscall.Socket(syscall.AF_INET, syscall.SOCK_DGRAM|syscall.SOCK_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer syscall.Close(s)
	request := struct {
		name  [syscall.IFNAMSIZ]byte
		flags uint16
		_     [22]byte
	}{flags: syscall.IFF_UP | syscall.IFF_RUNNING}
	copy(request.name[:], "lo")
	_, _, errno := syscall.Syscall(syscall.SYS_IOCTL, uintptr(s), syscall.SIOCSIFFLAGS, uintptr(unsafe.Pointer(&request)))
	if errno != 0 {
		return fmt.Errorf("cannot have the network reach itself: %w", errno)
	}
	return nil
}
