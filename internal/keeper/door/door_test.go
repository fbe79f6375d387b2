//go:build linux

package door

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/divisi-go/divisi/internal/home"
	"github.com/divisi-go/divisi/internal/keeper"
	"github.com/divisi-go/divisi/internal/keeper/keepertest/play"
	"github.com/divisi-go/divisi/internal/keeper/link"
)

// initialised is what an initialiser of this program does when it becomes a keeper: it prints, takes
// its time, and leaves a trace.
var initialised = func() bool {
	if len(os.Args) < 3 || os.Args[0] != "divisi" || os.Args[1] != "keeper" {
		return false
	}
	fmt.Println("an initialiser prints\nmore than one line")
	<-time.After(50 * time.Millisecond)
	f, err := os.OpenFile(filepath.Join(os.Args[2], "initialised"), os.O_WRONLY|os.O_APPEND|os.O_CREATE, 0o600)
	if err != nil {
		return false
	}
	defer f.Close()
	_, err = f.WriteString("x")
	return err == nil
}()

func TestMain(m *testing.M) {
	Enter()
	if initialised {
		fmt.Fprintln(os.Stderr, "this was to be a keeper, and is none")
		os.Exit(97)
	}
	if role := os.Getenv(roleVar); role != "" {
		if err := perform(role); err != nil {
			fmt.Fprintln(os.Stderr, role, err)
			os.Exit(96)
		}
		os.Exit(0)
	}
	play.Main(m)
}

// newHome returns a home whose keeper has ended when the test has.
func newHome(t testing.TB) home.Home {
	t.Helper()
	runtime, err := os.MkdirTemp("/tmp", "door") // paths of sockets are short
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(runtime) })
	t.Setenv("XDG_RUNTIME_DIR", runtime)
	h, err := home.At(filepath.Join(t.TempDir(), "state"))
	if err != nil {
		t.Fatal(err)
	}
	if err := h.Make(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		kill(t, h)
		if said, err := os.ReadFile(logOf(h)); err == nil && t.Failed() {
			t.Logf("the keeper said:\n%s", said)
		}
	})
	return h
}

// keeperPid returns the process of the keeper, 0 if there is none.
func keeperPid(t testing.TB, h home.Home) int {
	t.Helper()
	c, err := h.Keeper().Claim()
	if err == nil {
		err = c.Release()
	}
	if !errors.Is(err, home.ErrTaken) {
		if err != nil {
			t.Error(err)
		}
		return 0
	}
	text, err := os.ReadFile(filepath.Join(h.Keeper().State, "lock"))
	if err != nil {
		t.Fatal(err)
	}
	pid, err := strconv.Atoi(strings.TrimSpace(string(text)))
	if err != nil {
		t.Fatal(err)
	}
	return pid
}

// kill kills the keeper, if there is one, and waits until its place is free.
func kill(t testing.TB, h home.Home) {
	t.Helper()
	for pid := keeperPid(t, h); pid != 0; pid = keeperPid(t, h) {
		if err := syscall.Kill(pid, syscall.SIGKILL); err != nil && !errors.Is(err, syscall.ESRCH) {
			t.Fatal(err)
		}
	}
}

// attach returns a client that is released when the test ends.
func attach(t testing.TB, h home.Home, c keeper.Claim) *Client {
	t.Helper()
	client, err := Attach(t.Context(), h, c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { client.Release() })
	return client
}

func shop(who string) keeper.Claim { return keeper.Claim{Domain: "/shop", Who: who} }

func shell(name, script string) keeper.Spec {
	return keeper.Spec{
		Domain: "/shop", Name: name, Path: "/bin/sh", Args: []string{"-c", script},
		Env: []string{"PATH=" + os.Getenv("PATH")},
	}
}

// ended returns when the keeper has ended.
func ended(t testing.TB, h home.Home) {
	t.Helper()
	lock, err := os.Open(filepath.Join(h.Keeper().State, "lock"))
	if err != nil {
		t.Fatal(err)
	}
	defer lock.Close()
	raw, err := lock.SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	var lockErr error
	err = raw.Control(func(fd uintptr) { lockErr = syscall.Flock(int(fd), syscall.LOCK_EX) })
	if err := errors.Join(err, lockErr); err != nil {
		t.Fatal(err)
	}
}

func run(t testing.TB, c *Client, s keeper.Spec) keeper.Proc {
	t.Helper()
	p, err := c.Start(t.Context(), s)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func wait(t testing.TB, c *Client, id keeper.ID) keeper.Exit {
	t.Helper()
	exit, err := c.Wait(t.Context(), id)
	if err != nil {
		t.Fatal(err)
	}
	return exit
}

// infoOf returns what the keeper of a client says of itself.
func infoOf(t testing.TB, c *Client) link.Info {
	t.Helper()
	info, err := c.Info(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return info
}
