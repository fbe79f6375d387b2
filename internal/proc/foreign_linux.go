package proc

import (
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"syscall"
	"time"
	"unsafe"
)

// Of <linux/pidfd.h>, and numbers of system calls.
const (
	sysPidfdSignal = 424
	sysPidfdGetfd  = 438
	pidfdGetInfo   = 0xC040FF0B // the ioctl PIDFD_GET_INFO, with the first size of its struct
	pidfdInfoExit  = 1 << 3     // of its mask: the process has ended, and how is known
)

// pidfdInfo is the first version of struct pidfd_info.
type pidfdInfo struct {
	mask     uint64
	cgroup   uint64
	_        [11]uint32 // numbers of processes, users and groups
	exitCode int32
}

// Foreign is a process that this one has not started.
type Foreign struct {
	pid  int
	file *os.File // its pidfd
}

// Find returns a process by its number and the time when it started, which tell it from all others.
// One that has ended, and that its parent has not waited for yet, is found as well.
func Find(pid int, ticks uint64) (*Foreign, error) {
	fd, _, errno := syscall.Syscall(sysPidfdOpen, uintptr(pid), syscall.O_NONBLOCK, 0)
	if errno != 0 {
		return nil, fmt.Errorf("process %d: %w", pid, errno)
	}
	f := &Foreign{pid, os.NewFile(fd, "pidfd")}

	// Asked for when the descriptor is there: the number cannot become another's unnoticed.
	if ticks == 0 || StartTicks(pid) != ticks {
		return nil, errors.Join(fmt.Errorf("process %d is another one by now: %w", pid, os.ErrProcessDone), f.Close())
	}

	return f, nil
}

// Adopt returns the process of which another program of this process has left the descriptor open.
func Adopt(pid, descriptor int) *Foreign {
	return &Foreign{pid, os.NewFile(uintptr(descriptor), "pidfd")}
}

// Descriptor returns the one by which the process is known, for as long as it is not given up.
func (f *Foreign) Descriptor() (int, error) {
	raw, err := f.file.SyscallConn()
	if err != nil {
		return 0, err
	}
	var number int
	err = raw.Control(func(fd uintptr) { number = int(fd) })
	return number, err
}

// Close gives the process up.
func (f *Foreign) Close() error { return f.file.Close() }

// Ended is how a process ended, and how that is known: in no way if it is neither of both.
type Ended struct {
	Status syscall.WaitStatus
	Stat   bool // from /proc, for nobody has waited for it yet
	Pidfd  bool // from the kernel, after somebody else has
}

// Wait waits for the end of the process.
func (f *Foreign) Wait() (Ended, error) {
	raw, err := f.file.SyscallConn()
	if err != nil {
		return Ended{}, err
	}

	// The descriptor is readable from the end on. Reading it is an error that means nothing: the
	// poller says when to look, and it is looked before.
	err = raw.Read(func(uintptr) bool { return !f.alive() })
	if err != nil {
		return Ended{}, err
	}

	return f.ended(raw)
}

// alive reports whether the process has not ended.
func (f *Foreign) alive() bool {
	s, err := ReadStat(f.pid)
	return err == nil && !s.Ended
}

// reapTime bounds how long to wait for the parent of a process that has ended to wait for it.
const (
	reapTime = time.Second
	reapPoll = 5 * time.Millisecond
)

// ended returns how the process has ended. Where /proc does not tell, the kernel does once somebody has
// waited for the process.
func (f *Foreign) ended(raw syscall.RawConn) (Ended, error) {
	for end := time.Now().Add(reapTime); ; {
		s, err := ReadStat(f.pid)
		waits := err == nil && s.Ended
		if waits && s.Status >= 0 && f.tells() {
			return Ended{Status: syscall.WaitStatus(s.Status), Stat: true}, nil
		}
		if status, known := exitOf(raw); known {
			return Ended{Status: status, Pidfd: true}, nil
		}
		if !waits || time.Now().After(end) {
			return Ended{}, nil
		}
		time.Sleep(reapPoll)
	}
}

// tells reports whether /proc says how the process has ended: to who may not look into it, it says that
// every process has ended well.
func (f *Foreign) tells() bool {
	_, err := os.Readlink(fmt.Sprintf("/proc/%d/ns/user", f.pid)) // it needs the same right
	return err == nil
}

// exitOf asks a pidfd how its process has ended, which is known once somebody has waited for that.
func exitOf(raw syscall.RawConn) (status syscall.WaitStatus, known bool) {
	info := pidfdInfo{mask: pidfdInfoExit}
	var errno syscall.Errno
	err := raw.Control(func(fd uintptr) {
		_, _, errno = syscall.Syscall(syscall.SYS_IOCTL, fd, pidfdGetInfo, uintptr(unsafe.Pointer(&info)))
	})
	return syscall.WaitStatus(info.exitCode), err == nil && errno == 0 && info.mask&pidfdInfoExit != 0
}

// Signal sends a signal to the process and to the others of the group that it leads. Somebody else may
// wait for it at any time; then its number is another's, but its descriptor is not.
func (f *Foreign) Signal(s syscall.Signal) error {
	raw, err := f.file.SyscallConn()
	if err != nil {
		return err
	}
	var errno syscall.Errno
	err = raw.Control(func(fd uintptr) {
		_, _, errno = syscall.Syscall6(sysPidfdSignal, fd, 0, 0, 0, 0, 0)
	})
	switch {
	case err != nil:
		return err
	case errno == syscall.ESRCH:
		return os.ErrProcessDone
	case errno != 0:
		return errno
	}
	return syscall.Kill(-f.pid, s)
}

// Socket returns a copy of the process's socket with an inode. It needs the right to trace the
// process, which systems give to other than its ancestors or not.
func (f *Foreign) Socket(inode uint64) (int, error) {
	dir := fmt.Sprintf("/proc/%d/fd", f.pid)
	entries, err := os.ReadDir(dir)
	if err != nil {
		return 0, err
	}
	want := fmt.Sprintf("socket:[%d]", inode)
	for _, e := range entries {
		target, err := os.Readlink(dir + "/" + e.Name())
		if err != nil || target != want {
			continue
		}
		number, err := strconv.Atoi(e.Name())
		if err != nil {
			continue
		}
		return f.copy(number)
	}

	return 0, fmt.Errorf("process %d has no such socket: %w", f.pid, os.ErrNotExist)
}

func (f *Foreign) copy(number int) (int, error) {
	raw, err := f.file.SyscallConn()
	if err != nil {
		return 0, err
	}
	var copied uintptr
	var errno syscall.Errno
	err = raw.Control(func(fd uintptr) {
		copied, _, errno = syscall.Syscall(sysPidfdGetfd, fd, uintptr(number), 0) // closed on exec
	})
	if err == nil && errno != 0 {
		err = errno
	}
	return int(copied), err
}

// Output opens one of the process's standard streams to read what it writes there: 1 or 2. It is an
// error unless that is a pipe.
func (f *Foreign) Output(number int) (*os.File, error) {
	path := fmt.Sprintf("/proc/%d/fd/%d", f.pid, number)
	target, err := os.Readlink(path)
	if err != nil {
		return nil, err
	}
	if !strings.HasPrefix(target, "pipe:") {
		return nil, fmt.Errorf("%s is %s, and no pipe", path, target)
	}
	return os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK, 0)
}

// ByMark returns the process whose environment has a value, and that leads its process group, as its
// first variable of that name says.
func ByMark(variable, value string) (pid int, ticks uint64, found bool) {
	entries, err := os.ReadDir("/proc")
	if err != nil {
		return 0, 0, false
	}
	want := variable + "=" + value
	for _, e := range entries {
		number, err := strconv.Atoi(e.Name())
		if err != nil {
			continue
		}
		env, err := os.ReadFile("/proc/" + e.Name() + "/environ")
		if err != nil || !contains(env, want) {
			continue
		}
		group, err := syscall.Getpgid(number)
		if err == nil && group == number {
			return number, StartTicks(number), true
		}
	}

	return 0, 0, false
}

// contains reports whether an environment, as the kernel has it, has a variable.
func contains(env []byte, want string) bool {
	for v := range strings.SplitSeq(string(env), "\x00") {
		if v == want {
			return true
		}
	}
	return false
}
