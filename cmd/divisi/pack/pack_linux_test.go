package pack

import (
	"bytes"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/divisi-go/divisi/cmd/divisi/console"
	"github.com/divisi-go/divisi/internal/artifact"
	"github.com/divisi-go/divisi/internal/artifact/archive"
	"github.com/divisi-go/divisi/internal/artifact/manifest"
)

// compile makes a program or library of a C source.
func compile(t *testing.T, out, source string, flags ...string) {
	t.Helper()
	file := filepath.Join(t.TempDir(), "source.c")
	if err := os.WriteFile(file, []byte(source), 0o600); err != nil {
		t.Fatal(err)
	}
	cc := exec.Command("cc", append([]string{"-o", out, file}, flags...)...)
	if text, err := cc.CombinedOutput(); err != nil {
		t.Fatalf("cc: %v\n%s", err, text)
	}
}

// empty runs a program on a host that has nothing but one folder.
func empty(t *testing.T, root string, command ...string) (string, error) {
	t.Helper()
	cmd := exec.Command(command[0], command[1:]...)
	cmd.Dir, cmd.Env = "/", []string{}
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags: syscall.CLONE_NEWUSER | syscall.CLONE_NEWNS, Chroot: root,
		UidMappings: []syscall.SysProcIDMap{{HostID: os.Getuid(), Size: 1}},
		GidMappings: []syscall.SysProcIDMap{{HostID: os.Getgid(), Size: 1}},
	}
	out, err := cmd.CombinedOutput()
	return string(out), err
}

// TestWithLibs has a program run with a library of its own, and the C library, where there is neither.
func TestWithLibs(t *testing.T) {
	build := t.TempDir()
	libs, exampled := filepath.Join(build, "libs"), filepath.Join(build, "exampled")
	if err := os.Mkdir(libs, 0o700); err != nil {
		t.Fatal(err)
	}
	compile(t, filepath.Join(libs, "libinner.so"), `const char *inner(void) { return "from its library"; }`, "-shared", "-fPIC")
	compile(t, filepath.Join(libs, "libgreet.so"), `const char *inner(void); const char *greet(void) { return inner(); }`,
		"-shared", "-fPIC", "-L"+libs, "-linner")
	compile(t, exampled, `#include <stdio.h>
const char *greet(void);
int main(int argc, char **argv) { printf("%s %s %d\n", argv[0], greet(), argc); return 0; }`,
		"-L"+libs, "-lgreet", "-Wl,-rpath-link,"+libs)

	root := filepath.Join(t.TempDir(), "root")
	if err := os.Mkdir(root, 0o755); err != nil {
		t.Fatal(err)
	}
	alone, err := os.ReadFile(exampled)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(root, "exampled"), alone, 0o755); err != nil {
		t.Fatal(err)
	}
	if out, err := empty(t, root, "/exampled"); err == nil {
		t.Errorf("without its libraries it runs: %s", out)
	}

	o := order{withLibs: true, to: filepath.Join(build, "dist")}
	if err := o.collect(exampled); err == nil || !strings.Contains(err.Error(), "LD_LIBRARY_PATH") {
		t.Errorf("where its library is not found: %v", err)
	}
	t.Setenv("LD_LIBRARY_PATH", libs)
	o = order{withLibs: true, to: filepath.Join(build, "dist")}
	if err := o.collect(exampled); err != nil {
		t.Fatal(err)
	}
	c := command{console.New(io.Discard, io.Discard)}
	if err := c.write(o); err != nil {
		t.Fatal(err)
	}
	f, err := os.ReadFile(filepath.Join(build, "dist/exampled.tar.gz"))
	if err != nil {
		t.Fatal(err)
	}
	a, err := archive.NewReader(bytes.NewReader(f), manifest.MaxSize)
	if err != nil {
		t.Fatal(err)
	}
	if err := artifact.Unpack(t.Context(), a, filepath.Join(root, "app")); err != nil {
		t.Fatal(err)
	}
	out, err := empty(t, root, append(a.Manifest.Command("/app", nil), "x")...)
	if err != nil || out != "/app/bin/exampled from its library 2\n" {
		t.Errorf("it prints %q, %v", out, err)
	}
}
