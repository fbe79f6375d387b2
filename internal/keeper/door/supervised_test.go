//go:build linux

package door

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/divisi-go/divisi/internal/home"
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
	for {
		select {
		case m := <-s.heard:
			if m.Pid == cmd.Process.Pid && is(m) {
				return m
			}
		case <-s.t.Context().Done():
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
