//go:build linux || darwin

package launch

import (
	"errors"
	"io"
	"net"
	"os"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/divisi-go/divisi/internal/keeper"
	"github.com/divisi-go/divisi/internal/keeper/hold"
	"github.com/divisi-go/divisi/internal/replica"
)

// replies is a program for the shell that answers on its pipe with its arguments and its
// environment, and waits until its input ends.
const replies = `echo "$@" >&$WEAVELET_TO_ENVELOPE_FD
env >&$WEAVELET_TO_ENVELOPE_FD
eval "exec $WEAVELET_TO_ENVELOPE_FD>&-"
read line <&$ENVELOPE_TO_WEAVELET_FD
exit 7`

func shell(arguments ...string) []string {
	return append([]string{"-c", replies, "replica"}, arguments...)
}

func newLauncher(t *testing.T) *Launcher {
	k, err := hold.Open(t.TempDir(), t.TempDir(), "")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := k.Close(); err != nil {
			t.Error(err)
		}
	})
	session, err := k.Attach(t.Context(), keeper.Claim{Domain: "/app", Who: t.Name()})
	if err != nil {
		t.Fatal(err)
	}
	return NewLauncher(session)
}

func TestLaunch(t *testing.T) {
	t.Setenv("DIVISI_TEST_INHERITED", "yes")
	t.Setenv("DIVISI_TEST_CHANGED", "by the caller")
	t.Setenv("LISTEN_FDS", "99")
	l := newLauncher(t)
	if _, err := l.Listen("web", "127.0.0.1:0"); err != nil {
		t.Fatal(err)
	}
	p, err := l.Launch(replica.Launch{
		Name: "app-main-0", Binary: "/bin/sh", Args: shell("argument"), Sockets: []string{"web"},
		Env: []string{"DIVISI_TEST_CHANGED=first", "DIVISI_TEST_CHANGED=by the file"},
	})
	if err != nil {
		t.Fatal(err)
	}
	text, err := io.ReadAll(p.Out)
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(strings.TrimSpace(string(text)), "\n")
	for _, want := range []string{"argument", "DIVISI_TEST_INHERITED=yes", "DIVISI_TEST_CHANGED=by the file",
		"LISTEN_FDS=1", "LISTEN_FDNAMES=web"} {
		if !slices.Contains(lines, want) {
			t.Errorf("the replica does not have %q", want)
		}
	}
	for _, variable := range []string{"DIVISI_TEST_CHANGED=", "LISTEN_FDS="} {
		if n := strings.Count("\n"+string(text), "\n"+variable); n != 1 {
			t.Errorf("the replica has %s %d times", variable, n)
		}
	}
	p.In.Close()
	if exit := <-p.Exited; exit.Code != 7 || exit.Text != "exited with code 7" || exit.Time.IsZero() {
		t.Errorf("got %+v", exit)
	}
	p.Out.Close()
}

func TestSignal(t *testing.T) {
	l := newLauncher(t)
	p, err := l.Launch(replica.Launch{Name: "app-main-0", Binary: "/bin/sh", Args: shell()})
	if err != nil {
		t.Fatal(err)
	}
	defer p.In.Close()
	defer p.Out.Close()
	if _, err := io.ReadAll(p.Out); err != nil { // it has begun
		t.Fatal(err)
	}
	if err := p.Signal(syscall.SIGKILL); err != nil {
		t.Error(err)
	}
	if exit := <-p.Exited; exit.Code != -1 || exit.Signal != "killed" {
		t.Errorf("got %+v", exit)
	}
	if err := p.Signal(syscall.SIGTERM); err == nil {
		t.Error("a process that is gone takes signals")
	}
}

func TestLaunchRefuses(t *testing.T) {
	l := newLauncher(t)
	if _, err := l.Launch(replica.Launch{Name: "app-main-0", Binary: "/nowhere/at/all"}); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("got %v", err)
	}
}

func TestListen(t *testing.T) {
	l := newLauncher(t)
	address, err := l.Listen("web", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	if again, err := l.Listen("web", "127.0.0.1:0"); err != nil || again != address {
		t.Errorf("the second time it listens on %s, %v, not on %s", again, err, address)
	}
	_, err = l.Listen("other", address)
	if !errors.Is(err, syscall.EADDRINUSE) || !strings.HasPrefix(err.Error(), "another program uses it: ") {
		t.Errorf("got %v", err)
	}
	path := t.TempDir() + "/web.sock"
	if _, err := l.Listen("local", "unix://"+path); err != nil {
		t.Fatal(err)
	}
	conn, err := net.Dial("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	conn.Close()
}
