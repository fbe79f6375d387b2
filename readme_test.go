package divisi_test

import (
	"bufio"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
	"testing"
	"time"
)

// run runs a command in a folder, with the module of that folder and no other, and returns its
// output.
func run(t *testing.T, dir string, args ...string) string {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), args[0], args[1:]...)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "GOWORK=off", "GOFLAGS=-mod=mod", "GOPROXY=off")
	var stderr strings.Builder
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%v: %v\n%s%s", args, err, out, stderr.String())
	}
	return string(out)
}

// exe is what the name of a program ends with.
func exe() string {
	if runtime.GOOS == "windows" {
		return ".exe"
	}
	return ""
}

// TestREADME makes a program of the README's Go code, as a reader would, and runs it.
func TestREADME(t *testing.T) {
	readme, err := os.ReadFile("README.md")
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(readme), "```go\n")
	source, _, ok := strings.Cut(rest, "```\n")
	if !ok || !strings.Contains(source, "package main") {
		t.Fatal("README.md has no Go program")
	}
	repository, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	sums, err := os.ReadFile("go.sum")
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	for name, text := range map[string]string{
		"main.go": source,
		"go.sum":  string(sums),
		"go.mod": "module example.com/greeter\n\ngo 1.26.0\n\n" +
			"require github.com/divisi-go/divisi v0.0.0\n\n" +
			"replace github.com/divisi-go/divisi => " + filepath.ToSlash(repository) + "\n",
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	generate := filepath.Join(t.TempDir(), "divisigen"+exe())
	run(t, repository, "go", "build", "-o", generate, "./cmd/divisigen")
	run(t, dir, generate, "./...")
	program := filepath.Join(t.TempDir(), "greeter"+exe())
	run(t, dir, "go", "build", "-o", program, ".")
	run(t, dir, "go", "vet", ".")

	cmd := exec.CommandContext(t.Context(), program)
	cmd.Env = append(os.Environ(), "DIVISI_CONFIG=", "SERVICEWEAVER_CONFIG=")
	stderr, err := cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewScanner(stderr)
	defer func() {
		cmd.Process.Kill()
		cmd.Wait()
	}()
	url := ""
	for url == "" && lines.Scan() {
		if found := regexp.MustCompile(`url=(\S+)`).FindStringSubmatch(lines.Text()); found != nil {
			url = found[1]
		}
	}
	if url == "" {
		t.Fatalf("the program says no address: %v", lines.Err())
	}
	client := http.Client{Timeout: 30 * time.Second}
	resp, err := client.Get(url + "/?name=gopher")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if body, err := io.ReadAll(resp.Body); err != nil || string(body) != "Hello, gopher\n" {
		t.Errorf("%q, %v", body, err)
	}
}
