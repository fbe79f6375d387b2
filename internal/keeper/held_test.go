//go:build linux || darwin

package keeper

import (
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
)

// TestNothingIsLeft has many processes start and end at the same time, half of them by signals.
func TestNothingIsLeft(t *testing.T) {
	const many = 200
	k := open(t, t.TempDir())
	before := descriptors(t)
	var all sync.WaitGroup
	room := make(chan struct{}, 20)
	for i := range many {
		room <- struct{}{}
		all.Go(func() {
			defer func() { <-room }()
			want, script := Exit{Code: i, How: howWait}, fmt.Sprintf("echo %d; exit %d", i, i)
			if i%2 == 0 {
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
	k.wait.Wait()
	if len(k.processes) != 0 || len(k.logged) != 0 {
		t.Errorf("still there: %v, %v", k.processes, k.logged)
	}
	if after := descriptors(t); after != before {
		t.Errorf("%d descriptors are open, %d were before", after, before)
	}
	exits, err := k.Exits()
	if err != nil || len(exits) != many {
		t.Fatalf("%d exits, %v", len(exits), err)
	}
	for _, r := range exits {
		i, _ := strconv.Atoi(strings.TrimPrefix(r.Name, "many-"))
		if i%2 == 0 && r.Exit.Code != -1 || i%2 == 1 && r.Exit.Code != i {
			t.Errorf("recorded %+v", r)
		}
	}
}

// descriptors returns how many this process has open.
func descriptors(t *testing.T) int {
	t.Helper()
	list, err := os.ReadDir("/dev/fd")
	if err != nil {
		t.Fatal(err)
	}
	return len(list)
}

func TestRefusedStartLeavesNothing(t *testing.T) {
	k := open(t, t.TempDir())
	before := descriptors(t)
	for _, s := range []Spec{
		{Name: ".hidden", Path: "/bin/sh"},
		{Name: "a", Path: "/does/not/exist"},
		{Name: "a", Path: "/bin/sh", Dir: "/does/not/exist"},
		{Name: "a", Path: "/bin/sh", Sockets: []string{"web"}},
	} {
		read, write, err := os.Pipe()
		if err != nil {
			t.Fatal(err)
		}
		s.Files, s.FileVars = []*os.File{read, write}, []string{"A", "B"}
		if _, err := k.Start(s); err == nil {
			t.Errorf("started: %+v", s)
		}
	}
	if after := descriptors(t); after != before {
		t.Errorf("%d descriptors are open, %d were before", after, before)
	}
}

func TestStoppedProcessIsKilled(t *testing.T) {
	k := open(t, t.TempDir())
	p, err := k.Start(shell("stopped", "while :; do sleep 1; done"))
	if err != nil {
		t.Fatal(err)
	}
	err = errors.Join(p.Signal(syscall.SIGSTOP), p.Signal(syscall.SIGKILL))
	if exit := <-p.Exited; err != nil || exit.Signal != "killed" {
		t.Errorf("%v, %v", exit, err)
	}
}

// TestCallersSliceIsNotWritten has room behind the environment that belongs to the caller.
func TestCallersSliceIsNotWritten(t *testing.T) {
	k := open(t, t.TempDir())
	if _, err := k.Listen("web", "tcp", "127.0.0.1:0"); err != nil {
		t.Fatal(err)
	}
	room := []string{"A=1", "theirs"}
	s := shell("sh", `test "$LISTEN_FDS" = 1`)
	s.Env, s.Sockets = room[:1], []string{"web"}
	p, err := k.Start(s)
	if err != nil {
		t.Fatal(err)
	}
	if exit := <-p.Exited; exit.Code != 0 || room[1] != "theirs" {
		t.Errorf("exit %v, and the caller has %q", exit, room)
	}
}

// TestSocketStaysNonBlocking looks at the mode that all processes with the socket share.
func TestSocketStaysNonBlocking(t *testing.T) {
	k := open(t, t.TempDir())
	if _, err := k.Listen("web", "tcp", "127.0.0.1:0"); err != nil {
		t.Fatal(err)
	}
	s := shell("sh", "exit 0")
	s.Sockets = []string{"web"}
	p, err := k.Start(s)
	if err != nil {
		t.Fatal(err)
	}
	<-p.Exited
	flags, _, errno := syscall.Syscall(syscall.SYS_FCNTL, uintptr(k.sockets["web"].fd), syscall.F_GETFL, 0)
	if errno != 0 || flags&syscall.O_NONBLOCK == 0 {
		t.Errorf("flags %#x, %v", flags, errno)
	}
}

// TestAbandonedSocket finds what a killed keeper leaves of a Unix socket, and what it must not
// take for that.
func TestAbandonedSocket(t *testing.T) {
	dir, err := os.MkdirTemp("", "keeper") // t.TempDir may be too long for a socket
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(dir)
	path := filepath.Join(dir, "s")
	l, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	k := open(t, t.TempDir())
	if _, err := k.Listen("web", "unix", path); !errors.Is(err, syscall.EADDRINUSE) {
		t.Errorf("while another program listens: %v", err)
	}
	l.(*net.UnixListener).SetUnlinkOnClose(false)
	l.Close()
	if _, err := k.Listen("web", "unix", path); err != nil {
		t.Errorf("after it has ended: %v", err)
	}
	file := filepath.Join(dir, "file")
	if err := os.WriteFile(file, []byte("precious"), 0o600); err != nil {
		t.Fatal(err)
	}
	_, err = k.Listen("file", "unix", file)
	if data, _ := os.ReadFile(file); err == nil || string(data) != "precious" {
		t.Errorf("a plain file is now %q, %v", data, err)
	}
}

// TestOneNameOneLog runs two processes of one name at the same time, as an upgrade does.
func TestOneNameOneLog(t *testing.T) {
	k := open(t, t.TempDir())
	script := `i=0; while [ $i -lt 500 ]; do echo "$0 $i"; i=$((i+1)); done`
	var all []*Process
	for _, which := range []string{"old", "new"} {
		s := shell("twice", script)
		s.Args = append(s.Args, which)
		p, err := k.Start(s)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, p)
	}
	for _, p := range all {
		if exit := <-p.Exited; exit.Code != 0 {
			t.Errorf("exit %+v", exit)
		}
	}
	k.wait.Wait()

	next := map[string]int{}
	for _, l := range parse(t, []byte(read(t, k, "twice"))) {
		which, number, _ := strings.Cut(l.Msg, " ")
		if number != strconv.Itoa(next[which]) {
			t.Fatalf("%s comes after %d lines of %s", l.Msg, next[which], which)
		}
		next[which]++
	}
	if next["old"] != 500 || next["new"] != 500 {
		t.Errorf("lines: %v", next)
	}
	if len(k.files) != 0 {
		t.Errorf("still open: %v", k.files)
	}
}

// TestStrayDescriptors: what whoever started this program has left open is not inherited.
func TestStrayDescriptors(t *testing.T) {
	stray, err := os.Open(os.DevNull)
	if err != nil {
		t.Fatal(err)
	}
	defer stray.Close()
	if _, _, errno := syscall.Syscall(syscall.SYS_FCNTL, stray.Fd(), syscall.F_SETFD, 0); errno != 0 {
		t.Fatal(errno)
	}
	k := open(t, t.TempDir())
	exit := run(t, k, "heir", fmt.Sprintf("[ -e /dev/fd/%d ] && exit 1; exit 0", stray.Fd()))
	if exit.Code != 0 {
		t.Errorf("the process has the descriptor %d of its parent", stray.Fd())
	}
}
