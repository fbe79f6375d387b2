//go:build linux || darwin

package keeper_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
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

func TestMain(m *testing.M) {
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
	"hold":   hold,
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

// hold opens a keeper, starts a process, and holds both until it is killed.
func hold(dir string) error {
	k, err := keeper.Open(dir, filepath.Join(dir, "logs"))
	if err != nil {
		return err
	}
	exe, err := os.Executable()
	if err != nil {
		return err
	}
	_, err = k.Start(keeper.Spec{
		Name: "held", Path: exe, Env: []string{roleVar + "=hang", raceVar},
		Files: []*os.File{file("WORDS"), file("LIFE")}, FileVars: []string{"WORDS", "LIFE"},
	})
	if err != nil {
		return err
	}
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, syscall.SIGTERM)
	<-signals
	return k.Close()
}

// pipes are the test's ends of WORDS and LIFE.
type pipes struct {
	words *os.File
	life  *os.File
}

// spec returns what starts the test binary in a role. With pipes it gets WORDS and LIFE.
func spec(t *testing.T, name, role string) (keeper.Spec, pipes) {
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
	p := pipes{words, life}
	t.Cleanup(func() { words.Close(); life.Close() })
	return keeper.Spec{
		Name: name, Path: exe, Env: []string{roleVar + "=" + role, raceVar},
		Files: []*os.File{wordsWrite, lifeRead}, FileVars: []string{"WORDS", "LIFE"},
	}, p
}

// open opens a keeper for the test.
func open(t *testing.T) *keeper.Keeper {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "keeper")
	k, err := keeper.Open(dir, filepath.Join(dir, "logs"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := k.Close(); err != nil {
			t.Error(err)
		}
	})
	return k
}

func start(t *testing.T, k *keeper.Keeper, s keeper.Spec) *keeper.Process {
	t.Helper()
	p, err := k.Start(s)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// entries reads the log of a process, the oldest file first.
func entries(t *testing.T, k *keeper.Keeper, name string) []map[string]any {
	t.Helper()
	var list []map[string]any
	for _, suffix := range []string{".log.2", ".log.1", ".log"} {
		data, err := os.ReadFile(filepath.Join(k.LogDir(), name+suffix))
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		for line := range strings.Lines(string(data)) {
			list = append(list, entry(t, line))
		}
	}
	return list
}

func entry(t *testing.T, line string) map[string]any {
	t.Helper()
	var e map[string]any
	if err := json.Unmarshal([]byte(line), &e); err != nil {
		t.Fatalf("log line %q: %v", line, err)
	}
	return e
}
