//go:build unix

package shelf

import (
	"io"
	"os"
	"slices"
	"strings"
	"testing"
)

// pipe returns both ends of a pipe.
func pipe(t *testing.T) (r, w *os.File) {
	t.Helper()
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { r.Close(); w.Close() })

	return r, w
}

func TestShelf(t *testing.T) {
	var s Shelf
	a, aWrite := pipe(t)
	b, _ := pipe(t)
	for name, f := range map[string]*os.File{"a": a, "b": b} {
		if _, err := s.Put(name, []*os.File{f}); err != nil {
			t.Fatal(err)
		}
	}
	s.Remove("b")
	s.Remove("c")
	if _, err := s.Put("a", []*os.File{b}); err != nil {
		t.Fatal(err)
	}

	fds, names, err := s.Copies()
	if err != nil || !slices.Equal(names, []string{"a", "a"}) {
		t.Fatalf("%v, %v", names, err)
	}
	a.Close()
	s.Clear(nil, 0)
	if _, err := aWrite.WriteString("kept"); err != nil {
		t.Errorf("the copy is closed: %v", err)
	}
	aWrite.Close()
	first := os.NewFile(uintptr(fds[0]), "")
	if text, err := io.ReadAll(first); err != nil || string(text) != "kept" {
		t.Errorf("%q, %v", text, err)
	}
	first.Close()
	os.NewFile(uintptr(fds[1]), "").Close()
	if fds, _, err := s.Copies(); err != nil || len(fds) > 0 {
		t.Errorf("left are %v, %v", fds, err)
	}
}

// TestFull: what is too much is not kept, and what is not kept is not open.
func TestFull(t *testing.T) {
	var s Shelf
	r, w := pipe(t)
	_, err := s.Put("many", slices.Repeat([]*os.File{w}, maxFiles+1))
	if err == nil || !strings.Contains(err.Error(), "more than 64 files are not kept: that of many") {
		t.Errorf("too many: %v", err)
	}
	if fds, names, err := s.Copies(); err != nil || len(names) != maxFiles {
		t.Errorf("%d are kept, %v", len(names), err)
	} else {
		for _, fd := range fds {
			os.NewFile(uintptr(fd), "").Close()
		}
	}

	w.Close()
	s.Clear(nil, 0)
	if _, err := io.ReadAll(r); err != nil { // ends when all are closed
		t.Error(err)
	}
}
