//go:build unix

package keepertest

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/divisi-go/divisi/internal/keeper"
	"github.com/divisi-go/divisi/internal/keeper/keepertest/desk"
	"github.com/divisi-go/divisi/internal/keeper/keepertest/play"
)

func socketOutlivesChildren(t *testing.T, d *desk.Desk) {
	for network, address := range map[string]string{
		"tcp": "127.0.0.1:0", "unix": filepath.Join(SocketDir(t), "socket"),
	} {
		socket := d.Open(t, network, network, address)
		if again := d.Open(t, network, network, address); again != socket {
			t.Errorf("the same socket is %+v, and %+v", again, socket)
		}
		for range 3 {
			conn, err := net.Dial(network, socket.Actual) // waits: no child accepts
			if err != nil {
				t.Fatal(err)
			}
			s, _ := desk.Role(t, "web", "answer")
			s.Sockets = []keeper.Inherit{{Key: network}}
			p := d.Begin(t, s)
			answer, err := io.ReadAll(conn)
			if got, want := string(answer), fmt.Sprintln(p.Pid); got != want || err != nil {
				t.Errorf("the answer is %q, %v, want that of %q", got, err, want)
			}
			conn.Close()
			if exit := d.Await(t, p.ID); exit.Code != 0 {
				t.Fatalf("exit %+v: %v", exit, d.Log(t, "web"))
			}
		}

		if err := d.Unlisten(d.Ctx, domain, network); err != nil {
			t.Fatal(err)
		}
		if conn, err := net.Dial(network, socket.Actual); err == nil {
			conn.Close()
			t.Error("the socket is still open")
		}
		if err := d.Unlisten(d.Ctx, domain, network); !errors.Is(err, keeper.ErrUnknown) {
			t.Errorf("closed twice: %v", err)
		}
	}
	if list, err := d.Sockets(d.Ctx, "/"); err != nil || len(list) > 0 {
		t.Errorf("%v, %v", list, err)
	}
}

func socketOfAnotherAddress(t *testing.T, d *desk.Desk) {
	socket := d.Open(t, "web", "tcp", "127.0.0.1:0")
	_, err := d.Listen(d.Ctx, keeper.Socket{Domain: domain, Key: "web", Network: "tcp", Address: "localhost:9"})
	if !errors.Is(err, keeper.ErrDiffers) || !strings.Contains(err.Error(), "127.0.0.1:0") || !strings.Contains(err.Error(), "localhost:9") {
		t.Errorf("another address: %v", err)
	}
	if list, err := d.Sockets(d.Ctx, domain); err != nil || len(list) != 1 || list[0] != socket {
		t.Errorf("%+v, %v", list, err)
	}
	// Keys are those of a domain.
	other, err := d.Listen(d.Ctx, keeper.Socket{Domain: domain + "/below", Key: "web", Network: "tcp", Address: "localhost:0"})
	if err != nil || other.Actual == socket.Actual {
		t.Errorf("%+v, %v", other, err)
	}
}

func takenSocket(t *testing.T, d *desk.Desk) {
	socket := d.Open(t, "web", "tcp", "127.0.0.1:0")
	f, err := d.Take(d.Ctx, domain, "web")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	l, err := net.FileListener(f)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	conn, err := net.Dial("tcp", socket.Actual)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	accepted, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	accepted.Close()
	if _, err := d.Take(d.Ctx, domain, "none"); !errors.Is(err, keeper.ErrUnknown) {
		t.Errorf("of an unknown key: %v", err)
	}
}

func addressInUse(t *testing.T, d *desk.Desk) {
	for network, address := range map[string]string{
		"tcp": "127.0.0.1:0", "unix": filepath.Join(SocketDir(t), "socket"),
	} {
		socket := d.Open(t, "first-"+network, network, address)
		_, err := d.Listen(d.Ctx, keeper.Socket{Domain: domain, Key: "second", Network: network, Address: socket.Actual})
		if !errors.Is(err, syscall.EADDRINUSE) {
			t.Errorf("%s twice: %v", network, err)
		}
	}
}

// socketStaysNonBlocking looks at the mode that all processes with the socket share.
func socketStaysNonBlocking(t *testing.T, d *desk.Desk) {
	d.Open(t, "web", "tcp", "127.0.0.1:0")
	s := desk.Shell("sh", "exit 0")
	s.Sockets = []keeper.Inherit{{Key: "web"}}
	d.Await(t, d.Begin(t, s).ID)
	f, err := d.Take(d.Ctx, domain, "web")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	raw, err := f.SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	err = raw.Control(func(fd uintptr) {
		flags, _, errno := syscall.Syscall(syscall.SYS_FCNTL, fd, syscall.F_GETFL, 0)
		if errno != 0 || flags&syscall.O_NONBLOCK == 0 {
			t.Errorf("flags %#x, %v", flags, errno)
		}
	})
	if err != nil {
		t.Error(err)
	}
}

func slots(t *testing.T, d *desk.Desk) {
	put := func(text string) {
		path := filepath.Join(t.TempDir(), "f")
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		f, err := os.Open(path)
		if err != nil {
			t.Fatal(err)
		}
		if err := d.Put(d.Ctx, domain, "state", f); err != nil {
			t.Fatal(err)
		}
	}
	get := func() string {
		f, err := d.Get(d.Ctx, domain, "state")
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		text := make([]byte, 100)
		n, err := f.ReadAt(text, 0)
		if err != io.EOF {
			t.Fatal(err)
		}
		return string(text[:n])
	}

	if _, err := d.Get(d.Ctx, domain, "state"); !errors.Is(err, keeper.ErrUnknown) {
		t.Errorf("an empty slot: %v", err)
	}
	put("first")
	if got := get() + get(); got != "firstfirst" {
		t.Errorf("got %q", got)
	}
	put("second")
	if got := get(); got != "second" {
		t.Errorf("got %q", got)
	}
	if err := d.Put(d.Ctx, domain, "state", nil); err != nil {
		t.Fatal(err)
	}
	if _, err := d.Get(d.Ctx, domain, "state"); !errors.Is(err, keeper.ErrUnknown) {
		t.Errorf("a slot that was emptied: %v", err)
	}
}

func inheritance(t *testing.T, d *desk.Desk) {
	var want []string
	for _, key := range []string{"web", "admin"} {
		want = append(want, d.Open(t, key, "tcp", "127.0.0.1:0").Actual)
	}
	s, pipes := desk.Role(t, "heir", "report")
	s.Dir = t.TempDir()
	s.Env = append(s.Env, "LISTEN_PID=1", "LISTEN_FDS=9", "LISTEN_FDNAMES=another's", "FIRST=99", "DIVISI_RUN=another's")
	s.Sockets = []keeper.Inherit{{Key: "web"}, {Key: "admin", As: "back"}}
	for _, variable := range []string{"FIRST", "SECOND"} {
		path := filepath.Join(t.TempDir(), variable)
		if err := os.WriteFile(path, []byte("content of "+variable), 0o600); err != nil {
			t.Fatal(err)
		}
		f, err := os.Open(path)
		if err != nil {
			t.Fatal(err)
		}
		s.Files = append(s.Files, keeper.File{Var: variable, File: f})
	}
	d.Begin(t, s)
	var got play.Inherited
	if err := json.NewDecoder(pipes.Words).Decode(&got); err != nil {
		t.Fatal(err)
	}
	wantEnv := append(play.Env("report"),
		"FIRST=7", "LIFE=6", "LISTEN_FDNAMES=web:back", "LISTEN_FDS=2", "SECOND=8", "WORDS=5")
	slices.Sort(wantEnv)
	marks := 0
	// The C library of macOS adds one of its own.
	got.Env = slices.DeleteFunc(got.Env, func(v string) bool {
		mark := strings.HasPrefix(v, "DIVISI_RUN=")
		if mark && v != "DIVISI_RUN=another's" {
			marks++
		}
		return mark || runtime.GOOS == "darwin" && strings.HasPrefix(v, "__CF")
	})
	slices.Sort(got.Env)
	if !slices.Equal(got.Env, wantEnv) || marks != 1 {
		t.Errorf("environment %q, want %q, and %d marks", got.Env, wantEnv, marks)
	}
	if !slices.Equal(got.Addresses, want) {
		t.Errorf("sockets %v, want %v", got.Addresses, want)
	}
	for variable, content := range got.Contents {
		if content != "content of "+variable {
			t.Errorf("%s is a file with %q", variable, content)
		}
	}
	if dir, err := filepath.EvalSymlinks(s.Dir); err != nil || got.Dir != dir {
		t.Errorf("folder %s, want %s, %v", got.Dir, dir, err)
	}
	for _, target := range got.Open {
		if strings.HasPrefix(target, filepath.Dir(d.Logs)) {
			t.Errorf("the child holds the keeper's %s", target)
		}
	}
	for _, f := range s.Files {
		if err := f.File.Close(); !errors.Is(err, os.ErrClosed) {
			t.Errorf("%s is still open here: %v", f.Var, err)
		}
	}
}

// strayDescriptors: what whoever started the program of the keeper's client has left open is not
// inherited.
func strayDescriptors(t *testing.T, d *desk.Desk) {
	s := desk.Shell("heir", `for f in /dev/fd/*; do echo "${f##*/}"; done`)
	d.Await(t, d.Begin(t, s).ID)
	for _, l := range d.Log(t, "heir") {
		// The shell itself opens the folder.
		if n := l["msg"].(string); n != "0" && n != "1" && n != "2" && n != "3" {
			t.Errorf("the process has the descriptor %s", n)
		}
	}
}

// callersSliceIsNotWritten has room behind the environment that belongs to the caller.
func callersSliceIsNotWritten(t *testing.T, d *desk.Desk) {
	d.Open(t, "web", "tcp", "127.0.0.1:0")
	room := []string{"A=1", "theirs"}
	s := desk.Shell("sh", `test "$LISTEN_FDS" = 1`)
	s.Env, s.Sockets = room[:1], []keeper.Inherit{{Key: "web"}}
	if exit := d.Await(t, d.Begin(t, s).ID); exit.Code != 0 || room[1] != "theirs" {
		t.Errorf("exit %v, and the caller has %q", exit, room)
	}
}

// refusals: what cannot be is refused with a reason, and leaves nothing.
func refusals(t *testing.T, d *desk.Desk) {
	for problem, change := range map[string]func(*keeper.Spec){
		`name "../x"`:             func(s *keeper.Spec) { s.Name = "../x" },
		"a name is empty":         func(s *keeper.Spec) { s.Name = "" },
		"the key nowhere":         func(s *keeper.Spec) { s.Sockets = []keeper.Inherit{{Key: "nowhere"}} },
		"no such file":            func(s *keeper.Spec) { s.Path = "/nowhere/program" },
		"permission denied":       func(s *keeper.Spec) { s.Path = "/etc/passwd" },
		"directory":               func(s *keeper.Spec) { s.Dir = "/nowhere" },
		"labels have":             func(s *keeper.Spec) { s.Labels = map[string]string{"a": strings.Repeat("x", 5000)} },
		keeper.ErrNoClaim.Error(): func(s *keeper.Spec) { s.Domain = "/other" },
	} {
		s := desk.Shell("a", "exit 0")
		change(&s)
		if problem == "directory" {
			problem = "/nowhere"
			s.Path = "/bin/sh"
		}
		read, write, err := os.Pipe()
		if err != nil {
			t.Fatal(err)
		}
		s.Files = []keeper.File{{Var: "A", File: read}, {Var: "B", File: write}}
		if _, err := d.Start(d.Ctx, s); err == nil || problem != "/nowhere" && !strings.Contains(err.Error(), problem) {
			t.Errorf("error %v, want one with %q", err, problem)
		}
		if err := read.Close(); !errors.Is(err, os.ErrClosed) {
			t.Errorf("%s: the files are still open: %v", problem, err)
		}
	}
	for _, s := range []keeper.Socket{
		{Domain: domain, Key: "a:b", Network: "tcp", Address: "127.0.0.1:0"},
		{Domain: "no path", Key: "a", Network: "tcp", Address: "127.0.0.1:0"},
		{Domain: domain, Key: "a", Network: "smoke", Address: "127.0.0.1:0"},
		{Domain: domain, Key: "a", Network: "tcp", Address: "there is no such host.invalid:1"},
		{Domain: "/other", Key: "a", Network: "tcp", Address: "127.0.0.1:0"},
	} {
		if _, err := d.Listen(d.Ctx, s); err == nil {
			t.Errorf("opened %+v", s)
		}
	}
	if left, err := d.List(d.Ctx, "/"); err != nil || len(left) > 0 {
		t.Errorf("still there: %v, %v", left, err)
	}
}
