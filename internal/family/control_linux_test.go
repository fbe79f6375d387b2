package family

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// pretend makes a folder that stands for a control group in another one that has some controllers.
func pretend(t *testing.T, there, enabled string) *Group {
	t.Helper()
	parent := t.TempDir()
	g := &Group{path: filepath.Join(parent, "group")}
	if err := os.Mkdir(g.path, 0o700); err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string]string{"cgroup.controllers": there, "cgroup.subtree_control": enabled, "group/memory.max": "max\n"} {
		if err := os.WriteFile(filepath.Join(parent, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return g
}

func content(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// TestControl: a limit is written where its controller works, which is enabled before if it is there.
func TestControl(t *testing.T) {
	for name, c := range map[string]struct{ there, enabled, after string }{
		"enabled":     {"cpu memory pids\n", "memory\n", "memory\n"},
		"not enabled": {"cpu memory pids\n", "pids\n", "+memory"}, // the kernel would add it
	} {
		g := pretend(t, c.there, c.enabled)
		if err := g.Control("memory.max", "1024"); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if got := content(t, filepath.Join(g.path, "memory.max")); got != "1024" {
			t.Errorf("%s: memory.max has %q", name, got)
		}
		if got := content(t, filepath.Join(filepath.Dir(g.path), "cgroup.subtree_control")); got != c.after {
			t.Errorf("%s: cgroup.subtree_control has %q", name, got)
		}
	}
}

// TestNoController: what is missing is named.
func TestNoController(t *testing.T) {
	g := pretend(t, "hugetlb\n", "")
	err := g.Control("memory.max", "1024")
	if err == nil || !strings.HasSuffix(err.Error(), "does not have the controller memory, but has: hugetlb") {
		t.Error(err)
	}
	if err := pretend(t, "cpu\n", "cpu\n").Control("cpu.max", "1 100000"); err != nil {
		t.Error(err)
	}
	if err := (&Group{path: filepath.Join(t.TempDir(), "none")}).Control("cpu.max", "1"); err == nil {
		t.Error("a group that is none was limited")
	}
}

// TestOutOfMemory: it is the kernel's count that says so.
func TestOutOfMemory(t *testing.T) {
	for text, want := range map[string]bool{
		"low 0\nhigh 0\nmax 7\noom 1\noom_kill 0\noom_group_kill 0\n": false,
		"low 0\nhigh 0\nmax 7\noom 1\noom_kill 2\noom_group_kill 0\n": true,
		"oom_kill many\n": false,
		"":                false,
	} {
		g := pretend(t, "memory", "memory")
		if err := os.WriteFile(filepath.Join(g.path, "memory.events"), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if got := g.OutOfMemory(); got != want {
			t.Errorf("%q: %v", text, got)
		}
	}
	if pretend(t, "", "").OutOfMemory() {
		t.Error("of a group without memory.events")
	}
}
