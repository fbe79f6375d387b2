// Package pid1 does what the first process of a container owes to all others: orphans become its
// children, and somebody has to wait for them.
package pid1

import (
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"
)

// Supervise does nothing unless this is the first process of its PID namespace. If it is, it runs
// this program once more as a child with the same arguments, hands on the signals that it gets,
// waits for every child there is, and returns the exit code of the one it has started: 128 and the
// signal's number if a signal ended it. It is what tini (github.com/krallin/tini) does.
func Supervise(stderr io.Writer) (code int, first bool) {
	if os.Getpid() != 1 {
		return 0, false
	}

	signals := make(chan os.Signal, 16)
	signal.Notify(signals)
	defer signal.Stop(signals)

	pid, err := fork()
	if err != nil {
		fmt.Fprintf(stderr, "divisi: error: cannot start as the second process: %v\n", err)
		return 1, true
	}

	go func() {
		for s := range signals {
			if number, ok := s.(syscall.Signal); ok && forwarded(number) {
				_ = syscall.Kill(pid, number) // it has just ended, which is noticed elsewhere
			}
		}
	}()

	return wait(pid), true
}

// fork starts this program again. It has the descriptors of this process that are to be inherited,
// such as sockets, under the same numbers.
func fork() (int, error) {
	program, err := os.Executable()
	if err != nil {
		return 0, err
	}

	files := []uintptr{0, 1, 2}
	for fd := uintptr(3); inherited(fd); fd++ {
		files = append(files, fd)
	}

	return syscall.ForkExec(program, os.Args, &syscall.ProcAttr{Env: os.Environ(), Files: files})
}

// inherited reports whether a descriptor is open, and not one of the Go runtime.
func inherited(fd uintptr) bool {
	flags, _, errno := syscall.Syscall(syscall.SYS_FCNTL, fd, syscall.F_GETFD, 0)
	return errno == 0 && flags&syscall.FD_CLOEXEC == 0
}

// forwarded reports whether a signal is for the program: the runtime uses some itself.
func forwarded(s syscall.Signal) bool {
	return s != syscall.SIGCHLD && s != syscall.SIGURG && s != syscall.SIGPIPE
}

// wait waits for children until a certain one has ended, and returns its exit code.
func wait(pid int) int {
	for {
		var status syscall.WaitStatus
		ended, err := syscall.Wait4(-1, &status, 0, nil)
		switch {
		case errors.Is(err, syscall.EINTR), err == nil && ended != pid:
		case err != nil:
			return 1
		case status.Signaled():
			return 128 + int(status.Signal())
		default:
			return status.ExitStatus()
		}
	}
}
