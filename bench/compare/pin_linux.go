package main

import (
	"errors"
	"fmt"
	"net"
	"os"
	"runtime"
	"strconv"

	"golang.org/x/sys/unix"
)

// pidOf returns the number of the process at the other end of a Unix socket.
func pidOf(conn *net.UnixConn) (int, error) {
	raw, err := conn.SyscallConn()
	if err != nil {
		return 0, err
	}
	var cred *unix.Ucred
	var failed error
	err = raw.Control(func(fd uintptr) { cred, failed = unix.GetsockoptUcred(int(fd), unix.SOL_SOCKET, unix.SO_PEERCRED) })
	if err != nil || failed != nil {
		return 0, fmt.Errorf("cannot tell the process at a socket: %w", errors.Join(err, failed))
	}
	return int(cred.Pid), nil
}

// pin makes the process at the other end of a socket run on the first processor only, or on all.
func pin(conn *net.UnixConn, one bool) error {
	pid, err := pidOf(conn)
	if err != nil {
		return err
	}
	var set unix.CPUSet
	set.Set(0)
	for cpu := 1; cpu < runtime.NumCPU() && !one; cpu++ {
		set.Set(cpu)
	}
	threads, err := os.ReadDir(fmt.Sprintf("/proc/%d/task", pid))
	if err != nil {
		return err
	}
	for _, thread := range threads {
		tid, err := strconv.Atoi(thread.Name())
		if err != nil {
			return err
		}
		if err := unix.SchedSetaffinity(tid, &set); err != nil && err != unix.ESRCH {
			return fmt.Errorf("cannot pin thread %d: %w", tid, err)
		}
	}
	return nil
}
