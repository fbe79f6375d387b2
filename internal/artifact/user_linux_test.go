package artifact

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// TestOtherUser: another user runs a program that is kept, and sees nothing else of the store.
func TestOtherUser(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("only root starts processes of other users")
	}
	dir := t.TempDir()
	for _, way := range []string{filepath.Dir(dir), dir} {
		if err := os.Chmod(way, 0o711); err != nil {
			t.Fatal(err)
		}
	}
	file := filepath.Join(dir, "greets")
	script(t, file, "hello")
	s := NewStore(filepath.Join(dir, "cas"), nil)
	p := copied(t, s, file)

	as := func(name string, args ...string) (string, error) {
		cmd := exec.Command(name, args...)
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 65534}}
		out, err := cmd.CombinedOutput()
		return strings.TrimSpace(string(out)), err
	}
	if out, err := as(p.Path); err != nil || out != "hello" {
		t.Errorf("another user runs it: %q, %v", out, err)
	}
	for _, folder := range []string{s.dir, filepath.Dir(p.Path)} {
		if out, err := as("/bin/ls", folder); err == nil {
			t.Errorf("another user finds %q in %s", out, folder)
		}
	}
	if out, err := as("/bin/sh", "-c", "echo more >> "+p.Path); err == nil {
		t.Errorf("another user changes it: %q", out)
	}
}
