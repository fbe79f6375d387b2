package servlet

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// files returns what is in a folder, below it as well.
func files(t *testing.T, dir string) (all []os.FileInfo) {
	t.Helper()
	paths, err := filepath.Glob(filepath.Join(dir, "*", "*"))
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range paths {
		info, err := os.Stat(path)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, info)
	}
	return all
}

// TestKept: what one process has compiled, the next one need not, and whatever happens to the folder, servlets answer.
func TestKept(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "kept")
	answers := func(o Options, before func()) {
		t.Helper()
		o.Kept = dir
		p := open(t, o)
		p.put("good.wasm", greeting("hello"))
		before()
		if code, body := p.get("good.wasm"); code != 200 || body != "hello" {
			t.Fatalf("%d %q; the log:\n%s", code, body, p.log)
		}
	}
	nothing := func() {}

	answers(Options{}, nothing)
	first := files(t, dir)
	info, err := os.Stat(dir)
	if err != nil || len(first) != 1 || info.Mode().Perm() != 0o700 {
		t.Fatalf("%d files are in a folder of mode %v, %v", len(first), info.Mode(), err)
	}
	answers(Options{}, nothing)
	if again := files(t, dir); len(again) != 1 || !os.SameFile(again[0], first[0]) {
		t.Error("it is compiled once more")
	}

	name := filepath.Join(dir, "*", first[0].Name())
	path, err := filepath.Glob(name)
	if err != nil || len(path) != 1 {
		t.Fatal(path, err)
	}
	for _, broken := range []string{"", "broken", "WAZEVO\x07v1.12.0\xff\xff\xff\xff"} {
		if err := os.WriteFile(path[0], []byte(broken), 0o600); err != nil {
			t.Fatal(err)
		}
		answers(Options{}, nothing)
		if now := files(t, dir); len(now) != 1 || now[0].Size() != first[0].Size() {
			t.Errorf("a file that is damaged (%q) stays", broken)
		}
	}

	answers(Options{KeptMax: 1}, nothing)
	if left := files(t, dir); len(left) != 0 {
		t.Errorf("%d files are kept in a byte", len(left))
	}
	answers(Options{}, func() { os.RemoveAll(dir) })

	if err := os.MkdirAll(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(dir, 0o777); err != nil {
		t.Fatal(err)
	}
	_, err = New(Options{Kept: dir})
	if err == nil || !strings.Contains(err.Error(), "others may write "+dir) {
		t.Errorf("a folder of everybody: %v", err)
	}
}

// TestShrink: the oldest files go first, as many as it takes.
func TestShrink(t *testing.T) {
	k := &kept{dir: t.TempDir()}
	now := time.Now()
	for i, name := range []string{"c", "a", "b"} {
		path := filepath.Join(k.dir, "x", name)
		err := os.MkdirAll(filepath.Dir(path), 0o700)
		if err == nil {
			err = os.WriteFile(path, make([]byte, 100), 0o600)
		}
		if err == nil {
			err = os.Chtimes(path, now, now.Add(time.Duration(i)*time.Minute))
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	k.shrink(250)
	left := files(t, k.dir)
	if len(left) != 2 || left[0].Name() != "a" || left[1].Name() != "b" {
		t.Errorf("left are %v", left)
	}
}
