//go:build linux || darwin

package artifact

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// TestMain does something with a store and then waits, if a test says so.
func TestMain(m *testing.M) {
	dir, what := os.Getenv("ARTIFACT_TEST_STORE"), os.Getenv("ARTIFACT_TEST")
	if what == "" {
		os.Exit(m.Run())
	}
	p, err := NewStore(dir, nothing).Make(func(dir string) (string, error) {
		file := filepath.Join(dir, "hello")
		if what == "begin" {
			fmt.Println(dir)
			wait()
		}
		return file, os.WriteFile(file, []byte("#!/bin/sh\necho "+what+"\n"), 0o700)
	})
	fmt.Println(err)
	wait()
	p.Release()
}

// wait waits for the end of the test that has started the process, if nobody kills that before.
func wait() { _, _ = io.Copy(io.Discard, os.Stdin) }

// other starts a process of its own that does something with a store, until it is killed, and returns the
// line that it has printed.
func other(t *testing.T, s *Store, what string) (maker *exec.Cmd, line string) {
	t.Helper()
	maker = exec.Command(os.Args[0])
	maker.Env = append(os.Environ(), "ARTIFACT_TEST_STORE="+s.dir, "ARTIFACT_TEST="+what)
	_, stdin := maker.StdinPipe()
	out, err := maker.StdoutPipe()
	if err := errors.Join(stdin, err); err != nil {
		t.Fatal(err)
	}
	if err := maker.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { kill(maker) })
	line, err = bufio.NewReader(out).ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	return maker, strings.TrimSpace(line)
}

func kill(cmd *exec.Cmd) {
	cmd.Process.Kill()
	cmd.Wait()
}

// script writes a program that prints a text.
func script(t *testing.T, file, text string) {
	t.Helper()
	if err := os.WriteFile(file, []byte("#!/bin/sh\necho "+text+"\n"), 0o700); err != nil {
		t.Fatal(err)
	}
}

// prints returns what a program prints.
func prints(t *testing.T, p *Program) string {
	t.Helper()
	out, err := exec.Command(p.Path).Output()
	if err != nil {
		t.Errorf("%s: %v", p.Path, err)
	}
	return strings.TrimSpace(string(out))
}

func copied(t *testing.T, s *Store, file string) *Program {
	t.Helper()
	p, err := s.Copy(file)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.Release)
	return p
}

// folders returns the names of the folders in a store.
func folders(t *testing.T, s *Store) []string {
	t.Helper()
	entries, err := os.ReadDir(s.dir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		t.Fatal(err)
	}
	var names []string
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return names
}

func clean(t *testing.T, s *Store) {
	t.Helper()
	if err := s.Clean(); err != nil {
		t.Error(err)
	}
}

// nothing is needed.
func nothing() ([]string, error) { return nil, nil }

// TestCopy has a program stay what it was, whatever happens to the file that it came from.
func TestCopy(t *testing.T) {
	s := NewStore(filepath.Join(t.TempDir(), "a", "cas"), nothing)
	file := filepath.Join(t.TempDir(), "hello")
	script(t, file, "first")
	first := copied(t, s, file)
	info, err := os.Stat(first.Path)
	if err != nil || info.Mode() != 0o555 || info.Name() != "hello" {
		t.Errorf("the program is %v, %v", info, err)
	}
	if folder := filepath.Base(filepath.Dir(first.Path)); len(folder) != len("sha256-")+64 {
		t.Errorf("the program is in %s", folder)
	}

	// Written in place, replaced, and removed.
	script(t, file, "second")
	second := copied(t, s, file)
	next := file + ".next"
	script(t, next, "third")
	if err := os.Rename(next, file); err != nil {
		t.Fatal(err)
	}
	third := copied(t, s, file)
	if err := os.Remove(file); err != nil {
		t.Fatal(err)
	}
	for p, want := range map[*Program]string{first: "first", second: "second", third: "third"} {
		if got := prints(t, p); got != want {
			t.Errorf("the program prints %s, want %s", got, want)
		}
	}
	if names := folders(t, s); len(names) != 3 {
		t.Errorf("the store has %q", names)
	}
}

// TestOnce keeps one content in one folder, under all of its names, and mends what is damaged.
func TestOnce(t *testing.T) {
	s := NewStore(t.TempDir(), nothing)
	one, two := filepath.Join(t.TempDir(), "one"), filepath.Join(t.TempDir(), "two")
	script(t, one, "same")
	script(t, two, "same")
	a, b := copied(t, s, one), copied(t, s, two)
	again := copied(t, s, one)
	if filepath.Dir(a.Path) != filepath.Dir(b.Path) || a.Path == b.Path || a.Path != again.Path {
		t.Errorf("the same program is at %s, %s and %s", a.Path, b.Path, again.Path)
	}
	if names := folders(t, s); len(names) != 1 {
		t.Errorf("the store has %q", names)
	}

	if err := errors.Join(os.Chmod(a.Path, 0o700), os.Truncate(a.Path, 5)); err != nil {
		t.Fatal(err)
	}
	if got := prints(t, copied(t, s, one)); got != "same" {
		t.Errorf("the mended program prints %q", got)
	}
}

// TestSum: a program has one sum, in a store and elsewhere; in a store it is not read for that.
func TestSum(t *testing.T) {
	s := NewStore(t.TempDir(), nothing)
	file := filepath.Join(t.TempDir(), "hello")
	script(t, file, "same")
	sum, err := Sum(file)
	if err != nil || len(sum) != 64 {
		t.Fatalf("got %q, %v", sum, err)
	}
	p := copied(t, s, file)
	if err := os.Remove(p.Path); err != nil {
		t.Fatal(err)
	}
	if kept, err := Sum(p.Path); kept != sum || err != nil {
		t.Errorf("in a store %q, %v, want %q", kept, err, sum)
	}
	for _, none := range []string{"none", "sha256-0/none", "sha256-" + strings.Repeat("x", 64) + "/none"} {
		if sum, err := Sum(filepath.Join(s.dir, none)); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%s has the sum %q, %v", none, sum, err)
		}
	}
}

func TestRefusals(t *testing.T) {
	s := NewStore(filepath.Join(t.TempDir(), "cas"), nothing)
	folder := t.TempDir()
	for file, want := range map[string]string{
		folder:           "cannot keep a copy of the program " + folder + ": it is no file",
		folder + "/none": "no such file or directory",
		"/dev/null":      "it is no file",
	} {
		if _, err := s.Copy(file); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %v, want %q", file, err, want)
		}
	}
	_, err := s.Make(func(string) (string, error) { return "", syscall.ENOSPC })
	if err != syscall.ENOSPC {
		t.Errorf("got %v", err)
	}
	if text := s.explain(err).Error(); !strings.Contains(text, "no space left on device (make room for "+s.dir) {
		t.Errorf("a full disk is explained as %s", text)
	}
	if names := folders(t, s); len(names) != 0 {
		t.Errorf("the store has %q", names)
	}
}

// TestHalfWritten refuses a file that grows while it is read.
func TestHalfWritten(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "file")
	if err := os.WriteFile(file, []byte("half"), 0o700); err != nil {
		t.Fatal(err)
	}
	writing, err := os.OpenFile(file, os.O_WRONLY|os.O_APPEND, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer writing.Close()

	err = copyProgram(filepath.Join(dir, "copy"), file, func(to io.Writer, from io.Reader) (int64, error) {
		n, err := io.Copy(to, from)
		_, written := writing.Write([]byte(" a program"))
		return n, errors.Join(err, written)
	})
	if err == nil || !strings.Contains(err.Error(), "it is being written") {
		t.Errorf("got %v", err)
	}
}

// TestClean removes programs that nobody uses, but for the newest ones.
func TestClean(t *testing.T) {
	s := NewStore(t.TempDir(), nothing)
	clean(t, NewStore(filepath.Join(s.dir, "none"), nothing))
	file := filepath.Join(t.TempDir(), "hello")
	var programs []*Program
	for i := range 6 {
		script(t, file, fmt.Sprint(i))
		p := copied(t, s, file)
		at := time.Now().Add(time.Duration(i-10) * time.Hour)
		if err := os.Chtimes(filepath.Dir(p.Path), at, at); err != nil {
			t.Fatal(err)
		}
		programs = append(programs, p)
	}
	clean(t, s)
	if names := folders(t, s); len(names) != 6 {
		t.Errorf("of six programs that are used, there are %q", names)
	}

	for _, i := range []int{0, 1, 2, 3, 5} {
		programs[i].Release()
	}
	if err := os.Mkdir(filepath.Join(s.dir, "theirs"), 0o700); err != nil {
		t.Fatal(err)
	}
	clean(t, s)
	for i, p := range programs {
		if _, err := os.Stat(p.Path); (err == nil) != (i >= 2) {
			t.Errorf("program %d: %v", i, err)
		}
	}
	if _, err := os.Stat(filepath.Join(s.dir, "theirs")); err != nil {
		t.Error(err)
	}
}

// TestKilled removes what a process has left that was killed while it made a program, and not
// before.
func TestKilled(t *testing.T) {
	s := NewStore(t.TempDir(), nothing)
	maker, line := other(t, s, "begin")
	if !strings.HasPrefix(line, s.dir) {
		t.Errorf("the other process says %q", line)
	}
	clean(t, s)
	if names := folders(t, s); len(names) != 1 {
		t.Errorf("while it is made, the store has %q", names)
	}
	kill(maker)
	clean(t, s)
	if names := folders(t, s); len(names) != 0 {
		t.Errorf("after the end, the store has %q", names)
	}
}

// TestKilledLater: what a process has made stays while it lives, and goes with it if nobody needs it.
func TestKilledLater(t *testing.T) {
	s := NewStore(t.TempDir(), nothing)
	var makers []*exec.Cmd
	for i := range 2 * spare {
		maker, line := other(t, s, fmt.Sprint(i))
		if line != "<nil>" {
			t.Fatalf("the other process says %q", line)
		}
		makers = append(makers, maker)
	}
	clean(t, s)
	if names := folders(t, s); len(names) != len(makers) {
		t.Errorf("while they are used, the store has %q", names)
	}

	for _, maker := range makers {
		kill(maker)
	}
	needs := folders(t, s)[0]
	s.needed = func() ([]string, error) { return []string{filepath.Join(s.dir, needs, "hello")}, nil }
	clean(t, s)
	if names := folders(t, s); len(names) != 1+spare || !slices.Contains(names, needs) {
		t.Errorf("after the end the store has %q; %q is needed", names, needs)
	}
}

// TestNeeded keeps what is needed, whatever its age and name, and does not ask for nothing.
func TestNeeded(t *testing.T) {
	asked := 0
	s := NewStore(t.TempDir(), func() ([]string, error) { asked++; return nil, nil })
	var names []string // the oldest first
	for i := range 7 {
		file := filepath.Join(t.TempDir(), "hello")
		script(t, file, fmt.Sprint(i))
		p := copied(t, s, file)
		p.Release()
		at := time.Now().Add(time.Duration(i-10) * time.Hour)
		if err := os.Chtimes(filepath.Dir(p.Path), at, at); err != nil {
			t.Fatal(err)
		}
		names = append(names, filepath.Base(filepath.Dir(p.Path)))
		if i >= spare {
			continue
		}
		if clean(t, s); asked > 0 {
			t.Errorf("asked %d times", asked)
		}
	}

	unknown := errors.New("nobody knows")
	s.needed = func() ([]string, error) { return nil, unknown }
	if err := s.Clean(); !errors.Is(err, unknown) {
		t.Errorf("what is needed is not known: %v", err)
	}
	if left := folders(t, s); len(left) != len(names) {
		t.Errorf("what is needed is not known, and the store has %q", left)
	}

	needs := []string{"/elsewhere/cas/" + names[0] + "/hello", filepath.Join(s.dir, names[5], "hi"), "/bin/sh", ""}
	s.needed = func() ([]string, error) {
		for _, name := range names {
			if f := lockUnused(filepath.Join(s.dir, name)); f != nil {
				f.Close()
				t.Errorf("%s can be used, and then be needed, after it was asked what is", name)
			}
		}
		return needs, nil
	}
	clean(t, s)
	want := slices.Sorted(slices.Values([]string{names[0], names[3], names[4], names[5], names[6]}))
	if left := folders(t, s); !slices.Equal(left, want) {
		t.Errorf("the store has %q, want %q", left, want)
	}
}

// TestCrowd has many keep, run and remove the same few programs at once: one that is held always
// runs.
func TestCrowd(t *testing.T) {
	s := NewStore(t.TempDir(), nothing)
	const kinds = 6 // more than are spared
	var files []string
	for i := range kinds {
		file := filepath.Join(t.TempDir(), "hello")
		script(t, file, fmt.Sprint(i))
		files = append(files, file)
	}
	var crowd sync.WaitGroup
	for n := range 8 {
		crowd.Go(func() {
			for i := range 20 {
				kind := (n + i) % kinds
				p, err := s.Copy(files[kind])
				if err != nil {
					t.Error(err)
					return
				}
				if err := s.Clean(); err != nil {
					t.Error(err)
				}
				if got := prints(t, p); got != fmt.Sprint(kind) {
					t.Errorf("the program %d prints %q", kind, got)
				}
				p.Release()
			}
		})
	}
	crowd.Wait()
	clean(t, s)
	if names := folders(t, s); len(names) != spare {
		t.Errorf("at the end, the store has %q", names)
	}
}

// TestHandover has many make programs, say that they are needed, and stop using them at once, while all
// clean: one that is needed runs.
func TestHandover(t *testing.T) {
	const kinds = 2 * spare
	var files []string
	for i := range kinds {
		file := filepath.Join(t.TempDir(), "hello")
		script(t, file, fmt.Sprint(i))
		files = append(files, file)
	}

	var mu sync.Mutex
	needs := map[string]int{} // how many need a program
	s := NewStore(t.TempDir(), func() ([]string, error) {
		mu.Lock()
		defer mu.Unlock()
		var paths []string
		for path, n := range needs {
			if n > 0 {
				paths = append(paths, path)
			}
		}
		return paths, nil
	})
	need := func(path string, n int) {
		mu.Lock()
		defer mu.Unlock()
		needs[path] += n
	}

	var crowd sync.WaitGroup
	for n := range 4 {
		crowd.Go(func() {
			for i := range 20 {
				kind := (n + i) % kinds
				p, err := s.Copy(files[kind])
				if err != nil {
					t.Error(err)
					return
				}
				need(p.Path, 1)
				p.Release()
				if err := s.Clean(); err != nil {
					t.Error(err)
				}
				if got := prints(t, p); got != fmt.Sprint(kind) {
					t.Errorf("the program %d prints %q", kind, got)
				}
				need(p.Path, -1)
			}
		})
	}
	crowd.Wait()
	clean(t, s)
	if names := folders(t, s); len(names) != spare {
		t.Errorf("at the end, the store has %q", names)
	}
}
