package store_test

import (
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/divisi-go/divisi/store"
)

// TestDatabaseLost: a database that cannot be written ends the store at once, and not the process, although what has met it
// keeps its locks for ever.
func TestDatabaseLost(t *testing.T) {
	dir := t.TempDir()
	s := must(store.Open(t.Context(), store.Options{Dir: dir}))(t)
	l := must(net.Listen("tcp", "127.0.0.1:0"))(t)
	served := make(chan error, 1)
	go func() { served <- s.Serve(t.Context(), l, nil) }()
	fill(t, filepath.Join(dir, "member", "snap", "db"))
	must(s.Client().Put(t.Context(), "k", "v"))(t)
	<-s.Done()
	if err := <-served; err != nil {
		t.Errorf("serving it has ended with %v", err)
	}
	if err := s.Err(); err == nil || !strings.Contains(err.Error(), "no space left on device") {
		t.Errorf("it has ended with %v", err)
	}
	if err := s.Close(); err == nil {
		t.Error("closing it says nothing of that")
	}
	if _, err := s.Client().Get(t.Context(), "k"); err == nil {
		t.Error("it answers")
	}
}

// fill has what this process writes to a file from now on go where there is never any room.
func fill(t *testing.T, path string) {
	t.Helper()
	full := must(os.OpenFile("/dev/full", os.O_RDWR, 0))(t)
	defer full.Close()
	found := false
	for _, entry := range must(os.ReadDir("/proc/self/fd"))(t) {
		target, err := os.Readlink(filepath.Join("/proc/self/fd", entry.Name()))
		if err != nil || target != path {
			continue
		}
		fd := must(strconv.Atoi(entry.Name()))(t)
		if err := syscall.Dup3(int(full.Fd()), fd, syscall.O_CLOEXEC); err != nil {
			t.Fatal(err)
		}
		found = true
	}
	if !found {
		t.Fatalf("nobody has %s open", path)
	}
}

// TestDatabaseDamaged: a database that cannot be read is an error, and no panic.
func TestDatabaseDamaged(t *testing.T) {
	dir := t.TempDir()
	s := must(store.Open(t.Context(), store.Options{Dir: dir}))(t)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, "member", "snap", "db")
	if err := os.WriteFile(path, []byte(strings.Repeat("not a database. ", 4096)), 0o600); err != nil {
		t.Fatal(err)
	}
	_, err := store.Open(t.Context(), store.Options{Dir: dir})
	if err == nil || !strings.Contains(err.Error(), "restore a snapshot") {
		t.Errorf("it is opened with %v", err)
	}
}
