//go:build linux

package door

import (
	"bufio"
	"context"
	"errors"
	"fmt"
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

	"github.com/divisi-go/divisi/internal/home"
	"github.com/divisi-go/divisi/internal/keeper"
	"github.com/divisi-go/divisi/internal/lifecycle"
	"github.com/divisi-go/divisi/internal/notify"
)

// systemd does for a keeper what systemd does: it hears it, and keeps what it is to keep.
type systemd struct {
	t      *testing.T
	home   home.Home
	server *notify.Server
	heard  chan notify.Message // without files

	mu   sync.Mutex // guards what follows
	kept []*os.File // the names are those that the keeper has given
}

func newSystemd(t *testing.T, h home.Home) *systemd {
	t.Helper()
	server, err := notify.Listen(filepath.Join(os.Getenv("XDG_RUNTIME_DIR"), "systemd")) // its path is short
	if err != nil {
		t.Fatal(err)
	}
	s := &systemd{t: t, home: h, server: server, heard: make(chan notify.Message, 1000)}
	ctx, cancel := context.WithCancel(t.Context())
	var served sync.WaitGroup
	served.Go(func() {
		if err := server.Serve(ctx, s.hear); err != nil {
			t.Error(err)
		}
	})
	t.Cleanup(func() {
		cancel()
		served.Wait()
		for _, f := range s.kept {
			f.Close()
		}
		if err := server.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

func (s *systemd) hear(m *notify.Message) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if m.Fault != nil {
		s.t.Error(m.Fault)
	}
	if m.Store {
		s.kept = append(s.kept, m.Take()...)
	}
	if m.Remove {
		var left []*os.File
		for _, f := range s.kept {
			if f.Name() == m.FDName {
				f.Close()
			} else {
				left = append(left, f)
			}
		}
		s.kept = left
	}
	s.heard <- *m
}

// start starts the keeper's unit, with everything that is kept, and returns its process.
func (s *systemd) start() *exec.Cmd {
	s.t.Helper()
	exe, err := os.Executable()
	if err != nil {
		s.t.Fatal(err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	var names []string
	for _, f := range s.kept {
		names = append(names, f.Name())
	}
	cmd := exec.Command(exe)
	cmd.Env = []string{Variable + "=" + s.home.Dir, "XDG_RUNTIME_DIR=" + os.Getenv("XDG_RUNTIME_DIR"),
		"NOTIFY_SOCKET=" + s.server.Path(), "WATCHDOG_USEC=200000",
		"LISTEN_FDNAMES=" + strings.Join(names, ":"), "LISTEN_FDS=" + strconv.Itoa(len(names))}
	cmd.ExtraFiles = s.kept
	cmd.Stderr = s.t.Output()
	if err := cmd.Start(); err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() {
		cmd.Process.Kill()
		cmd.Wait()
	})
	return cmd
}

// await returns the next message of a process of which something is true.
func (s *systemd) await(cmd *exec.Cmd, what string, is func(notify.Message) bool) notify.Message {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(s.t.Context(), time.Minute)
	defer cancel()
	for {
		select {
		case m := <-s.heard:
			if m.Pid == cmd.Process.Pid && is(m) {
				return m
			}
		case <-ctx.Done():
			s.t.Fatalf("it does not say %s", what)
		}
	}
}

func (s *systemd) ready(cmd *exec.Cmd) notify.Message {
	s.t.Helper()
	return s.await(cmd, "READY=1", func(m notify.Message) bool { return m.Ready })
}

// TestSupervised: a supervisor hears that the keeper is there, what it holds, that it lives, and that it
// ends. It is never alone.
func TestSupervised(t *testing.T) {
	h := newHome(t)
	s := newSystemd(t, h)
	cmd := s.start()
	if m := s.ready(cmd); m.Status == nil || *m.Status != "servers: 0, sockets: 0" {
		t.Errorf("it is ready: %+v", m)
	}
	for range 12 { // for longer than one without a supervisor stays
		s.await(cmd, "WATCHDOG=1", func(m notify.Message) bool { return m.Alive })
	}

	c := attach(t, h, shop("one"))
	if info := infoOf(t, c); !info.Supervised || info.Pid != cmd.Process.Pid {
		t.Errorf("it is %+v", info)
	}
	// Nothing of the supervisor's reaches a server.
	spec := shell("a", `! env | grep -e NOTIFY_SOCKET -e LISTEN_ -e WATCHDOG_`)
	if exit := wait(t, c, run(t, c, spec).ID); exit.Code != 0 {
		t.Errorf("it %v", exit)
	}
	p := run(t, c, shell("b", "exec sleep 60"))
	s.await(cmd, "what it holds", func(m notify.Message) bool { return m.Status != nil && *m.Status == "servers: 1, sockets: 0" })

	cmd.Process.Signal(syscall.SIGTERM)
	s.await(cmd, "STOPPING=1", func(m notify.Message) bool { return m.Stopping })
	if err := cmd.Wait(); err != nil {
		t.Errorf("it %v", err)
	}
	again := s.start()
	s.ready(again)
	if exit, err := c.Stop(t.Context(), p.ID); err != nil || exit.Signal != "terminated" {
		t.Errorf("it %v, %v", exit, err)
	}
}

// TestTakesOver: the keeper of a supervisor takes over from one that a client has started, and from no
// other one.
func TestTakesOver(t *testing.T) {
	h := newHome(t)
	c := attach(t, h, shop("one"))
	before := infoOf(t, c).Pid
	p := run(t, c, shell("a", "exec sleep 60"))
	lonely := keeper.Socket{Domain: "/shop", Key: "lonely", Network: "tcp", Address: "127.0.0.1:0"}
	if _, err := c.Listen(t.Context(), lonely); err != nil {
		t.Fatal(err)
	}
	if err := c.Release(); err != nil {
		t.Fatal(err)
	}

	s := newSystemd(t, h)
	cmd := s.start()
	s.ready(cmd)
	c = attach(t, h, shop("two"))
	list, err := c.List(t.Context(), "/shop")
	if err != nil || len(list) != 1 || list[0].Pid != p.Pid {
		t.Errorf("it has %+v, %v", list, err)
	}
	if socket, err := c.Listen(t.Context(), lonely); err != nil || socket.Held != keeper.Relisten {
		t.Errorf("a socket that no process has is %+v, %v", socket, err)
	}
	if err := syscall.Kill(before, 0); !errors.Is(err, syscall.ESRCH) && infoOf(t, c).Pid == before {
		t.Errorf("the former one is there: %v", err)
	}

	var exit *exec.ExitError
	if err := s.start().Wait(); !errors.As(err, &exit) || exit.ExitCode() != 1 {
		t.Errorf("a second one with a supervisor: %v", err)
	}
	if now := infoOf(t, c).Pid; now != cmd.Process.Pid {
		t.Errorf("the keeper is process %d", now)
	}
	if err := c.Shutdown(t.Context()); err != nil {
		t.Error(err)
	}
	s.await(cmd, "STOPPING=1", func(m notify.Message) bool { return m.Stopping })
	if err := cmd.Wait(); err != nil {
		t.Errorf("it %v", err)
	}
}

// TestUnitStarts: where a unit has the keeper, a client asks systemd for it, and starts one itself only if
// that does not.
func TestUnitStarts(t *testing.T) {
	h := newHome(t)
	s := newSystemd(t, h)
	unit := home.Unit{Name: "divisi-keeper.service", User: true, Runtime: h.Runtime}
	if err := h.SetUnit(unit); err != nil {
		t.Fatal(err)
	}
	bin := t.TempDir()
	t.Setenv("PATH", bin+":"+os.Getenv("PATH"))
	asked := filepath.Join(bin, "asked")
	write := func(script string) {
		t.Helper()
		if err := os.WriteFile(filepath.Join(bin, "systemctl"), []byte("#!/bin/sh\n"+script), 0o700); err != nil {
			t.Fatal(err)
		}
	}

	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	write("echo $* >>" + asked + "\nrm -f " + h.Keeper().Door + "\n" + Variable + "=" + h.Dir + " NOTIFY_SOCKET=" + s.server.Path() + " " + exe +
		" </dev/null >/dev/null 2>&1 &\nuntil [ -S " + h.Keeper().Door + " ]; do sleep 0.01; done\n")
	c := attach(t, h, shop("one"))
	if info := infoOf(t, c); !info.Supervised {
		t.Errorf("it is %+v", info)
	}
	kill(t, h)
	if _, err := c.List(t.Context(), ""); err != nil || !infoOf(t, c).Supervised {
		t.Errorf("%v, and it is %+v", err, infoOf(t, c))
	}
	if text, err := os.ReadFile(asked); err != nil || string(text) != strings.Repeat("--user start divisi-keeper.service\n", 2) {
		t.Errorf("systemctl was asked %q, %v", text, err)
	}

	write("exit 1\n")
	kill(t, h)
	if _, err := c.List(t.Context(), ""); err != nil || infoOf(t, c).Supervised {
		t.Errorf("%v, and it is %+v", err, infoOf(t, c))
	}
}

// TestStore: what a killed keeper had its supervisor keep is there again: sockets, with what waits in their
// queues, and what servers have stored. What nobody knows is closed, and what is closed is closed there.
func TestStore(t *testing.T) {
	h := newHome(t)
	s := newSystemd(t, h)
	cmd := s.start()
	s.ready(cmd)
	c := attach(t, h, shop("one"))
	addresses := map[string]string{"web": "127.0.0.1:0", "lonely": "127.0.0.1:0", "path": filepath.Join(h.Runtime, "path")}
	open := func(key string) keeper.Socket {
		t.Helper()
		network := "tcp"
		if key == "path" {
			network = "unix"
		}
		socket, err := c.Listen(t.Context(), keeper.Socket{Domain: "/shop", Key: key, Network: network, Address: addresses[key]})
		if err != nil {
			t.Fatal(err)
		}
		return socket
	}
	before := map[string]keeper.Socket{}
	for key := range addresses {
		before[key] = open(key)
	}
	waiting, err := net.Dial("tcp", before["lonely"].Actual)
	if err != nil {
		t.Fatal(err)
	}
	defer waiting.Close()
	speaker := stores(t, c)

	if err := c.Release(); err != nil { // a client that notices starts a keeper itself
		t.Fatal(err)
	}
	cmd.Process.Kill()
	cmd.Wait()
	stranger, err := syscall.Dup(2)
	if err != nil {
		t.Fatal(err)
	}
	s.mu.Lock()
	s.kept = append(s.kept, os.NewFile(uintptr(stranger), "stranger"))
	s.mu.Unlock()
	cmd = s.start()
	s.ready(cmd)
	c = attach(t, h, shop("two"))
	for key := range addresses {
		if again := open(key); again.Held != keeper.Store || again.Actual != before[key].Actual {
			t.Errorf("%s is %+v, and was %+v", key, again, before[key])
		}
	}

	// The next process of a server has what this one has stored.
	if err := c.Signal(t.Context(), speaker.ID, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	wait(t, c, keeper.ID{Domain: "/shop", Name: "speaker", Run: next(t, c, speaker.ID)})
	log, err := os.ReadFile(filepath.Join(h.Logs(), "shop", "speaker.log"))
	if err != nil || !strings.Contains(string(log), "inherited state FDSTORE=1;FDNAME=state") {
		t.Errorf("its log is %s, %v", log, err)
	}

	// Who waited in the queue is served, and the address is free at once when the socket is closed.
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	answering := keeper.Spec{
		Domain: "/shop", Name: "answering", Path: exe, Env: []string{"KEEPER_TEST_ROLE=answer"},
		Sockets: []keeper.Inherit{{Key: "lonely"}},
	}
	p := run(t, c, answering)
	if line, err := bufio.NewReader(waiting).ReadString('\n'); err != nil || line != fmt.Sprintln(p.Pid) {
		t.Errorf("who waited reads %q, %v", line, err)
	}
	wait(t, c, p.ID)
	if err := c.Unlisten(t.Context(), "/shop", "lonely"); err != nil {
		t.Fatal(err)
	}
	free, err := net.Listen("tcp", before["lonely"].Actual)
	if err != nil {
		t.Fatal(err)
	}
	free.Close()

	if err := c.Shutdown(t.Context()); err != nil {
		t.Error(err)
	}
	cmd.Wait()
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.kept) > 0 {
		t.Errorf("%d files are left with the supervisor, of which the first is %s", len(s.kept), s.kept[0].Name())
	}
}

// stores starts a server that has a file stored.
func stores(t *testing.T, c *Client) keeper.Proc {
	t.Helper()
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	words, theirWords, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	theirLife, life, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		words.Close()
		life.Close()
	})
	p := run(t, c, keeper.Spec{
		Domain: "/shop", Name: "speaker", Path: exe, Env: []string{"KEEPER_TEST_ROLE=say"}, Notify: true,
		Files:  []keeper.File{{Var: "WORDS", File: theirWords}, {Var: "LIFE", File: theirLife}},
		Policy: &lifecycle.Policy{Restart: lifecycle.Permanent, Backoff: time.Millisecond},
	})
	said := bufio.NewScanner(words)
	for _, message := range []string{"FDSTORE=1;FDNAME=state", "FDSTORE=1;FDNAME=gone", "FDSTOREREMOVE=1;FDNAME=gone", "READY=1"} {
		fmt.Fprintln(life, message)
		for said.Scan() && said.Text() != "said "+message {
		}
	}
	if err := said.Err(); err != nil {
		t.Fatal(err)
	}
	return p
}

// next returns the number of the start of a server that follows another one.
func next(t *testing.T, c *Client, id keeper.ID) uint64 {
	t.Helper()
	for after := uint64(0); ; {
		events, err := c.Next(t.Context(), id.Domain, after)
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range events {
			if after = e.Number; e.Kind == keeper.Started && e.Name == id.Name && e.Run > id.Run {
				return e.Run
			}
		}
	}
}
