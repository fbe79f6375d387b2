package e2e

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"
)

// programs is the folder of what several tests run, each built when the first one needs it.
var programs string

// withPrograms are tests that share what they build.
type withPrograms struct{ *testing.M }

func (m withPrograms) Run() int {
	var err error
	if programs, err = os.MkdirTemp("", "e2e"); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(programs)
	return m.M.Run()
}

var (
	buildHello  = builder("hello", "../examples/hello")
	buildWeb    = builder("web", "../examples/web")
	buildDivisi = builder("divisi", "../cmd/divisi")
)

// builder returns a function that returns the path of a program.
func builder(name, dir string) func(*testing.T) string {
	build := sync.OnceValues(func() (string, error) {
		file := filepath.Join(programs, name)
		cmd := exec.Command("go", "build", "-o", file, dir)
		cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
		if printed, err := cmd.CombinedOutput(); err != nil {
			return "", fmt.Errorf("cannot build %s: %w\n%s", dir, err, printed)
		}
		return file, nil
	})
	return func(t *testing.T) string {
		t.Helper()
		file, err := build()
		if err != nil {
			t.Fatal(err)
		}
		return file
	}
}

// front is the command divisi of the tests. What lives long, and the keepers that it starts, is this test's
// binary, which the race detector may watch. That makes a start four times as dear, so what only asks or
// generates code is the command as it is built for users.
const front = `#!/bin/sh
case $1 in
run | attach | start | keeper) exec '%s' "$@" ;;
*) exec '%s' "$@" ;;
esac
`

var writeFront = sync.OnceValues(func() (string, error) {
	watched, err := exec.LookPath("divisi") // a link to this binary
	if err != nil {
		return "", err
	}
	file := filepath.Join(programs, "bin", "divisi")
	if err := os.Mkdir(filepath.Dir(file), 0o755); err != nil {
		return "", err
	}
	return file, os.WriteFile(file, fmt.Appendf(nil, front, watched, filepath.Join(programs, "divisi")), 0o755)
})

// command returns the path of the command divisi of the tests.
func command(t *testing.T) string {
	t.Helper()
	buildDivisi(t)
	file, err := writeFront()
	if err != nil {
		t.Fatal(err)
	}
	return file
}
