//go:build linux || darwin

package keeper

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// patience bounds every wait for something that must happen.
const patience = 20 * time.Second

func open(t *testing.T, dir string) *Keeper {
	t.Helper()
	k, err := Open(dir)
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

func start(t *testing.T, k *Keeper, s Spec) *Process {
	t.Helper()
	p, err := k.Start(s)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// child is a process of this test's binary that has the read end of a pipe.
func child(t *testing.T, k *Keeper, name, role string) (p *Process, end func() error) {
	t.Helper()
	theirs, ours, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { ours.Close() })
	return start(t, k, Spec{
		Name: name, Path: os.Args[0], Env: []string{childVar + "=" + role},
		Files: []*os.File{theirs}, FileVars: []string{"IN"},
	}), ours.Close
}

func shell(name, script string) Spec {
	return Spec{Name: name, Path: "/bin/sh", Args: []string{"-c", script}, Env: os.Environ()}
}

func wait(t *testing.T, p *Process) Exit {
	t.Helper()
	select {
	case exit := <-p.Exited:
		return exit
	case <-time.After(patience):
		t.Fatalf("%s has not ended", p.Name)
	}
	panic("not reached")
}

// until waits for a condition.
func until(t *testing.T, what string, condition func() bool) {
	t.Helper()
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	deadline := time.After(patience)
	for !condition() {
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatalf("not so: %s", what)
		}
	}
}

func runs(pid int) bool { return syscall.Kill(pid, 0) == nil }

func TestKilledIsSeen(t *testing.T) {
	k := open(t, t.TempDir())
	for _, kill := range []func(p *Process) error{
		func(p *Process) error { return k.Signal(p.Name, syscall.SIGKILL) },
		func(p *Process) error { return syscall.Kill(p.Pid, syscall.SIGKILL) },
		func(p *Process) error { // a stopped process can be killed too
			return errors.Join(k.Signal(p.Name, syscall.SIGSTOP), k.Signal(p.Name, syscall.SIGKILL))
		},
	} {
		p, _ := child(t, k, "victim", "hold")
		if err := kill(p); err != nil {
			t.Fatal(err)
		}
		exit := wait(t, p)
		if exit.Code != -1 || exit.Signal != "killed" || exit.How != howWait || exit.Time.Before(p.Started) {
			t.Errorf("exit %+v", exit)
		}
		if exit.String() != "was ended by the signal killed" {
			t.Errorf("exit %v", exit)
		}
		if _, open := <-p.Exited; open {
			t.Error("a second exit")
		}
		if err := k.Signal(p.Name, syscall.SIGKILL); err == nil || runs(p.Pid) {
			t.Errorf("signalled after the end: %v", err)
		}
	}
}

func TestTermIsTheShellsToTrap(t *testing.T) {
	k := open(t, t.TempDir())
	theirs, ours, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	s := shell("trap", `trap 'exit 9' TERM; echo ready >&3; while :; do sleep 0.01; done`)
	s.Files, s.FileVars = []*os.File{ours}, []string{"OUT"}
	p := start(t, k, s)
	if _, err := io.ReadFull(theirs, make([]byte, 6)); err != nil {
		t.Fatal(err)
	}
	theirs.Close()
	if err := k.Signal("trap", syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if exit := wait(t, p); exit.Code != 9 || exit.String() != "exited with code 9" {
		t.Errorf("exit %+v", exit)
	}
}

// TestGrandchild has a process end whose child goes on with its standard output.
func TestGrandchild(t *testing.T) {
	k := open(t, t.TempDir())
	p, end := child(t, k, "parent", "orphan")
	if exit := wait(t, p); exit.Code != 3 {
		t.Errorf("exit %+v", exit)
	}
	var pid int
	until(t, "the orphan's number is in the log", func() bool {
		log := read(t, k, "parent")
		_, rest, found := strings.Cut(log, `"orphan `)
		if !found {
			return false
		}
		number, _, _ := strings.Cut(rest, `"`)
		pid, _ = strconv.Atoi(number)
		return true
	})
	if !runs(pid) {
		t.Error("the orphan has ended: the record of its parent's exit has perhaps waited for it")
	}
	end()
	until(t, "the orphan ends", func() bool { return !runs(pid) || zombie(pid) })
}

// zombie reports whether a process has ended and is not reaped, as orphans are where nothing adopts
// them.
func zombie(pid int) bool {
	out, _ := exec.Command("ps", "-o", "stat=", "-p", strconv.Itoa(pid)).Output()
	return strings.HasPrefix(string(out), "Z")
}

// TestGroup has a process end that leaves a child in its group.
func TestGroup(t *testing.T) {
	k := open(t, t.TempDir())
	theirs, ours, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer theirs.Close()
	s := shell("leader", `sleep 1000 & echo $! >&3; exit 4`)
	s.Files, s.FileVars = []*os.File{ours}, []string{"OUT"}
	p := start(t, k, s)
	line, err := bufio.NewReader(theirs).ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	pid, err := strconv.Atoi(strings.TrimSpace(line))
	if err != nil {
		t.Fatal(err)
	}
	if exit := wait(t, p); exit.Code != 4 {
		t.Errorf("exit %+v", exit)
	}
	until(t, "the child of the leader has ended", func() bool { return !runs(pid) || zombie(pid) })
}

func TestSocketOutlivesProcesses(t *testing.T) {
	for _, network := range []string{"tcp", "unix"} {
		t.Run(network, func(t *testing.T) {
			address := "127.0.0.1:0"
			if network == "unix" {
				address = filepath.Join(t.TempDir(), "s")
			}
			k := open(t, t.TempDir())
			addr, err := k.Listen("web", network, address)
			if err != nil {
				t.Fatal(err)
			}
			if again, err := k.Listen("web", "tcp", "127.0.0.1:0"); err != nil || again.String() != addr.String() {
				t.Errorf("again: %v, %v, not %v", again, err, addr)
			}
			seen := map[string]bool{}
			for range 3 {
				// There is no process at this time: the connection waits.
				conn, err := net.Dial(network, addr.String())
				if err != nil {
					t.Fatal(err)
				}
				p := start(t, k, Spec{
					Name: "server", Path: os.Args[0], Env: []string{childVar + "=accept"},
					Sockets: []string{"web"},
				})
				conn.SetDeadline(time.Now().Add(patience))
				answer, err := io.ReadAll(conn)
				if err != nil || string(answer) != strconv.Itoa(p.Pid) {
					t.Errorf("answer %q, %v, not %d", answer, err, p.Pid)
				}
				seen[string(answer)] = true
				conn.Close()
				if exit := wait(t, p); exit.Code != 0 {
					t.Errorf("exit %+v: %s", exit, read(t, k, "server"))
				}
			}
			if len(seen) != 3 {
				t.Errorf("answers of %v", seen)
			}
			flags, _, errno := syscall.Syscall(syscall.SYS_FCNTL, uintptr(k.sockets["web"].fd), syscall.F_GETFL, 0)
			if errno != 0 || flags&syscall.O_NONBLOCK == 0 {
				t.Errorf("the socket is no longer non-blocking: flags %#x, %v", flags, errno)
			}
			if err := k.Close(); err != nil {
				t.Error(err)
			}
			if conn, err := net.Dial(network, addr.String()); err == nil {
				conn.Close()
				t.Error("the socket is open after Close")
			}
		})
	}
}

func TestInUse(t *testing.T) {
	k := open(t, t.TempDir())
	for _, network := range []string{"tcp", "unix"} {
		address := "127.0.0.1:0"
		if network == "unix" {
			address = filepath.Join(t.TempDir(), "s")
		}
		addr, err := k.Listen("first"+network, network, address)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := k.Listen("second"+network, network, addr.String()); !errors.Is(err, syscall.EADDRINUSE) {
			t.Errorf("%s twice: %v", network, err)
		}
	}
	for _, key := range []string{"", "a:b", "a\x00"} {
		if _, err := k.Listen(key, "tcp", "127.0.0.1:0"); err == nil || !strings.Contains(err.Error(), "key") {
			t.Errorf("key %q: %v", key, err)
		}
	}
}

func TestTwoKeepers(t *testing.T) {
	dir := t.TempDir()
	k := open(t, dir)
	other, err := Open(dir)
	if !errors.Is(err, ErrTaken) || !strings.Contains(err.Error(), fmt.Sprintf("process %d)", os.Getpid())) {
		t.Fatalf("a second keeper: %v, %v", other, err)
	}
	if err := k.Close(); err != nil {
		t.Fatal(err)
	}
	open(t, dir)
	if err := k.Close(); err != nil {
		t.Errorf("closed again: %v", err)
	}
	if _, err := k.Start(shell("late", "exit 0")); !errors.Is(err, errClosed) {
		t.Errorf("started by a closed keeper: %v", err)
	}
	if _, err := k.Listen("late", "tcp", "127.0.0.1:0"); !errors.Is(err, errClosed) {
		t.Errorf("listened by a closed keeper: %v", err)
	}
}

// TestMany has many processes start and end at the same time.
func TestMany(t *testing.T) {
	const many = 200
	dir := t.TempDir()
	k := open(t, dir)
	before := descriptors(t)
	var all sync.WaitGroup
	room := make(chan struct{}, 20)
	for i := range many {
		room <- struct{}{}
		all.Go(func() {
			defer func() { <-room }()
			want := Exit{Code: i, How: howWait}
			script := fmt.Sprintf("echo %d; exit %d", i, i)
			if i%4 == 0 {
				want.Code, want.Signal = -1, syscall.SIGUSR1.String()
				script = "kill -USR1 $$"
			}
			p, err := k.Start(shell("many-"+strconv.Itoa(i), script))
			if err != nil {
				t.Error(err)
				return
			}
			got := <-p.Exited
			if want.Time = got.Time; got != want {
				t.Errorf("%d: %+v, not %+v", i, got, want)
			}
		})
	}
	all.Wait()
	if len(k.processes) != 0 {
		t.Errorf("still there: %v", k.processes)
	}
	k.wait.Wait()
	if after := descriptors(t); after != before {
		t.Errorf("%d descriptors are open, %d were before", after, before)
	}
	if len(k.logged) != 0 {
		t.Errorf("%d logs are said to be written still", len(k.logged))
	}
	exits, err := k.Exits()
	if err != nil || len(exits) != many {
		t.Fatalf("%d exits, %v", len(exits), err)
	}
	for _, r := range exits {
		i, _ := strconv.Atoi(strings.TrimPrefix(r.Name, "many-"))
		if i%4 == 0 && r.Exit.Code != -1 || i%4 != 0 && r.Exit.Code != i {
			t.Errorf("recorded %+v", r)
		}
	}
}

// descriptors returns how many this process has open.
func descriptors(t *testing.T) int {
	list, err := os.ReadDir("/dev/fd")
	if err != nil {
		t.Fatal(err)
	}
	return len(list)
}

func TestCloseKillsAll(t *testing.T) {
	k := open(t, t.TempDir())
	var list []*Process
	for i := range 3 {
		list = append(list, start(t, k, shell(fmt.Sprint(i), "sleep 1000 & sleep 1000; wait")))
	}
	if err := k.Close(); err != nil {
		t.Fatal(err)
	}
	for _, p := range list {
		if exit := wait(t, p); exit.Signal != "killed" {
			t.Errorf("exit %+v", exit)
		}
		if syscall.Kill(-p.Pid, 0) == nil {
			until(t, "the group has ended", func() bool {
				out, _ := exec.Command("ps", "-A", "-o", "pgid=,stat=").Output()
				for line := range strings.Lines(string(out)) {
					if f := strings.Fields(line); f[0] == strconv.Itoa(p.Pid) && f[1][0] != 'Z' {
						return false
					}
				}
				return true
			})
		}
	}
}

func TestStartErrors(t *testing.T) {
	k := open(t, t.TempDir())
	child(t, k, "taken", "hold")
	before := descriptors(t)
	for name, c := range map[string]struct {
		spec Spec
		want string
	}{
		"no name":    {Spec{Path: "/bin/sh"}, `named ""`},
		"path":       {Spec{Name: "a/b", Path: "/bin/sh"}, `named "a/b"`},
		"hidden":     {Spec{Name: ".a", Path: "/bin/sh"}, `named ".a"`},
		"no program": {Spec{Name: "a", Path: "/does/not/exist"}, "cannot start /does/not/exist as a: no such file"},
		"no folder":  {Spec{Name: "a", Path: "/bin/sh", Dir: "/does/not/exist"}, "no such file"},
		"twice":      {Spec{Name: "taken", Path: "/bin/sh"}, "still runs"},
		"no socket":  {Spec{Name: "a", Path: "/bin/sh", Sockets: []string{"web"}}, "under the key web"},
		"no names":   {Spec{Name: "a", Path: "/bin/sh", Files: []*os.File{nil}}, "1 files have 0 names"},
	} {
		if _, err := k.Start(c.spec); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if after := descriptors(t); after != before {
		t.Errorf("%d descriptors are open, %d were before", after, before)
	}
}

func TestEnvironment(t *testing.T) {
	k := open(t, t.TempDir())
	for _, key := range []string{"web", "admin"} {
		if _, err := k.Listen(key, "tcp", "127.0.0.1:0"); err != nil {
			t.Fatal(err)
		}
	}
	var theirs [2]*os.File
	for i := range theirs {
		r, w, err := os.Pipe()
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprintf(w, "pipe %d", i)
		w.Close()
		theirs[i] = r
	}
	dir, err := filepath.EvalSymlinks(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	env := append(make([]string, 0, 9), childVar+"=environ")
	p := start(t, k, Spec{
		Name: "e", Path: os.Args[0], Args: []string{"x", "y z"}, Env: env, Dir: dir,
		Sockets: []string{"admin", "web"}, Files: theirs[:], FileVars: []string{"A", "B"},
	})
	if exit := wait(t, p); exit.Code != 0 {
		t.Errorf("exit %+v", exit)
	}
	k.wait.Wait()
	got := read(t, k, "e")
	for _, want := range []string{
		"[x y z] [" + childVar + "=environ LISTEN_FDS=2 LISTEN_FDNAMES=admin:web A=5 B=6]",
		dir, "pipe 1",
	} {
		if !strings.Contains(got, want) {
			t.Errorf("no %q in %s", want, got)
		}
	}
	if all := env[:cap(env)]; all[1] != "" {
		t.Errorf("the caller's slice was written to: %q", all)
	}
	if _, err := theirs[0].Read(nil); !errors.Is(err, os.ErrClosed) {
		t.Errorf("a file that was handed over is not closed: %v", err)
	}
}

// TestKilledKeeper kills a keeper of its own process. Its process sees the end of its pipe, and
// the next keeper of the folder says that it does not know how it ended.
func TestKilledKeeper(t *testing.T) {
	dir, path := t.TempDir(), filepath.Join(t.TempDir(), "s")
	alive, theirs, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer alive.Close()
	cmd := exec.Command(os.Args[0])
	cmd.Env = []string{childVar + "=keeper", "DIR=" + dir, "SOCKET=" + path, "ALIVE=3"}
	cmd.ExtraFiles = []*os.File{theirs}
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer cmd.Wait()
	theirs.Close()
	if line, err := bufio.NewReader(out).ReadString('\n'); line != "started\n" {
		cmd.Process.Kill()
		t.Fatalf("the keeper says %q, %v", line, err)
	}
	_, err = Open(dir)
	if want := fmt.Sprintf("process %d)", cmd.Process.Pid); !errors.Is(err, ErrTaken) || !strings.Contains(err.Error(), want) {
		t.Errorf("beside it: %v, not %s", err, want)
	}
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	alive.SetReadDeadline(time.Now().Add(patience))
	if _, err := alive.Read(make([]byte, 1)); err != io.EOF {
		t.Fatalf("the process goes on: %v", err)
	}
	cmd.Wait()
	k := open(t, dir)
	exits, err := k.Exits()
	if err != nil || len(exits) != 1 || exits[0].Name != "held" || exits[0].Pid == 0 {
		t.Fatalf("exits %+v, %v", exits, err)
	}
	if exit := exits[0].Exit; exit.Code != -1 || exit.How != howUnknown || exit.String() != "ended in an unknown way" {
		t.Errorf("exit %+v", exit)
	}
	if _, err := k.Listen("web", "unix", path); err != nil {
		t.Errorf("the socket of the killed keeper is in the way: %v", err)
	}
}
