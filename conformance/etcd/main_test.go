// Package etcd compares the store with etcd: its own clients talk with it, its own server opens its folders, and
// both give the same answers.
package etcd

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/spf13/cobra"
	"go.etcd.io/etcd/etcdctl/v3/ctlv3"
	"go.etcd.io/etcd/etcdutl/v3/etcdutl"
	"go.etcd.io/etcd/server/v3/etcdmain"

	"github.com/divisi-go/divisi/lab"
)

// binaries is a folder with this program by the names of etcd's, as which it is those, and with the store.
var binaries string

func TestMain(m *testing.M) {
	lab.Enter()
	switch filepath.Base(os.Args[0]) {
	case "etcdctl":
		ctlv3.MustStart()
	case "etcdutl":
		os.Exit(utility())
	case "etcd":
		etcdmain.Main(os.Args)
	default:
		os.Exit(withBinaries(m))
	}
}

// utility is etcdutl, whose parts are a package, and whose whole is none.
func utility() int {
	root := &cobra.Command{Use: "etcdutl", SilenceUsage: true}
	root.PersistentFlags().StringVarP(&etcdutl.OutputFormat, "write-out", "w", "simple", "")
	root.AddCommand(etcdutl.NewDefragCommand(), etcdutl.NewSnapshotCommand(), etcdutl.NewHashKVCommand(), etcdutl.NewMigrateCommand())
	if root.Execute() != nil {
		return 1
	}
	return 0
}

func withBinaries(m *testing.M) int {
	dir, err := os.MkdirTemp("", "etcd")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(dir)
	self, err := os.Executable()
	for _, name := range []string{"etcdctl", "etcdutl", "etcd"} {
		err = errors.Join(err, os.Symlink(self, filepath.Join(dir, name)))
	}
	build := exec.Command("go", "build", "-o", filepath.Join(dir, "divisi-store"), "github.com/divisi-go/divisi/store/cmd/divisi-store")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	said, failed := build.CombinedOutput()
	if err = errors.Join(err, failed); err != nil {
		fmt.Fprintf(os.Stderr, "%v\n%s", err, said)
		return 1
	}
	binaries = dir
	return m.Run()
}

// program is one that serves.
type program struct {
	cmd   *exec.Cmd
	url   string
	log   string      // the file of its standard error
	lines chan string // of its standard output
}

// serve starts the store in a folder, and returns when it is ready.
func serve(t *testing.T, dir string, flags ...string) *program {
	t.Helper()
	cmd := exec.Command(filepath.Join(binaries, "divisi-store"), append([]string{"serve", "--data", dir, "--listen", "127.0.0.1:0"}, flags...)...)
	return started(t, cmd, announced)
}

// announced is how the store begins the line that says that it serves.
const announced = "ready to serve client requests at "

// started starts a program, and returns when it says that it is ready, and where.
func started(t *testing.T, cmd *exec.Cmd, ready string) *program {
	t.Helper()
	p := launched(t, cmd)
	if err := p.serves(ready); err != nil {
		t.Fatal(err)
	}
	return p
}

// serves returns when a program says that it is ready, and fails when it ends before.
func (p *program) serves(ready string) error {
	for line := range p.lines {
		if _, url, found := strings.Cut(line, ready); found {
			p.url = url
			return nil
		}
	}
	return fmt.Errorf("%s has ended before it was ready:\n%s", p.cmd.Path, p.said())
}

// launched starts a program.
func launched(t *testing.T, cmd *exec.Cmd) *program {
	t.Helper()
	if cmd.SysProcAttr == nil {
		cmd.SysProcAttr = &syscall.SysProcAttr{}
	}
	cmd.SysProcAttr.Pdeathsig = syscall.SIGKILL
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	log, err := os.CreateTemp(t.TempDir(), "log")
	if err != nil {
		t.Fatal(err)
	}
	cmd.Stderr = log
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	p := &program{cmd: cmd, log: log.Name(), lines: make(chan string, 10)}
	go func() {
		defer close(p.lines)
		for lines := bufio.NewScanner(out); lines.Scan(); {
			p.lines <- lines.Text()
		}
	}()
	t.Cleanup(func() { _ = p.end(syscall.SIGKILL) })
	return p
}

// said returns what a program has said about errors.
func (p *program) said() string {
	text, _ := os.ReadFile(p.log)
	return string(text)
}

// end ends a program by a signal.
func (p *program) end(by os.Signal) error {
	_ = p.cmd.Process.Signal(by)
	return p.cmd.Wait()
}

// tool runs one of etcd's, and returns what it prints. What it wants to know of the environment it is not told.
func (p *program) tool(t *testing.T, arguments ...string) string {
	t.Helper()
	out, err := p.try(t, arguments...)
	if err != nil {
		t.Fatalf("etcdctl %s: %v\n%s", strings.Join(arguments, " "), err, out)
	}
	return out
}

func (p *program) try(t *testing.T, arguments ...string) (string, error) {
	t.Helper()
	return run(t, "etcdctl", append([]string{"--endpoints", p.url, "--command-timeout", "60s"}, arguments...)...)
}

func run(t *testing.T, name string, arguments ...string) (string, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, filepath.Join(binaries, name), arguments...)
	cmd.Env = []string{"PATH=" + os.Getenv("PATH")}
	out, err := cmd.CombinedOutput()
	return string(out), err
}
