package run

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/fsnotify/fsnotify"

	"github.com/divisi-go/divisi/cmd/divisi/build"
)

// edit writes a file, or makes a folder if the path ends in a slash.
func edit(t *testing.T, dir, path, text string) {
	t.Helper()
	var err error
	if full := filepath.Join(dir, path); strings.HasSuffix(path, "/") {
		err = os.Mkdir(full, 0o700)
	} else {
		err = os.WriteFile(full, []byte(text), 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// watched returns a folder with a module, what run would watch for it, and with it a configuration
// elsewhere.
func watched(t *testing.T) (string, *target) {
	t.Helper()
	dir, err := filepath.EvalSymlinks(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	for key, value := range map[string]string{
		"GOPROXY": "off", "GOTOOLCHAIN": "local", "GOWORK": "off", "GOFLAGS": "", "CGO_ENABLED": "0",
	} {
		t.Setenv(key, value)
	}
	edit(t, dir, "app/", "")
	edit(t, dir, "app/go.mod", "module example.com/app\ngo 1.26\n")
	edit(t, dir, "app/main.go", "package main\nfunc main() {}\n")
	edit(t, dir, "app/there/", "")
	edit(t, dir, "app/there/there.go", "package there\n")
	edit(t, dir, "app.toml", "")
	pkg, err := build.Folder(filepath.Join(dir, "app"))
	if err != nil {
		t.Fatal(err)
	}
	return dir, &target{pkg: &pkg, file: filepath.Join(dir, "app.toml")}
}

// noticed waits until a change of a path is found to concern the program.
func noticed(t *testing.T, s *source, path string) {
	t.Helper()
	limit := time.After(10 * time.Second)
	for {
		select {
		case e := <-s.watcher.Events:
			if e.Name == path && s.concerns(e) {
				return
			}
		case err := <-s.watcher.Errors:
			t.Fatal(err)
		case <-limit:
			t.Fatalf("a change of %s is not noticed; the folders are %q", path, s.files.Folders)
		}
	}
}

func TestWatch(t *testing.T) {
	dir, target := watched(t)
	s, err := watch(t.Context(), target)
	if err != nil {
		t.Fatal(err)
	}
	defer s.close()
	for _, e := range []struct{ path, text string }{
		{"app.toml", "[divisi]\n"},
		// What is imported and embedded is made afterwards, a folder at a time.
		{"app/main.go", "package main\nimport (\n_ \"embed\"\n_ \"example.com/app/a/x\"\n)\n" +
			"//go:embed *.html static deep/page\nvar page string\nfunc main() {}\n"},
		{"app/a/", ""},
		{"app/a/x/", ""},
		{"app/a/x/x.go", "package x\nimport _ \"example.com/app/there\"\n"},
		{"app/there/there.go", "package there\nconst X = 1\n"},
		{"app/page.html", "page"},
		{"app/static/", ""},
		{"app/static/sub/", ""},
		{"app/static/sub/text", "text"},
		{"app/deep/", ""},
		{"app/deep/page", "page"},
	} {
		edit(t, dir, e.path, e.text)
		noticed(t, s, filepath.Join(dir, e.path))
		if err := s.list(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	// A folder that goes and comes back, such as with another branch.
	if err := os.RemoveAll(filepath.Join(dir, "app/a")); err != nil {
		t.Fatal(err)
	}
	noticed(t, s, filepath.Join(dir, "app/a"))
	for _, path := range []string{"app/a/", "app/a/x/", "app/a/x/x.go"} {
		if err := s.list(t.Context()); err != nil {
			t.Fatal(err)
		}
		edit(t, dir, path, "package x\n")
		noticed(t, s, filepath.Join(dir, path))
	}
}

// A change after the source was listed, and before it was watched, may bring in a folder.
func TestWatchChangeWhileListed(t *testing.T) {
	dir, target := watched(t)
	compiler, err := exec.LookPath("go")
	if err != nil {
		t.Fatal(err)
	}
	bin := t.TempDir()
	edit(t, dir, "next.go", "package main\nimport _ \"example.com/app/there\"\nfunc main() {}\n")
	script := "#!/bin/sh\n'" + compiler + "' \"$@\" || exit\n[ ! -e ../next.go ] || mv ../next.go main.go\n"
	if err := os.WriteFile(filepath.Join(bin, "go"), []byte(script), 0o700); err != nil {
		t.Fatal(err)
	}
	t.Setenv("PATH", bin+string(filepath.ListSeparator)+os.Getenv("PATH"))
	s, err := watch(t.Context(), target)
	if err != nil {
		t.Fatal(err)
	}
	defer s.close()
	edit(t, dir, "app/there/there.go", "package there\nconst X = 1\n")
	noticed(t, s, filepath.Join(dir, "app/there/there.go"))
}

func TestWatchRefuses(t *testing.T) {
	_, target := watched(t)
	t.Setenv("PATH", t.TempDir())
	if _, err := watch(t.Context(), target); err == nil || !strings.Contains(err.Error(), "go command is not on the PATH") {
		t.Errorf("a source that cannot be listed is watched: %v", err)
	}
}

func TestConcerns(t *testing.T) {
	s := &source{target: &target{file: "/app/app.toml"}}
	for _, tt := range []struct {
		event fsnotify.Event
		want  bool
	}{
		{fsnotify.Event{Name: "/app/main.go", Op: fsnotify.Write}, true},
		{fsnotify.Event{Name: "/app/app.toml", Op: fsnotify.Create}, true},
		{fsnotify.Event{Name: "/app/other.toml", Op: fsnotify.Write}, false},
		{fsnotify.Event{Name: "/app/main.go", Op: fsnotify.Chmod}, false},
		{fsnotify.Event{Name: "/app/main_test.go", Op: fsnotify.Write}, false},
		{fsnotify.Event{Name: "/app/.main.go.swp", Op: fsnotify.Write}, false},
		{fsnotify.Event{Name: "/app/main.go~", Op: fsnotify.Write}, false},
		{fsnotify.Event{Name: "/app/app.log", Op: fsnotify.Write}, false},
	} {
		if s.concerns(tt.event) != tt.want {
			t.Errorf("%v: %v, want %v", tt.event, !tt.want, tt.want)
		}
	}
}
