package e2e

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"golang.org/x/mod/module"
	"golang.org/x/mod/zip"
)

const (
	released = "v0.1.0"
	modules  = "github.com/divisi-go/divisi"
)

// workplace is a folder in which commands run.
type workplace struct {
	t   *testing.T
	dir string
	env []string
}

// try runs a command and returns what it prints.
func (w workplace) try(args ...string) (string, error) {
	cmd := exec.CommandContext(w.t.Context(), args[0], args[1:]...)
	cmd.Dir = w.dir
	cmd.Env = append(os.Environ(), w.env...)
	printed, err := cmd.CombinedOutput()
	return string(printed), err
}

// run is try for what has to succeed.
func (w workplace) run(args ...string) string {
	w.t.Helper()
	printed, err := w.try(args...)
	if err != nil {
		w.t.Fatalf("%v: %v\n%s", args, err, printed)
	}
	return printed
}

// refuse is try for what has to fail with a message.
func (w workplace) refuse(message string, args ...string) {
	w.t.Helper()
	if printed, err := w.try(args...); err == nil || !strings.Contains(printed, message) {
		w.t.Errorf("%v: %v, %q, want a failure with %q", args, err, printed, message)
	}
}

// write writes a file.
func (w workplace) write(name, text string) {
	w.t.Helper()
	file := filepath.Join(w.dir, name)
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
		w.t.Fatal(err)
	}
	if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
		w.t.Fatal(err)
	}
}

// TestRelease releases a copy of this checkout with scripts/release.sh, and uses the modules of its
// tags as somebody does who has no clone: from a module proxy, which here is a folder.
func TestRelease(t *testing.T) {
	t.Parallel()
	clone := copyOfCheckout(t)
	release := func(version string) []string { return []string{"sh", "scripts/release.sh", version} }

	for _, version := range []string{"0.1.0", "v0.1", "v0.1.0+1", "v01.0.0", "v2.0.0"} {
		clone.refuse(version+" is no version", release(version)...)
	}
	clone.refuse("CHANGELOG.md has no section", release("v0.1.1")...)
	clone.write("stray", "not committed")
	clone.refuse("not committed", release(released)...)
	clone.run("git", "clean", "-fdq")

	said := clone.run(release(released)...)
	t.Log(said)
	clone.refuse("exists already", release(released)...)
	if status := clone.run("git", "status", "--porcelain"); status != "" {
		t.Errorf("the release leaves %s", status)
	}
	commit := clone.run("git", "rev-parse", "HEAD")
	for _, folder := range []string{"", "opentelemetry", "resolver", "lab", "servlet", "ssh", "store", "oci", "cmd/divisi"} {
		if at := clone.run("git", "rev-parse", path.Join(folder, released)+"^{commit}"); at != commit {
			t.Errorf("%s is tagged at %s, and not at the release %s", folder, at, commit)
		}
	}

	use(t, publish(t, clone))
}

// copyOfCheckout returns a repository with one commit of what this checkout would commit, and a
// section for the release in its change log.
func copyOfCheckout(t *testing.T) workplace {
	t.Helper()
	root := workplace{t: t, dir: ".."}
	clone := workplace{t: t, dir: t.TempDir(), env: []string{"GIT_CONFIG_GLOBAL=" + os.DevNull, "GIT_CONFIG_SYSTEM=" + os.DevNull,
		"GIT_AUTHOR_NAME=a", "GIT_AUTHOR_EMAIL=a@example.com", "GIT_COMMITTER_NAME=a", "GIT_COMMITTER_EMAIL=a@example.com"}}
	for name := range strings.SplitSeq(root.run("git", "ls-files", "-z", "-co", "--exclude-standard"), "\x00") {
		text, err := os.ReadFile(filepath.Join(root.dir, name))
		if err != nil {
			continue // It is deleted, and that is not committed yet.
		}
		if name == "CHANGELOG.md" {
			text = append(text, "\n## "+strings.TrimPrefix(released, "v")+"\n"...)
		}
		clone.write(name, string(text))
	}
	clone.run("git", "init", "-q")
	clone.run("git", "add", "-A")
	clone.run("git", "commit", "-q", "-m", "All")
	return clone
}

// publish makes a module proxy of a repository's tags, and returns its folder.
func publish(t *testing.T, clone workplace) string {
	t.Helper()
	proxy := workplace{t: t, dir: t.TempDir()}
	for _, folder := range []string{"", "opentelemetry", "resolver", "lab", "servlet", "ssh", "store", "oci", "cmd/divisi"} {
		m := module.Version{Path: path.Join(modules, folder), Version: released}
		tag := path.Join(folder, released)
		var packed bytes.Buffer
		if err := zip.CreateFromVCS(&packed, m, clone.dir, tag, folder); err != nil {
			t.Fatalf("cannot pack %v: %v", m, err)
		}

		mod := clone.run("git", "show", tag+":"+path.Join(folder, "go.mod"))
		if directive := regexp.MustCompile(`(?m)^(replace|exclude)\b.*`).FindString(mod); directive != "" {
			t.Errorf("the go.mod of %v has %q, which go install refuses", m, directive)
		}
		versions := path.Join(m.Path, "@v")
		proxy.write(path.Join(versions, "list"), released+"\n")
		proxy.write(path.Join(versions, released+".info"), fmt.Sprintf(`{"Version":%q}`, released))
		proxy.write(path.Join(versions, released+".mod"), mod)
		proxy.write(path.Join(versions, released+".zip"), packed.String())
	}
	return proxy.dir
}

// use installs the command and makes an application with the module, both from a proxy. The modules
// of others are those that the go command has already. Nothing gets into its cache, in which
// a version is what it is for ever.
func use(t *testing.T, proxy string) {
	t.Helper()
	outside := workplace{t: t, dir: t.TempDir()}
	env := strings.Split(strings.TrimSuffix(outside.run("go", "env", "GOMODCACHE", "GOPROXY"), "\n"), "\n")
	bin := t.TempDir()
	// With -trimpath, what is compiled for one folder of modules serves another.
	outside.env = []string{"GOPROXY=file://" + proxy + ",file://" + filepath.Join(env[0], "cache", "download") + "," + env[1],
		"GOMODCACHE=" + t.TempDir(), "GOFLAGS=-modcacherw -trimpath -mod=mod", "GOSUMDB=off",
		"GOWORK=off", "GOTOOLCHAIN=local", "CGO_ENABLED=0", "GOBIN=" + bin, "DIVISI_CONFIG="}
	outside.write("go.mod", "module example.com/greeter\n\ngo 1.26.0\n")
	outside.write("main.go", greeter)

	outside.get("get", modules+"@"+released)
	outside.get("install", modules+"/cmd/divisi@"+released)
	divisi := filepath.Join(bin, "divisi")
	if said := outside.run(divisi, "version"); !strings.HasPrefix(said, "divisi "+released+" ") {
		t.Errorf("divisi version says %q, want %s", said, released)
	}
	outside.run(divisi, "generate", ".")
	if said := outside.run("go", "run", "."); !strings.Contains(said, "Hello, gopher\n") {
		t.Errorf("the application says %q", said)
	}
	if mod := outside.run("cat", "go.mod"); !strings.Contains(mod, modules+" "+released+"\n") {
		t.Errorf("the application's go.mod is\n%s", mod)
	}
}

// get is run for a go command that may need the network, for modules of others that it has never
// had. Without one, the test is skipped.
func (w workplace) get(args ...string) {
	w.t.Helper()
	printed, err := w.try(append([]string{"go"}, args...)...)
	if err == nil {
		return
	}
	if regexp.MustCompile(`dial tcp|no such host|i/o timeout|module lookup disabled`).MatchString(printed) {
		w.t.Skipf("the modules of others cannot be had, as no module proxy can be reached:\n%s", printed)
	}
	w.t.Fatalf("go %v: %v\n%s", args, err, printed)
}

const greeter = `package main

import (
	"context"
	"fmt"
	"log"

	"github.com/divisi-go/divisi"
)

type Greeter interface {
	Greet(ctx context.Context, name string) (string, error)
}

type greeter struct{ divisi.Implements[Greeter] }

func (*greeter) Greet(_ context.Context, name string) (string, error) { return "Hello, " + name, nil }

type app struct {
	divisi.Implements[divisi.Main]
	greeter divisi.Ref[Greeter]
}

func main() {
	if err := divisi.Run(context.Background(), func(ctx context.Context, a *app) error {
		text, err := a.greeter.Get().Greet(ctx, "gopher")
		fmt.Println(text)
		return err
	}); err != nil {
		log.Fatal(err)
	}
}
`
