//go:build unix

// Package play has the binary of a test play the children that the test starts.
package play

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
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/divisi-go/divisi/internal/keeper"
)

// roleVar makes the test binary play a child instead of running tests.
const roleVar = "KEEPER_TEST_ROLE"

// raceVar has children end at once, as the race detector would let them wait for a second.
const raceVar = "GORACE=atexit_sleep_ms=0"

// Main is the TestMain of a package whose binary also plays children of its tests.
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
	"alone":  alone,
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
	cmd.Env = append(Env("hang"), "WORDS=3", "LIFE=4")
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

// Inherited is what a child has got.
type Inherited struct {
	Env       []string
	Dir       string
	Contents  map[string]string // of files, by variable
	Addresses []string          // of sockets
	Open      []string          // what else is open, where the system says it
}

func report(string) error {
	got := Inherited{Env: os.Environ(), Contents: map[string]string{}}
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
		if err := Tell(socket, message, files...); err != nil {
			return err
		}
		r, w, err := os.Pipe()
		if err != nil {
			return err
		}
		err = Tell(socket, "BARRIER=1", w)
		w.Close()
		if _, copyErr := io.Copy(io.Discard, r); err != nil || copyErr != nil {
			return errors.Join(err, copyErr)
		}
		fmt.Fprintln(words, "said", lines.Text())
	}

	return lines.Err()
}

// NotAlone is the exit code of a process that was to be the only one.
const NotAlone = 77

// alone has the lock of a file until it is killed.
func alone(path string) error {
	file, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE, 0o600)
	if err != nil {
		return err
	}
	if err := syscall.Flock(int(file.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		os.Exit(NotAlone)
	}
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, syscall.SIGTERM)
	<-signals
	return file.Close()
}

// Tell sends a message to the supervisor at a socket.
func Tell(path, message string, files ...*os.File) error {
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

// Pipes are the test's ends of WORDS and LIFE.
type Pipes struct {
	Words *os.File
	Life  *os.File
}

// Env returns the environment of a process that plays a role.
func Env(role string) []string { return []string{roleVar + "=" + role, raceVar} }

// Role returns what starts the test binary in a role, with WORDS and LIFE.
func Role(t *testing.T, role string) (keeper.Spec, Pipes) {
	t.Helper()
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	words, wordsWrite, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	lifeRead, life, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { words.Close(); life.Close() })

	return keeper.Spec{
		Path: exe, Env: Env(role),
		Files: []keeper.File{{Var: "WORDS", File: wordsWrite}, {Var: "LIFE", File: lifeRead}},
	}, Pipes{words, life}
}

// Expect reads lines in any order.
func Expect(t *testing.T, r *bufio.Reader, want ...string) {
	t.Helper()
	var got []string
	for range want {
		line, err := r.ReadString('\n')
		if err != nil {
			t.Fatalf("after %q: %v", got, err)
		}
		got = append(got, strings.TrimSpace(line))
	}
	slices.Sort(got)
	slices.Sort(want)
	if !slices.Equal(got, want) {
		t.Fatalf("the children say %q, want %q", got, want)
	}
}
