//go:build linux

package hold_test

import (
	"errors"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/divisi-go/divisi/internal/keeper"
)

// asUser runs a test once more in a process of a user who may trace no process that is not to be traced, as
// root may.
func asUser(t *testing.T) {
	t.Helper()
	dir, err := os.MkdirTemp("/tmp", "user") // into which the user may look
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	copied, own := filepath.Join(dir, "test"), filepath.Join(dir, "own")
	copyTo(t, copied, exe, 0o755)
	const user = 65534
	if err := errors.Join(os.Chmod(dir, 0o755), os.Mkdir(own, 0o700), os.Chown(own, user, user)); err != nil {
		t.Fatal(err)
	}

	cmd := exec.CommandContext(t.Context(), copied, "-test.run=^"+t.Name()+"$", "-test.v")
	cmd.Dir, cmd.Env = own, append(os.Environ(), "TMPDIR="+own, "HOME="+own)
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: user, Gid: user}}
	out, err := cmd.CombinedOutput()
	if err != nil || !strings.Contains(string(out), "--- PASS: "+t.Name()) {
		t.Errorf("as user %d: %v\n%s", user, err, out)
	}
}

func copyTo(t *testing.T, path, from string, mode os.FileMode) {
	t.Helper()
	content, err := os.ReadFile(from)
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(os.WriteFile(path, content, 0o700), os.Chmod(path, mode)); err != nil {
		t.Fatal(err)
	}
}

// TestKilledKeeperRefused: where the system does not allow a user to look into a process, its socket stays
// with it, and is opened again when it has ended. What it prints from then on is lost, which is said.
func TestKilledKeeperRefused(t *testing.T) {
	if os.Getuid() == 0 {
		asUser(t)
		return
	}
	program, err := exec.LookPath("sleep")
	if err != nil {
		t.Fatal(err)
	}
	secret := filepath.Join(t.TempDir(), "sleep")
	copyTo(t, secret, program, 0o111) // nobody may look into a process whose program he cannot read
	f := newFirst(t)
	web := f.listen("web")
	spec := keeper.Spec{Domain: "/test", Name: "secret", Path: secret, Args: []string{"60"}, Sockets: []keeper.Inherit{{Key: "web"}}}
	var p keeper.Proc
	f.wish("Spec", spec, &p)
	_, s, ctx := f.next(func() {})

	held := func() keeper.Held {
		t.Helper()
		list, err := s.Sockets(ctx, "/test")
		if err != nil || len(list) != 1 || list[0].Actual != web.Actual {
			t.Fatalf("%+v, %v", list, err)
		}
		conn, err := net.Dial("tcp", web.Actual)
		if err != nil {
			t.Fatal(err)
		}
		conn.Close()
		return list[0].Held
	}
	if got := held(); got != keeper.Child {
		t.Errorf("the socket of a process that nobody looks into is held by %s", got)
	}
	again := keeper.Socket{Domain: "/test", Key: "web", Network: "tcp", Address: "127.0.0.1:0"}
	if _, err := s.Listen(ctx, again); err == nil || !strings.Contains(err.Error(), "only processes that a killed keeper has started have it") {
		t.Errorf("it is opened: %v", err)
	}
	if log := f.log("secret"); !strings.Contains(log, "what it prints is lost from now on") {
		t.Errorf("the log is %s", log)
	}

	// Only the kernel tells how it has ended, and not every one does.
	exit, err := s.Stop(ctx, p.ID)
	if err != nil || exit.How == keeper.Stat || exit.How == keeper.Pidfd && exit.Signal != "terminated" {
		t.Errorf("%+v, %v", exit, err)
	}
	if got := held(); got != keeper.Relisten {
		t.Errorf("then it is held by %s", got)
	}
	if socket, err := s.Listen(ctx, again); err != nil || socket.Actual != web.Actual {
		t.Errorf("%+v, %v", socket, err)
	}
}
