package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// The most that the smallest application may weigh. What grows here grows in every application.
const (
	maxBytes    = 12_000_000 // as the go command builds it, where there is a C compiler
	cgoBytes    = 75_000     // of these, for what it adds then
	maxPackages = 230
	maxModules  = 3
)

func TestWeight(t *testing.T) {
	goTool := func(args ...string) string {
		cmd := exec.CommandContext(t.Context(), "go", args...)
		cmd.Env = append(os.Environ(), "GOWORK=off", "GOFLAGS=", "CGO_ENABLED=0")
		out, err := cmd.Output()
		if err != nil {
			t.Fatalf("go %v: %v", args, err)
		}
		return strings.TrimSpace(string(out))
	}
	if packages := strings.Fields(goTool("list", "-deps", ".")); len(packages) > maxPackages {
		t.Errorf("%d packages, at most %d", len(packages), maxPackages)
	}
	modules := map[string]bool{}
	for _, module := range strings.Fields(goTool("list", "-deps", "-f", "{{with .Module}}{{.Path}}{{end}}", ".")) {
		modules[module] = true
	}
	if len(modules) > maxModules {
		t.Errorf("%d modules, at most %d: %v", len(modules), maxModules, modules)
	}
	if goTool("env", "GOOS")+" "+goTool("env", "GOARCH") != "linux amd64" {
		return // machine code differs in size
	}
	program := filepath.Join(t.TempDir(), "hello")
	goTool("build", "-o", program, ".")
	info, err := os.Stat(program)
	if err != nil {
		t.Fatal(err)
	}
	if most := int64(maxBytes - cgoBytes); info.Size() > most {
		t.Errorf("%d bytes without cgo, at most %d", info.Size(), most)
	}
	t.Logf("%d bytes", info.Size())
}
