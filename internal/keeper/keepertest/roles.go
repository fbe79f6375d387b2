//go:build unix

package keepertest

import (
	"encoding/json"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
)

// roleVar makes the test binary play a child instead of running tests.
const roleVar = "KEEPER_TEST_ROLE"

// raceVar has children end at once, as the race detector would let them wait for a second.
const raceVar = "GORACE=atexit_sleep_ms=0"

// Main is the TestMain of a package that uses Run: its binary also plays children of tests.
func Main(m *testing.M) {
	role, args, _ := strings.Cut(os.Getenv(roleVar), " ")
	if role == "" {
		os.Exit(m.Run())
	}
	play, ok := roles[role]
	if !ok {
		fmt.Fprintln(os.Stderr, "no such role:", role)
		os.Exit(99)
	}
	if err := play(args); err != nil {
		fmt.Fprintln(os.Stderr, role, err)
		os.Exit(98)
	}
}

// roles are what children of tests do. They end at the latest when the test closes the pipe whose
// end they hold, so that none is left behind.
var roles = map[string]func(args string) error{
	"hang":   func(string) error { return hang("child") },
	"family": family,
	"leave":  leave,
	"answer": answer,
	"report": report,
	"print":  printLines,
}

// file returns a file that the test has passed.
func file(variable string) *os.File {
	fd, err := strconv.Atoi(os.Getenv(variable))
	if err != nil {
		return nil
	}
	return os.NewFile(uintptr(fd), variable)
}

// hang says that it is ready, then says which SIGTERM comes, until the test's end of LIFE closes.
func hang(who string) error {
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, syscall.SIGTERM)
	words := file("WORDS")
	fmt.Fprintln(words, who, "ready")
	go func() {
		for range signals {
			fmt.Fprintln(words, who, "terminated")
		}
	}()
	_, err := io.Copy(io.Discard, file("LIFE"))
	return err
}

// grandchild starts another process that hangs.
func grandchild(attr *syscall.SysProcAttr) error {
	exe, err := os.Executable()
	if err != nil {
		return err
	}
	cmd := exec.Command(exe)
	cmd.Env = []string{roleVar + "=hang", raceVar, "WORDS=3", "LIFE=4"}
	cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
	cmd.ExtraFiles = []*os.File{file("WORDS"), file("LIFE")}
	cmd.SysProcAttr = attr
	return cmd.Start()
}

func family(string) error {
	if err := grandchild(nil); err != nil {
		return err
	}
	return hang("parent")
}

// leave ends while a grandchild in a session of its own holds its output.
func leave(string) error {
	fmt.Println("last words")
	return grandchild(&syscall.SysProcAttr{Setsid: true})
}

// answer answers one connection at the first socket, then ends.
func answer(string) error {
	l, err := net.FileListener(os.NewFile(3, "socket"))
	if err != nil {
		return err
	}
	conn, err := l.Accept()
	if err != nil {
		return err
	}
	fmt.Fprintln(conn, os.Getpid())
	return conn.Close()
}

// inherited is what a child has got.
type inherited struct {
	Env       []string
	Dir       string
	Contents  map[string]string // of files, by variable
	Addresses []string          // of sockets
	Open      []string          // what else is open, where the system says it
}

func report(string) error {
	got := inherited{Env: os.Environ(), Contents: map[string]string{}}
	links, _ := filepath.Glob("/proc/self/fd/*")
	for _, link := range links {
		if target, err := os.Readlink(link); err == nil {
			got.Open = append(got.Open, target)
		}
	}
	var err error
	if got.Dir, err = os.Getwd(); err != nil {
		return err
	}
	count, _ := strconv.Atoi(os.Getenv("LISTEN_FDS"))
	for i := range count {
		l, err := net.FileListener(os.NewFile(uintptr(3+i), "socket"))
		if err != nil {
			return err
		}
		got.Addresses = append(got.Addresses, l.Addr().String())
	}
	for _, variable := range []string{"FIRST", "SECOND"} {
		data, err := io.ReadAll(file(variable))
		if err != nil {
			return err
		}
		got.Contents[variable] = string(data)
	}
	return json.NewEncoder(file("WORDS")).Encode(got)
}

// printLines prints numbered lines.
func printLines(args string) error {
	n, err := strconv.Atoi(args)
	if err != nil {
		return err
	}
	for i := range n {
		fmt.Printf("line %d\n", i)
	}
	return nil
}

// pipes are the test's ends of WORDS and LIFE.
type pipes struct {
	words *os.File
	life  *os.File
}
