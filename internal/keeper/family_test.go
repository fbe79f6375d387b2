//go:build linux || darwin

package keeper_test

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/divisi-go/divisi/internal/keeper"
)

// expect reads lines in any order.
func expect(t *testing.T, r *bufio.Reader, want ...string) {
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

func TestKilledChildIsSeen(t *testing.T) {
	k := open(t)
	s, pipes := spec(t, "victim", "hang")
	p := start(t, k, s)
	expect(t, bufio.NewReader(pipes.words), "child ready")
	if err := syscall.Kill(p.Pid, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	exit, ok := <-p.Exited
	if !ok || exit.Code != -1 || exit.Signal != "killed" || exit.How != "wait" || exit.Time.Before(p.Started) {
		t.Errorf("exit %+v, %v", exit, ok)
	}
	if got, want := exit.String(), "was ended by the signal killed"; got != want {
		t.Errorf("it %s, want: it %s", got, want)
	}
	if exit, ok := <-p.Exited; ok {
		t.Errorf("a second end: %v", exit)
	}
	if err := p.Signal(syscall.SIGTERM); err == nil {
		t.Error("a dead process took a signal")
	}
}

func TestExitCodes(t *testing.T) {
	k := open(t)
	var wait sync.WaitGroup
	for code := range 100 {
		p := start(t, k, keeper.Spec{
			Name: "child" + strconv.Itoa(code), Path: "/bin/sh",
			Args: []string{"-c", fmt.Sprintf("echo $$; exit %d", code)},
		})
		wait.Go(func() {
			if exit := <-p.Exited; exit.Code != code || exit.Signal != "" || exit.How != "wait" {
				t.Errorf("child that exits with %d: %+v", code, exit)
			}
		})
	}
	wait.Wait()
	exits, err := k.Exits()
	if err != nil {
		t.Fatal(err)
	}
	if len(exits) != 100 {
		t.Errorf("%d ends are recorded", len(exits))
	}
	for _, e := range exits {
		if want := "child" + strconv.Itoa(e.Exit.Code); e.Name != want {
			t.Errorf("%s is recorded to have exited with %d", e.Name, e.Exit.Code)
		}
	}
}

func TestGrandchildHoldsOutput(t *testing.T) {
	k := open(t)
	s, pipes := spec(t, "parent", "leave")
	p := start(t, k, s)
	if exit := <-p.Exited; exit.Code != 0 {
		t.Errorf("exit %+v", exit)
	}
	// The end was seen while the grandchild lives.
	words := bufio.NewReader(pipes.words)
	expect(t, words, "child ready")
	if err := k.Close(); err != nil {
		t.Fatal(err)
	}
	if got := entries(t, k, "parent"); len(got) != 1 || got[0]["msg"] != "last words" ||
		got[0]["level"] != "stdout" || got[0]["node"] != "parent" {
		t.Errorf("the log is %v", got)
	}
	pipes.life.Close()
	if rest, err := io.ReadAll(words); err != nil || len(rest) > 0 {
		t.Errorf("the grandchild says %q, %v", rest, err)
	}
}

func TestGroupEndsWithItsLeader(t *testing.T) {
	k := open(t)
	s, pipes := spec(t, "leader", "family")
	p := start(t, k, s)
	words := bufio.NewReader(pipes.words)
	expect(t, words, "parent ready", "child ready")
	if err := syscall.Kill(p.Pid, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	<-p.Exited
	if rest, err := io.ReadAll(words); err != nil || len(rest) > 0 {
		t.Errorf("the children say %q, %v", rest, err)
	}
}

func TestSignalReachesGrandchildren(t *testing.T) {
	k := open(t)
	s, pipes := spec(t, "parent", "family")
	p := start(t, k, s)
	words := bufio.NewReader(pipes.words)
	expect(t, words, "parent ready", "child ready")
	if err := p.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	expect(t, words, "parent terminated", "child terminated")
	pipes.life.Close()
	if exit := <-p.Exited; exit.Code != 0 {
		t.Errorf("exit %+v", exit)
	}
}

func TestCloseLeavesNobody(t *testing.T) {
	k := open(t)
	var ends []*bufio.Reader
	var all []*keeper.Process
	for i := range 4 {
		s, pipes := spec(t, "parent"+strconv.Itoa(i), "family")
		all = append(all, start(t, k, s))
		ends = append(ends, bufio.NewReader(pipes.words))
	}
	for _, words := range ends {
		expect(t, words, "parent ready", "child ready")
	}
	for range 2 {
		if err := k.Close(); err != nil {
			t.Fatal(err)
		}
	}
	for i, words := range ends {
		if rest, err := io.ReadAll(words); err != nil || len(rest) > 0 {
			t.Errorf("family %d says %q, %v", i, rest, err)
		}
		if exit := <-all[i].Exited; exit.Signal != "killed" {
			t.Errorf("family %d: %+v", i, exit)
		}
	}
	s, _ := spec(t, "late", "hang")
	if _, err := k.Start(s); err == nil {
		t.Error("a closed keeper starts processes")
	}
	if _, err := k.Listen("late", "tcp", "127.0.0.1:0"); err == nil {
		t.Error("a closed keeper opens sockets")
	}
}

func TestSocketOutlivesChildren(t *testing.T) {
	for _, network := range []string{"tcp", "unix"} {
		t.Run(network, func(t *testing.T) {
			k := open(t)
			address := "127.0.0.1:0"
			if network == "unix" {
				// t.TempDir may be too long for a socket.
				dir, err := os.MkdirTemp("", "keeper")
				if err != nil {
					t.Fatal(err)
				}
				t.Cleanup(func() { os.RemoveAll(dir) })
				address = filepath.Join(dir, "socket")
			}
			addr, err := k.Listen("web", network, address)
			if err != nil {
				t.Fatal(err)
			}
			if again, err := k.Listen("web", network, address); err != nil || again.String() != addr.String() {
				t.Errorf("the same socket is at %v, %v, and at %v", again, err, addr)
			}
			for range 3 {
				conn, err := net.Dial(network, addr.String()) // waits: no child accepts
				if err != nil {
					t.Fatal(err)
				}
				s, _ := spec(t, "web", "answer")
				s.Sockets = []string{"web"}
				p := start(t, k, s)
				answer, err := io.ReadAll(conn)
				if got, want := string(answer), fmt.Sprintln(p.Pid); got != want || err != nil {
					t.Errorf("the answer is %q, %v, want that of %q", got, err, want)
				}
				conn.Close()
				if exit := <-p.Exited; exit.Code != 0 {
					t.Fatalf("exit %+v: %v", exit, entries(t, k, "web"))
				}
			}
			if err := k.Close(); err != nil {
				t.Fatal(err)
			}
			if conn, err := net.Dial(network, addr.String()); err == nil {
				conn.Close()
				t.Error("the socket outlives the keeper")
			}
		})
	}
}

func TestAfterKilledKeeper(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "shared")
	k := open(t)
	s, pipes := spec(t, "holder", "hold "+dir)
	p := start(t, k, s)
	words := bufio.NewReader(pipes.words)
	expect(t, words, "child ready")
	if err := p.Signal(syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	<-p.Exited
	next, err := keeper.Open(dir, filepath.Join(dir, "logs"))
	if err != nil {
		t.Fatalf("the folder of a dead keeper: %v", err)
	}
	exits, err := next.Exits()
	if err != nil || len(exits) != 1 || exits[0].Name != "held" || exits[0].Exit.Code != -1 ||
		exits[0].Exit.String() != "ended in an unknown way" {
		t.Errorf("what the dead keeper held is recorded as %+v, %v", exits, err)
	}
	pipes.life.Close()
	if rest, err := io.ReadAll(words); err != nil || len(rest) > 0 {
		t.Errorf("what the dead keeper held says %q, %v", rest, err)
	}
	if err := next.Close(); err != nil {
		t.Error(err)
	}
}

func TestInheritance(t *testing.T) {
	k := open(t)
	var want []string
	for _, key := range []string{"web", "admin"} {
		addr, err := k.Listen(key, "tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		want = append(want, addr.String())
	}
	s, pipes := spec(t, "heir", "report")
	s.Dir = t.TempDir()
	s.Env = append(s.Env, "LISTEN_PID=1", "LISTEN_FDS=9", "LISTEN_FDNAMES=another's", "FIRST=99")
	s.Sockets = []string{"web", "admin"}
	for _, variable := range []string{"FIRST", "SECOND"} {
		path := filepath.Join(t.TempDir(), variable)
		if err := os.WriteFile(path, []byte("content of "+variable), 0o600); err != nil {
			t.Fatal(err)
		}
		f, err := os.Open(path)
		if err != nil {
			t.Fatal(err)
		}
		s.Files, s.FileVars = append(s.Files, f), append(s.FileVars, variable)
	}
	start(t, k, s)
	var got inherited
	if err := json.NewDecoder(pipes.words).Decode(&got); err != nil {
		t.Fatal(err)
	}
	slices.Sort(got.Env)
	wantEnv := []string{
		roleVar + "=report", raceVar, "FIRST=7", "LIFE=6", "LISTEN_FDNAMES=web:admin", "LISTEN_FDS=2",
		"SECOND=8", "WORDS=5",
	}
	slices.Sort(wantEnv)
	// The C library of macOS adds one of its own, and a Go program PWD with Dir set.
	got.Env = slices.DeleteFunc(got.Env, func(v string) bool {
		return runtime.GOOS == "darwin" && strings.HasPrefix(v, "__CF")
	})
	if !slices.Equal(got.Env, wantEnv) {
		t.Errorf("environment %q, want %q", got.Env, wantEnv)
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
		if strings.HasPrefix(target, filepath.Dir(k.LogDir())) {
			t.Errorf("the child holds the keeper's %s", target)
		}
	}
	for _, f := range s.Files {
		if err := f.Close(); !errors.Is(err, os.ErrClosed) {
			t.Errorf("%s is still open here: %v", f.Name(), err)
		}
	}
}

func TestRefusals(t *testing.T) {
	k := open(t)
	for problem, spec := range map[string]keeper.Spec{
		"named \"../x\"":      {Name: "../x", Path: "/bin/sh"},
		"named \"\"":          {Path: "/bin/sh"},
		"the key nowhere":     {Name: "a", Path: "/bin/sh", Sockets: []string{"nowhere"}},
		"no such file":        {Name: "a", Path: "/nowhere/program"},
		"0 files have 1 name": {Name: "a", Path: "/bin/sh", FileVars: []string{"A"}},
	} {
		if _, err := k.Start(spec); err == nil || !strings.Contains(err.Error(), problem) {
			t.Errorf("error %v, want one with %q", err, problem)
		}
	}
	if _, err := k.Listen("a:b", "tcp", "127.0.0.1:0"); err == nil {
		t.Error("a key with a colon is taken")
	}
}

func TestTermCanBeTrapped(t *testing.T) {
	k := open(t)
	s, pipes := spec(t, "trap", "")
	s.Path, s.Args = "/bin/sh", []string{"-c", `trap 'exit 9' TERM; echo ready >&3; read x <&4`}
	p := start(t, k, s)
	expect(t, bufio.NewReader(pipes.words), "ready")
	if err := p.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if exit := <-p.Exited; exit.Code != 9 || exit.String() != "exited with code 9" {
		t.Errorf("exit %+v", exit)
	}
}

func TestAddressInUse(t *testing.T) {
	k := open(t)
	for _, network := range []string{"tcp", "unix"} {
		address := "127.0.0.1:0"
		if network == "unix" {
			dir, err := os.MkdirTemp("", "keeper") // t.TempDir may be too long for a socket
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { os.RemoveAll(dir) })
			address = filepath.Join(dir, "socket")
		}
		addr, err := k.Listen("first "+network, network, address)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := k.Listen("second "+network, network, addr.String()); !errors.Is(err, syscall.EADDRINUSE) {
			t.Errorf("%s twice: %v", network, err)
		}
	}
}
