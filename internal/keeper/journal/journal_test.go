package journal

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// counter is a state: the numbers that were added. Everything happens under its mutex, as in a
// keeper.
type counter struct {
	mu      sync.Mutex
	numbers []int
	journal *Journal
	states  int // how often the whole state was asked for
}

func openCounter(t *testing.T, path string) *counter {
	t.Helper()
	c := &counter{}
	var err error
	if c.journal, err = Open(path, c.state); err != nil {
		t.Fatal(err)
	}
	return c
}

func (c *counter) state(forget func()) []any {
	c.mu.Lock()
	defer c.mu.Unlock()
	forget()
	c.states++
	list := []any{"state"}
	for _, n := range c.numbers {
		list = append(list, n)
	}
	return list
}

func (c *counter) add(n int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.numbers = append(c.numbers, n)
	c.journal.Add(n)
}

// check compares the file with the state.
func (c *counter) check(t *testing.T, path string) {
	t.Helper()
	if err := c.journal.Sync(time.Minute); err != nil {
		t.Fatal(err)
	}
	lines, err := Read(path)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, line := range lines {
		got = append(got, strings.TrimSpace(string(line)))
	}
	want := []string{`"state"`}
	for _, n := range c.numbers {
		want = append(want, fmt.Sprint(n))
	}
	if !slices.Equal(got, want) {
		t.Errorf("%d lines, want %d", len(got), len(want))
	}
	if lost := c.journal.Lost(); lost != 0 {
		t.Errorf("%d changes are lost", lost)
	}
}

// TestBurst adds more at once than waits for the disk, and more than a file takes: nothing is
// missing, in order.
func TestBurst(t *testing.T) {
	path := filepath.Join(t.TempDir(), "j")
	c := openCounter(t, path)
	for n := range 200_000 {
		c.add(n)
	}
	c.check(t, path)
	if c.states < 2 {
		t.Errorf("the state was written %d times", c.states)
	}
	if err := c.journal.Close(); err != nil {
		t.Fatal(err)
	}
}

// TestFullDisk has the file fail for a time: what is missing is counted, and there in the end.
func TestFullDisk(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "j")
	c := openCounter(t, path)
	c.add(1)
	c.check(t, path)

	// Nothing can be written any more, and no new file can be made.
	c.mu.Lock()
	c.journal.file.Close()
	c.mu.Unlock()
	if err := os.Mkdir(path+".new", 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(path+".new", "f"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for n := range 10 {
		c.add(n)
	}
	if err := c.journal.Sync(time.Minute); err == nil {
		t.Error("the disk takes nothing, and nobody says so")
	}
	if lost := c.journal.Lost(); lost != 10 {
		t.Errorf("%d changes are lost, not 10", lost)
	}

	if err := os.RemoveAll(path + ".new"); err != nil {
		t.Fatal(err)
	}
	c.add(11)
	c.check(t, path)
	if err := c.journal.Close(); err != nil {
		t.Fatal(err)
	}
	if err := c.journal.Sync(time.Minute); !errors.Is(err, ErrClosed) {
		t.Errorf("after its end: %v", err)
	}
}

// TestHalfLine: a line without an end is none.
func TestHalfLine(t *testing.T) {
	path := filepath.Join(t.TempDir(), "j")
	for text, want := range map[string]int{"": 0, "1\n": 1, "1\n2": 1, "1\n\n2\n": 3, "\xff": 0} {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		lines, err := Read(path)
		if err != nil || len(lines) != want {
			t.Errorf("%q: %q, %v", text, lines, err)
		}
	}
	if lines, err := Read(path + "-none"); lines != nil || err != nil {
		t.Errorf("no file: %q, %v", lines, err)
	}
}

func FuzzRead(f *testing.F) {
	f.Add([]byte("1\n2\n3"))
	path := filepath.Join(f.TempDir(), "j")
	f.Fuzz(func(t *testing.T, data []byte) {
		if err := os.WriteFile(path, data, 0o600); err != nil {
			t.Fatal(err)
		}
		lines, err := Read(path)
		if err != nil || !bytes.HasPrefix(data, bytes.Join(lines, nil)) || len(lines) != bytes.Count(data, []byte("\n")) {
			t.Errorf("%q: %q, %v", data, lines, err)
		}
	})
}
