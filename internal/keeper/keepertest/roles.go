//go:build unix

package keepertest

import (
	"bufio"
	"encoding/json"
	"errors"
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
	"say":    say,
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

// say tells the supervisor the lines of LIFE, each a message with ; between its assignments, and says
// in WORDS when that was handled. It gives a file away with a message that stores one; first it prints
// what it has inherited.
func say(string) error {
	words := file("WORDS")
	count, _ := strconv.Atoi(os.Getenv("LISTEN_FDS"))
	for i, name := range strings.Split(os.Getenv("LISTEN_FDNAMES"), ":")[:count] {
		text, err := io.ReadAll(os.NewFile(uintptr(3+i), name))
		fmt.Println("inherited", name, string(text), err)
	}
	socket := os.Getenv("NOTIFY_SOCKET")
	fmt.Fprintln(words, "begins", socket, os.Getenv("WATCHDOG_USEC"))

	lines := bufio.NewScanner(file("LIFE"))
	for lines.Scan() {
		message := strings.ReplaceAll(lines.Text(), ";", "\n")
		var files []*os.File
		if strings.Contains(message, "FDSTORE=1") {
			r, w, err := os.Pipe()
			if err != nil {
				return err
			}
			fmt.Fprint(w, lines.Text())
			w.Close()
			files = append(files, r)
		}
		if err := tell(socket, message, files...); err != nil {
			return err
		}
		r, w, err := os.Pipe()
		if err != nil {
			return err
		}
		err = tell(socket, "BARRIER=1", w)
		w.Close()
		if _, copyErr := io.Copy(io.Discard, r); err != nil || copyErr != nil {
			return errors.Join(err, copyErr)
		}
		fmt.Fprintln(words, "said", lines.Text())
	}

	return lines.Err()
}

// tell sends a message to the supervisor at a socket.
func tell(path, message string, files ...*os.File) error {
	var fds []int
	for _, f := range files {
		fds = append(fds, int(f.Fd()))
	}
	socket, err := syscall.Socket(syscall.AF_UNIX, syscall.SOCK_DGRAM, 0)
	if err != nil {
		return err
	}
	defer syscall.Close(socket)
	return syscall.Sendmsg(socket, []byte(message), syscall.UnixRights(fds...),
		&syscall.SockaddrUnix{Name: path}, 0)
}

// pipes are the test's ends of WORDS and LIFE.
type pipes struct {
	words *os.File
	life  *os.File
}
