package whole

import (
	"errors"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"testing"
)

// names returns what is in a folder.
func names(t *testing.T, dir string) (list []string) {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		list = append(list, e.Name())
	}
	return list
}

// TestWrite: a file has all that was written and its mode, and nothing is beside it.
func TestWrite(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "file")
	for _, c := range []struct {
		text string
		mode os.FileMode
	}{{"first", 0o600}, {"", 0o666}, {"third", 0o444}, {"fourth", 0o644}} {
		if err := Write(path, []byte(c.text), c.mode); err != nil {
			t.Fatal(err)
		}
		text, err := os.ReadFile(path)
		if err != nil || string(text) != c.text {
			t.Errorf("the file has %q, %v", text, err)
		}
		if info, err := os.Stat(path); err != nil || runtime.GOOS != "windows" && info.Mode() != c.mode {
			t.Errorf("the mode is %v, %v, not %v", info.Mode(), err, c.mode)
		}
	}
	if got := names(t, dir); !slices.Equal(got, []string{"file"}) {
		t.Errorf("in the folder is %q", got)
	}
}

// TestFails: a write that fails leaves what was, and nothing beside it. What is being written has a name that tells.
func TestFails(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "file")
	if err := Write(path, []byte("before"), 0o600); err != nil {
		t.Fatal(err)
	}
	broken := errors.New("broken")
	err := Make(path, 0o600, func(w io.Writer) error {
		begun := slices.ContainsFunc(names(t, dir), Left)
		if _, err := io.WriteString(w, "half"); err != nil || !begun {
			t.Errorf("%v, and in the folder is %q", err, names(t, dir))
		}
		return broken
	})
	if !errors.Is(err, broken) {
		t.Errorf("a write that fails is %v", err)
	}
	if text, err := os.ReadFile(path); err != nil || string(text) != "before" || Left("file") {
		t.Errorf("the file has %q, %v", text, err)
	}

	folder := filepath.Join(dir, "folder")
	if err := os.MkdirAll(filepath.Join(folder, "full"), 0o700); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{folder, filepath.Join(dir, "none", "file")} {
		if err := Write(path, nil, 0o600); err == nil {
			t.Errorf("%s is written", path)
		}
	}
	if got := names(t, dir); !slices.Equal(got, []string{"file", "folder"}) {
		t.Errorf("in the folder is %q", got)
	}
}
