package memfd_test

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/divisi-go/divisi/internal/memfd"
)

// file returns a file with the data, which is closed at the end of the test.
func file(t *testing.T, data []byte) *os.File {
	t.Helper()
	f, err := memfd.New("secret", data)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })

	return f
}

func TestRead(t *testing.T) {
	for _, data := range [][]byte{{}, []byte("x"), []byte("swordfish"), bytes.Repeat([]byte("0123456789abcdef"), 1<<16)} {
		f := file(t, data)
		for range 2 {
			got, err := memfd.Read(f, len(data))
			if err != nil || !bytes.Equal(got, data) {
				t.Errorf("of %d bytes come %d, %v", len(data), len(got), err)
			}
		}
	}

	_, err := memfd.Read(file(t, []byte("swordfish")), 8)
	if err == nil || !strings.Contains(err.Error(), "secret") && runtime.GOOS == "linux" || !strings.Contains(err.Error(), "more than 8 bytes") {
		t.Errorf("too much is %v", err)
	}

	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	defer r.Close()
	if data, err := memfd.Read(r, 8); err == nil {
		t.Errorf("from a pipe comes %q", data)
	}
}

func TestNobodyWrites(t *testing.T) {
	f := file(t, []byte("swordfish"))
	if _, err := f.WriteAt([]byte("x"), 0); err == nil {
		t.Error("it was written")
	}
	if err := f.Truncate(3); err == nil {
		t.Error("it is shorter")
	}
	if err := f.Truncate(300); err == nil {
		t.Error("it is longer")
	}
	if runtime.GOOS == "linux" {
		if w, err := os.OpenFile(fmt.Sprintf("/proc/self/fd/%d", number(t, f)), os.O_RDWR, 0); err == nil {
			if _, err := w.Write([]byte("x")); err == nil {
				t.Error("it was opened again, and written")
			}
			w.Close()
		}
	}

	if got, err := memfd.Read(f, 9); err != nil || string(got) != "swordfish" {
		t.Errorf("it has %q, %v", got, err)
	}
}

func TestSealed(t *testing.T) {
	f := file(t, []byte("swordfish"))
	if got := memfd.Sealed(f); got != (runtime.GOOS == "linux") {
		t.Errorf("sealed: %v", got)
	}

	plain, err := os.CreateTemp(t.TempDir(), "")
	if err != nil {
		t.Fatal(err)
	}
	defer plain.Close()
	if memfd.Sealed(plain) {
		t.Error("a file of the disk is sealed")
	}
	f.Close()
	if memfd.Sealed(f) {
		t.Error("a closed file is sealed")
	}
}

// TestChild: a child reads what it is given from the beginning, and what is written nowhere else: not
// in its arguments, its environment, or the file system.
func TestChild(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("children inherit no descriptors by number here")
	}
	f := file(t, []byte("swordfish"))
	child := exec.CommandContext(t.Context(), "/bin/sh", "-c", "cat <&3")
	child.ExtraFiles = []*os.File{f}
	if out, err := child.Output(); err != nil || string(out) != "swordfish" {
		t.Errorf("the child has read %q, %v", out, err)
	}

	without := exec.CommandContext(t.Context(), "/bin/sh", "-c", "ls -l /dev/fd/ && cat <&3")
	if out, err := without.Output(); err == nil || strings.Contains(string(out), "secret") {
		t.Errorf("a child that is not given it has %q, %v", out, err)
	}
}

// TestNonBlocking: what is done with a file leaves its mode as it is.
func TestNonBlocking(t *testing.T) {
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	defer r.Close()
	memfd.Sealed(r)
	if err := r.SetReadDeadline(time.Unix(1, 0)); err != nil {
		t.Fatal(err)
	}
	if _, err := r.Read(make([]byte, 1)); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("the pipe blocks: %v", err)
	}
}

func TestNames(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("files have no names here")
	}
	for name, want := range map[string]string{
		strings.Repeat("x", 250): "its name has 250 bytes, and may have 249",
		"a\x00b":                 syscall.EINVAL.Error(),
	} {
		if f, err := memfd.New(name, nil); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("a file named %q: %v, %v", name, f, err)
		}
	}
}

func number(t *testing.T, f *os.File) int {
	t.Helper()
	raw, err := f.SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	var number int
	if err := raw.Control(func(fd uintptr) { number = int(fd) }); err != nil {
		t.Fatal(err)
	}

	return number
}

func TestCopy(t *testing.T) {
	f := file(t, []byte("swordfish"))
	c, err := memfd.Copy(f, 9)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	for _, of := range []*os.File{f, c} { // as far as one has read, the other has not
		text := make([]byte, 20)
		if n, err := of.Read(text); err != nil || string(text[:n]) != "swordfish" {
			t.Errorf("read %q, %v", text[:n], err)
		}
	}
	if _, err := memfd.Copy(f, 8); err == nil {
		t.Error("more than the limit is copied")
	}
}
