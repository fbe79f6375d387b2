package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

const source = `package main

import (
	"context"
	"fmt"

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
	err := divisi.Run(context.Background(), func(ctx context.Context, a *app) error {
		text, err := a.greeter.Get().Greet(ctx, "gopher")
		fmt.Println(text)
		return err
	})
	if err != nil {
		panic(err)
	}
}
`

// stranger makes a module outside of the repository, which requires Divisi and nothing else.
func stranger(t *testing.T) string {
	t.Helper()
	root, err := filepath.Abs("../..")
	if err != nil {
		t.Fatal(err)
	}
	sums, err := os.ReadFile(filepath.Join(root, "go.sum"))
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	for name, text := range map[string]string{
		"main.go": source,
		"go.sum":  string(sums),
		"go.mod": "module example.com/stranger\n\ngo 1.26.0\n\n" +
			"require github.com/divisi-go/divisi v0.0.0\n\n" +
			"replace github.com/divisi-go/divisi => " + filepath.ToSlash(root) + "\n",
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// goCommand runs the go command in a module, without a workspace and a network.
func goCommand(t *testing.T, dir string, args ...string) (string, error) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "go", args...)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "GOWORK=off", "GOFLAGS=-mod=mod", "GOPROXY=off",
		"DIVISI_CONFIG=", "SERVICEWEAVER_CONFIG=")
	out, err := cmd.CombinedOutput()
	return string(out), err
}

// TestTool: a module outside of the repository generates with "go tool", as the package comment
// says, and is a program then.
func TestTool(t *testing.T) {
	dir := stranger(t)
	step := func(want string, args ...string) {
		t.Helper()
		if out, err := goCommand(t, dir, args...); err != nil || !strings.Contains(out, want) {
			t.Fatalf("go %v: %v, want %q in\n%s", args, err, want, out)
		}
	}
	step("", "get", "-tool", "github.com/divisi-go/divisi/cmd/divisigen")
	if mod, err := os.ReadFile(filepath.Join(dir, "go.mod")); err != nil ||
		!strings.Contains(string(mod), "\ntool github.com/divisi-go/divisi/cmd/divisigen\n") {
		t.Errorf("go.mod has no line for the tool: %v\n%s", err, mod)
	}
	if out, err := goCommand(t, dir, "tool", "divisigen", "-check", "."); err == nil ||
		!strings.Contains(out, "divisi_gen.go") {
		t.Errorf("-check without generated code: %v\n%s", err, out)
	}
	step("wrote ", "tool", "divisigen", ".")
	step("", "tool", "divisigen", "-check", ".")
	step("", "vet", ".")
	step("Hello, gopher\n", "run", ".")
	if out, err := goCommand(t, dir, "tool", "divisigen", "./nowhere"); err == nil ||
		!strings.Contains(out, "nowhere") {
		t.Errorf("a folder that is not there: %v\n%s", err, out)
	}
}
