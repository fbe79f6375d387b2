//go:build linux || darwin

package keeper

import (
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"strconv"
	"syscall"
	"testing"
)

// childVar says what a process of this test's binary is to do instead of testing.
const childVar = "KEEPER_TEST_CHILD"

func TestMain(m *testing.M) {
	role, ok := roles[os.Getenv(childVar)]
	if !ok {
		os.Exit(m.Run())
	}
	if err := role(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(70)
	}
}

var roles = map[string]func() error{
	"hold":    hold,
	"orphan":  orphan,
	"accept":  accept,
	"keeper":  keep,
	"environ": environ,
}

// inherited returns the file whose descriptor a variable has.
func inherited(key string) *os.File {
	fd, err := strconv.Atoi(os.Getenv(key))
	if err != nil {
		fmt.Fprintln(os.Stderr, key, err)
		os.Exit(71)
	}
	return os.NewFile(uintptr(fd), key)
}

// hold lives as long as the other end of the pipe IN is open.
func hold() error {
	_, err := io.Copy(io.Discard, inherited("IN"))
	return err
}

// orphan leaves a child outside its group, which holds on to standard output and the pipe, and
// exits with 3.
func orphan() error {
	cmd := exec.Command(os.Args[0])
	cmd.Env = []string{childVar + "=hold", "IN=3"}
	cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
	cmd.ExtraFiles = []*os.File{inherited("IN")}
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if err := cmd.Start(); err != nil {
		return err
	}
	fmt.Println("orphan", cmd.Process.Pid)
	os.Exit(3)
	return nil
}

// accept answers one connection of the first inherited socket with the number of its process.
func accept() error {
	l, err := net.FileListener(os.NewFile(3, "socket"))
	if err != nil {
		return err
	}
	conn, err := l.Accept()
	if err != nil {
		return err
	}
	fmt.Fprint(conn, os.Getpid())
	return conn.Close()
}

// keep is a keeper with one process, which holds ALIVE; it says when that has started.
func keep() error {
	k, err := Open(os.Getenv("DIR"))
	if err != nil {
		return err
	}
	theirs, ours, err := os.Pipe()
	if err != nil {
		return err
	}
	defer ours.Close()
	_, err = k.Start(Spec{
		Name: "held", Path: os.Args[0], Env: []string{childVar + "=hold"},
		Files: []*os.File{theirs, inherited("ALIVE")}, FileVars: []string{"IN", "ALIVE"},
	})
	if err != nil {
		return err
	}
	if _, err := k.Listen("web", "unix", os.Getenv("SOCKET")); err != nil {
		return err
	}
	fmt.Println("started")
	select {}
}

// environ prints what it was given.
func environ() error {
	fmt.Println(os.Args[1:], os.Environ())
	dir, err := os.Getwd()
	fmt.Println(dir, err)
	data, err := io.ReadAll(inherited("B"))
	fmt.Printf("%s %v\n", data, err)
	return nil
}
