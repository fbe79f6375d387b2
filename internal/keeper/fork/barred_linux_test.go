package fork

import (
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// TestBarred: whoever starts a program as another user, who cannot reach it, is told which folder is in the way.
func TestBarred(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("only root starts processes of other users")
	}
	dir := t.TempDir()
	folder := filepath.Join(dir, "private")
	if err := os.Mkdir(folder, 0o700); err != nil {
		t.Fatal(err)
	}
	for at := dir; at != filepath.Dir(at); at = filepath.Dir(at) {
		if info, err := os.Stat(at); err == nil && info.Mode().Perm()&1 == 0 {
			if err := os.Chmod(at, 0o711); err != nil {
				t.Fatal(err)
			}
		}
	}
	program := filepath.Join(folder, "program")
	if err := os.WriteFile(program, []byte("#!/bin/sh\n"), 0o755); err != nil {
		t.Fatal(err)
	}

	_, err := new(Starter).Start(Program{Path: program, User: "65534"})
	if err == nil || !strings.Contains(err.Error(), "permission denied: the user 65534 may not pass the folder "+folder+": chmod a+x ") {
		t.Errorf("a program out of reach is %v", err)
	}
	if err := os.Chmod(folder, 0o711); err != nil {
		t.Fatal(err)
	}
	child, err := new(Starter).Start(Program{Path: program, User: "65534"})
	if err != nil {
		t.Fatal(err)
	}
	defer child.Stdout.Close()
	defer child.Stderr.Close()
	if _, err := syscall.Wait4(child.Pid, nil, 0, nil); err != nil {
		t.Error(err)
	}
}
