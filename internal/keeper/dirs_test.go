//go:build linux || darwin

package keeper

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestStateDir(t *testing.T) {
	root := t.TempDir()
	t.Setenv("HOME", filepath.Join(root, "home"))
	for _, c := range []struct{ divisi, xdg, want string }{
		{"", "", "home/.local/state/divisi"},
		{"", "xdg", "xdg/divisi"},
		{"own", "xdg", "own"},
	} {
		set := func(key, value string) {
			if value != "" {
				value = filepath.Join(root, value)
			}
			t.Setenv(key, value)
		}
		set("DIVISI_HOME", c.divisi)
		set("XDG_STATE_HOME", c.xdg)
		got, err := StateDir()
		if err != nil || got != filepath.Join(root, c.want) {
			t.Errorf("%+v: %s, %v", c, got, err)
		}
		private(t, got)
	}
}

func private(t *testing.T, dir string) {
	t.Helper()
	if info, err := os.Lstat(dir); err != nil || info.Mode() != os.ModeDir|0o700 {
		t.Errorf("%s: %v, %v", dir, info.Mode(), err)
	}
}

func TestRuntimeDir(t *testing.T) {
	base, err := os.MkdirTemp("/tmp", "d") // that of the test may be too long
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(base)
	t.Setenv("XDG_RUNTIME_DIR", base)
	one, err := RuntimeDir("/state/one")
	if err != nil || filepath.Dir(one) != filepath.Join(base, "divisi") {
		t.Fatalf("%s, %v", one, err)
	}
	private(t, one)
	private(t, filepath.Dir(one))
	if again, err := RuntimeDir("/state/one"); again != one || err != nil {
		t.Errorf("again %s, %v", again, err)
	}
	if two, err := RuntimeDir("/state/two"); two == one || err != nil {
		t.Errorf("two folders share %s, %v", two, err)
	}
	t.Setenv("XDG_RUNTIME_DIR", filepath.Join(base, strings.Repeat("x", 60)))
	if dir, err := RuntimeDir("/state/one"); err == nil || !strings.Contains(err.Error(), "too long") {
		t.Errorf("too long: %s, %v", dir, err)
	}
	for _, ignored := range []string{"", "relative"} {
		t.Setenv("XDG_RUNTIME_DIR", ignored)
		dir, err := RuntimeDir(base)
		if err != nil || !strings.HasPrefix(dir, "/tmp/divisi-") {
			t.Errorf("%q: %s, %v", ignored, dir, err)
		}
		os.Remove(dir)
	}
}

func TestPrivateDir(t *testing.T) {
	root := t.TempDir()
	at := func(name string) string { return filepath.Join(root, name) }
	if err := os.Mkdir(at("open"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := privateDir(at("open")); err != nil {
		t.Error(err)
	}
	private(t, at("open"))
	if err := os.Symlink(at("open"), at("link")); err != nil {
		t.Fatal(err)
	}
	if err := privateDir(at("link")); err == nil || !strings.Contains(err.Error(), "not a folder") {
		t.Errorf("a link: %v", err)
	}
	if err := os.WriteFile(at("file"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := privateDir(at("file")); err == nil {
		t.Error("a file is taken for a folder")
	}
	if _, err := Open(at("file")); err == nil {
		t.Error("a keeper of a file")
	}
	if os.Getuid() != 0 {
		t.Skip("only root can make a folder of another user")
	}
	if err := os.Chown(at("open"), 65534, 65534); err != nil {
		t.Fatal(err)
	}
	if err := privateDir(at("open")); err == nil || !strings.Contains(err.Error(), "belongs to another user") {
		t.Errorf("another user's: %v", err)
	}
}
