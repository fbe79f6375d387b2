package build

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// module writes files into a folder of their own, and makes it the working directory. The go
// command asks no network.
func module(t *testing.T, files map[string]string) string {
	t.Helper()
	dir, err := filepath.EvalSymlinks(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	for name, text := range files {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	t.Chdir(dir)
	for key, value := range map[string]string{
		"GOPROXY": "off", "GOTOOLCHAIN": "local", "GOWORK": "", "GOFLAGS": "", "CGO_ENABLED": "0",
	} {
		t.Setenv(key, value)
	}
	return dir
}

func TestBuild(t *testing.T) {
	dir := module(t, map[string]string{
		"go.mod":        "module example.com/app/v2\ngo 1.26\n",
		"main.go":       "package main\nfunc main() { println(\"top\") }\n",
		"cmd/x/main.go": "package main\nfunc main() { println(\"x\") }\n",
	})
	ctx := t.Context()
	folder, err := Folder("cmd/x")
	if err != nil {
		t.Fatal(err)
	}
	byPath, err := Find(ctx, "example.com/app/v2")
	if err != nil {
		t.Fatal(err)
	}
	byPattern, err := Find(ctx, "./cmd/...")
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		pkg                 Package
		name, text, printed string
	}{
		{folder, "x", "./cmd/x", "x\n"},
		{byPath, "app", "example.com/app/v2", "top\n"},
		{byPattern, "x", "example.com/app/v2/cmd/x", "x\n"},
		{Package{Dir: dir, Pattern: "."}, filepath.Base(dir), ".", "top\n"},
	} {
		program, err := tt.pkg.Build(ctx, t.TempDir())
		if err != nil {
			t.Errorf("%v: %v", tt.pkg, err)
			continue
		}
		if filepath.Base(program) != tt.name || tt.pkg.String() != tt.text {
			t.Errorf("%v is built as %s, want %s as %s", tt.pkg, program, tt.text, tt.name)
		}
		if out, err := exec.Command(program).CombinedOutput(); err != nil || string(out) != tt.printed {
			t.Errorf("%v prints %q, %v", tt.pkg, out, err)
		}
	}
}

func TestBuildRefuses(t *testing.T) {
	module(t, map[string]string{
		"go.mod":        "module example.com/app\ngo 1.26\n",
		"a/main.go":     "package main\nfunc main() {}\n",
		"b/main.go":     "package main\nfunc main() {}\n",
		"lib/lib.go":    "package lib\n",
		"bad/main.go":   "package main\nfunc main() { nothing() }\n",
		"stale/main.go": "package main\nfunc main() { stale_run_divisi_generate() }\n",

		"deep/main.go":          "package main\nimport \"example.com/app/deep/in\"\nfunc main() { in.In() }\n",
		"deep/in/divisi_gen.go": "package in\nfunc In() { stale_run_divisi_generate(1); stale_run_divisi_generate(2) }\n",
		"none/README":           "no Go\n",
		"future/go.mod":         "module example.com/future\ngo 1.99.0\n",
		"future/main.go":        "package main\nfunc main() {}\n",
	})
	for _, tt := range []struct {
		target, text, hint string
	}{
		{"nowhere", "nowhere is no file, no folder and no package", "import path, a program, or a TOML file"},
		{"example.com/app/nowhere", "is no file, no folder and no package", "give the folder"},
		{"./lib", "./lib is no main package", "give the one that has the function main"},
		{"./...", "./... stands for 5 programs", "give one of example.com/app/a, example.com/app/b"},
		{"lib", "./lib is no main package", "function main"},
		{"none", "cannot build ./none: no Go files in", ""},
		{"bad", "cannot build ./bad:\n# example.com/app/bad\n./main.go:2:15: undefined: nothing", ""},
		{"stale", "cannot build ./stale: the generated code of ./stale is stale", "run: divisi generate ./stale"},
		{"deep", "cannot build ./deep: the generated code of ./deep/in is stale", "run: divisi generate ./deep/in"},
		{"future", "cannot build ./future: this Go is too old: go.mod requires go >= 1.99.0", "install Go 1.99.0 or later"},
	} {
		pkg, err := Folder(tt.target)
		if _, statErr := os.Stat(tt.target); statErr != nil || strings.HasPrefix(tt.target, ".") {
			pkg, err = Find(t.Context(), tt.target)
		}
		if err == nil {
			_, err = pkg.Build(t.Context(), t.TempDir())
		}
		var e *Error
		if !errors.As(err, &e) || !strings.Contains(e.Error(), tt.text) || !strings.Contains(e.Hint(), tt.hint) ||
			tt.hint == "" && e.Hint() != "" {
			t.Errorf("%s: got %v, want %q and the hint %q", tt.target, err, tt.text, tt.hint)
		}
	}
}

// What go commands of other versions print.
func TestOldGo(t *testing.T) {
	for _, printed := range []string{
		"go: go.mod requires go >= 1.26.0 (running go 1.22.1; GOTOOLCHAIN=local)",
		"go: download go1.26.0 for linux/amd64: toolchain not available",
		"go: errors parsing go.mod:\ngo.mod:3: invalid go version '1.26.0': must match format 1.23",
		"main.go:3:1: syntax error\nnote: module requires Go 1.26.0",
	} {
		err := Package{Dir: "/", Pattern: "x"}.explain(t.Context(), printed, errors.New("exit status 1"))
		var e *Error
		if !errors.As(err, &e) || e.Hint() != "install Go 1.26.0 or later from https://go.dev/dl/" ||
			strings.Contains(e.Error(), "\n") {
			t.Errorf("%q is explained as %v", printed, err)
		}
	}
	err := Package{Dir: "/", Pattern: "x"}.explain(t.Context(),
		"go: module . listed in go.work file requires go >= 1.26.0, but go.work lists go 1.21", errors.New("exit status 1"))
	if strings.Contains(err.Error(), "too old") {
		t.Errorf("a work space that is older than a module is explained as %v", err)
	}
}

func TestSources(t *testing.T) {
	dir := module(t, map[string]string{
		"go.work":              "go 1.26\nuse (\n\t./work\n\t./lib\n)\nreplace example.com/far => ./near\n",
		"near/go.mod":          "module example.com/far\ngo 1.26\n",
		"near/near.go":         "package far\nconst X = 1\n",
		"work/go.mod":          "module example.com/app\ngo 1.26\nrequire example.com/far v1.0.0\n",
		"work/main.go":         "package main\nimport (\n_ \"embed\"\n\"example.com/app/in\"\n_ \"example.com/app/to/come\"\n\"example.com/far\"\n\"example.com/lib\"\n\"fmt\"\n)\n//go:embed page.html pages all:later/*.txt\nvar page string\nfunc main() { fmt.Println(far.X, in.X, lib.X, page) }\n",
		"work/page.html":       "x",
		"work/pages/a.html":    "x",
		"work/pages/sub/b":     "x",
		"work/data.db":         "x",
		"work/in/in.go":        "package in\nconst X = 1\n",
		"work/other/other.go":  "package other\n",
		"lib/go.mod":           "module example.com/lib\ngo 1.26\n",
		"lib/lib.go":           "package lib\nconst X = 1\n",
		"unrelated/go.mod":     "module example.com/unrelated\n",
		"unrelated/nothing.go": "package unrelated\n",
	})
	pkg, err := Folder("work")
	if err != nil {
		t.Fatal(err)
	}
	s, err := pkg.Sources(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	var folders []string
	for _, f := range s.Folders {
		rel, err := filepath.Rel(dir, f)
		if err != nil {
			t.Fatal(err)
		}
		folders = append(folders, rel)
	}
	if want := []string{".", "lib", "near", "work", "work/in", "work/later", "work/pages", "work/pages/sub",
		"work/to", "work/to/come"}; !slices.Equal(folders, want) {
		t.Errorf("folders are %v, want %v", folders, want)
	}
	for file, want := range map[string]bool{
		"work/main.go": true, "work/new.go": true, "work/go.mod": true, "go.work": true, "near/near.go": true, "lib/lib.go": true, "work/page.html": true,
		"work/pages/new.html": true, "work/data.db": false, "work/in/page.html": false,
		"work/pages/new/file": true, "work/pages/new": true, "work/later": true, "work/later/a.txt": true,
		"work/later/a.html": false, "work/to": true, "work/to/come": true, "work/to/stay": false, "work/in": true,
	} {
		if s.Has(filepath.Join(dir, file)) != want {
			t.Errorf("a change of %s: %v, want %v", file, !want, want)
		}
	}
}

func TestWithoutGo(t *testing.T) {
	module(t, map[string]string{"go.mod": "module example.com/app\ngo 1.26\n"})
	t.Setenv("PATH", t.TempDir())
	pkg, err := Folder(".")
	if err != nil {
		t.Fatal(err)
	}
	for _, err := range []error{
		func() error { _, err := pkg.Build(t.Context(), t.TempDir()); return err }(),
		func() error { _, err := Find(t.Context(), "example.com/app"); return err }(),
		func() error { _, err := pkg.Sources(t.Context()); return err }(),
	} {
		if err == nil || !strings.Contains(err.Error(), "the go command is not on the PATH") {
			t.Errorf("got %v", err)
		}
	}
}

func TestComponents(t *testing.T) {
	if _, err := Components(filepath.Join(t.TempDir(), "none")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("got %v", err)
	}
	if _, err := Components(t.TempDir()); err == nil {
		t.Error("a folder has components")
	}
	program := filepath.Join(t.TempDir(), "program")
	if err := os.WriteFile(program, []byte("#!/bin/sh\n"), 0o700); err != nil {
		t.Fatal(err)
	}
	var e *Error
	if _, err := Components(program); !errors.As(err, &e) || e.Hint() == "" ||
		e.Error() != fmt.Sprintf("%s has no components", program) {
		t.Errorf("got %v", err)
	}
}
