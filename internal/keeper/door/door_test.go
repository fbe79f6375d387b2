//go:build linux

package door

import (
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

// roleVar makes the test binary play a child instead of running tests.
const roleVar = "DOOR_TEST_ROLE"

func TestMain(m *testing.M) {
	Enter()
	if role := os.Getenv(roleVar); role != "" {
		if err := roles[role](); err != nil {
			fmt.Fprintln(os.Stderr, role, err)
			os.Exit(98)
		}
		return
	}
	os.Exit(m.Run())
}

var roles = map[string]func() error{}

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
	t.Cleanup(func() { endKeeper(t, h) })
	return h
}

// keeperPid returns the process of the keeper, 0 if there is none.
func keeperPid(h home.Home) int {
	text, _ := os.ReadFile(filepath.Join(h.Keeper().State, "lock"))
	pid, _ := strconv.Atoi(strings.TrimSpace(string(text)))
	return pid
}

// endKeeper kills the keeper with its process group and waits until it has gone.
func endKeeper(t testing.TB, h home.Home) {
	t.Helper()
	killKeeper(h)
	if t.Failed() {
		said, _ := os.ReadFile(logOf(h))
		t.Logf("the keeper said:\n%s", said)
	}
}

// killKeeper kills the keeper, if there is one, and waits until it has gone.
func killKeeper(h home.Home) {
	pid := keeperPid(h)
	if pid == 0 || syscall.Kill(pid, syscall.SIGKILL) != nil {
		return
	}
	for range 1000 {
		if c, err := h.Keeper().Claim(); err == nil {
			c.Release()
			return
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
