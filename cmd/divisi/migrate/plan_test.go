package migrate

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/rogpeppe/go-internal/txtar"
)

// example returns the application of the tests as a folder, and the files that its file has under other names.
func example(t *testing.T) (before fstest.MapFS, want map[string]string) {
	t.Helper()
	archive, err := txtar.ParseFile("testdata/app.txtar")
	if err != nil {
		t.Fatal(err)
	}
	before, want = fstest.MapFS{}, map[string]string{}
	for _, f := range archive.Files {
		if name := f.Name; name == "want" || strings.HasPrefix(name, "want/") || strings.HasPrefix(name, "all/") {
			want[name] = string(f.Data)
			continue
		}
		before[f.Name] = &fstest.MapFile{Data: f.Data, Mode: 0o644}
	}
	return before, want
}

// after returns the folder that a plan makes of one.
func after(before fstest.MapFS, p *Plan) fstest.MapFS {
	made := fstest.MapFS{}
	for name, f := range before {
		made[name] = f
	}
	for _, f := range p.files {
		delete(made, f.path)
		if f.after != nil {
			made[f.path] = &fstest.MapFile{Data: f.after, Mode: f.mode}
		}
	}
	return made
}

// TestMake: what changes and what is left is said with its place, the files are what they are to be, nothing else
// changes, and a second time changes nothing.
func TestMake(t *testing.T) {
	before, want := example(t)
	for _, all := range []bool{false, true} {
		p, err := Make(before, Target{Version: "v1.2.3", All: all})
		if err != nil {
			t.Fatal(err)
		}
		if !all {
			var b strings.Builder
			fmt.Fprintln(&b, "changed:")
			for _, n := range p.Changed {
				fmt.Fprintln(&b, n)
			}
			fmt.Fprintln(&b, "left:")
			for _, n := range p.Left {
				fmt.Fprintln(&b, n)
			}
			fmt.Fprintf(&b, "modules: %v\nconfigs: %v\n", p.Modules, p.Configs)
			if b.String() != want["want"] {
				t.Errorf("it says\n%s\nin place of\n%s", b.String(), want["want"])
			}
		}

		made := after(before, p)
		for name, f := range made {
			text, changes := want["want/"+name]
			if t, ok := want["all/"+name]; ok && all {
				text, changes = t, true
			}
			if !changes {
				text = string(before[name].Data)
			}
			if string(f.Data) != text {
				t.Errorf("all %v: %s is\n%s\nin place of\n%s", all, name, f.Data, text)
			}
		}
		if made["weaver_gen.go"] != nil {
			t.Error("weaver_gen.go is still there")
		}

		again, err := Make(made, Target{Version: "v1.2.3", All: all})
		if err != nil || len(again.files) > 0 || len(again.Changed) > 0 {
			t.Errorf("all %v: a second time it changes %v, %v", all, again.Changed, err)
		}
	}
}

// TestTarget: an application can go to a clone; to neither a clone nor a release it does not go.
func TestTarget(t *testing.T) {
	before, _ := example(t)
	p, err := Make(before, Target{Replace: "/src/divisi"})
	if err != nil {
		t.Fatal(err)
	}
	mod := string(after(before, p)["go.mod"].Data)
	for _, line := range []string{"\tgithub.com/divisi-go/divisi v0.0.0\n", "replace github.com/divisi-go/divisi => /src/divisi\n"} {
		if !strings.Contains(mod, line) {
			t.Errorf("go.mod does not have %q:\n%s", line, mod)
		}
	}

	if _, err := Make(before, Target{}); !errors.Is(err, errNoRelease) {
		t.Errorf("without a release and a clone: %v", err)
	}
	if _, err := Make(fstest.MapFS{"main.go": before["main.go"]}, Target{Version: "v1.2.3"}); !errors.Is(err, errNoModule) {
		t.Errorf("without a module: %v", err)
	}
	_, err = Make(fstest.MapFS{"go.mod": {Data: []byte("modul x\n")}}, Target{Version: "v1.2.3"})
	if err == nil || err.Error() != "cannot read go.mod:1: unknown directive: modul" {
		t.Errorf("with a broken go.mod: %v", err)
	}
}

// TestWrite: files keep their modes, and those that go are gone.
func TestWrite(t *testing.T) {
	dir := t.TempDir()
	before, _ := example(t)
	for name, f := range before {
		at := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(at), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(at, f.Data, 0o640); err != nil {
			t.Fatal(err)
		}
	}
	p, err := Make(os.DirFS(dir), Target{Version: "v1.2.3", All: true})
	if err != nil {
		t.Fatal(err)
	}
	if err := p.write(dir); err != nil {
		t.Fatal(err)
	}

	for name, f := range after(before, p) {
		at := filepath.Join(dir, name)
		text, err := os.ReadFile(at)
		if err != nil || string(text) != string(f.Data) {
			t.Errorf("%s is %q, %v", name, text, err)
		}
		if info, err := os.Stat(at); err != nil || info.Mode() != 0o640 {
			t.Errorf("%s: %v, %v", name, info.Mode(), err)
		}
	}
	if _, err := os.Stat(filepath.Join(dir, "weaver_gen.go")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("weaver_gen.go: %v", err)
	}
}
