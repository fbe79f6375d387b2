package cli_test

import (
	"context"
	"errors"
	"flag"
	"io"
	"net"
	"net/http"
	"net/http/cookiejar"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/divisi-go/divisi/cmd/divisi/cli"
	"github.com/divisi-go/divisi/internal/keeper/door"
	"github.com/divisi-go/divisi/lab"
	"github.com/divisi-go/divisi/system"
)

func TestMain(m *testing.M) {
	lab.Enter()
	door.Enter()
	testscript.Main(m, map[string]func(){
		"divisi": func() { os.Exit(cli.Main(os.Args[1:], os.Stdin, os.Stdout, os.Stderr)) },
		"orderd": func() {
			flag.CommandLine = flag.NewFlagSet("orderd", flag.ExitOnError) // without the flags of tests
			system.Run("orderd", orderd)
		},
	})
}

// orderd is a program with a server that is called as it is, one in a scope, a question, a value and a verb.
func orderd(ctx context.Context, n *system.Nursery, h *system.Host) error {
	server := system.Spec{Name: "orderd", Program: "sh", Args: []any{"-c", "echo up; exec sleep 1000"}, Ready: "log:up"}
	if _, err := h.Ensure(ctx, n, server); err != nil {
		return err
	}
	_, err := system.Start(ctx, n, system.Scope{Name: "eu"}, func(ctx context.Context, n *system.Nursery) (*system.Proc, error) {
		server.Name = "positiond"
		return h.Ensure(ctx, n, server)
	})
	if err != nil {
		return err
	}
	if _, err := system.Tune(n, "limit", 1000, nil); err != nil {
		return err
	}
	if err := n.Verb("add", func(a, b int) int { return a + b }, "A", "B"); err != nil {
		return err
	}
	if err := n.Verb("fail", func() { panic("no reason") }); err != nil {
		return err
	}
	return n.Go("asks", func(ctx context.Context) error {
		_, err := system.Ask(ctx, n, system.Question[int]{Key: "port", Text: "which \x1b[31mport?", Default: 80})
		return err
	})
}

// TestScripts is about what the command says where no application runs.
func TestScripts(t *testing.T) {
	root, err := filepath.Abs("../../..")
	if err != nil {
		t.Fatal(err)
	}
	hello := filepath.Join(t.TempDir(), "hello")
	build := exec.Command("go", "build", "-o", hello, "./examples/hello")
	build.Dir = root
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("cannot build hello: %v\n%s", err, out)
	}
	goEnv, err := exec.Command("go", "env", "GOCACHE", "GOMODCACHE").Output()
	if err != nil {
		t.Fatal(err)
	}
	caches := strings.Fields(string(goEnv))
	testscript.Run(t, testscript.Params{
		Dir: "testdata/script",
		Setup: func(env *testscript.Env) error {
			// The paths of sockets are bounded.
			sockets, err := os.MkdirTemp("/tmp", "divisi-test")
			if err != nil {
				return err
			}
			env.Defer(func() { os.RemoveAll(sockets) })
			env.Setenv("XDG_RUNTIME_DIR", sockets)
			env.Setenv("DIVISI_HOME", filepath.Join(env.WorkDir, ".home"))
			env.Setenv("HELLO", hello)
			env.Setenv("REPO", root)
			env.Setenv("TEMP", os.TempDir())                             // where the command itself is
			env.Setenv("BIN", filepath.SplitList(env.Getenv("PATH"))[0]) // only divisi is there
			env.Setenv("GOCACHE", caches[0])
			env.Setenv("GOMODCACHE", caches[1])
			env.Setenv("GOPROXY", "off")
			env.Setenv("GOTOOLCHAIN", "local")
			env.Setenv("CGO_ENABLED", "0")
			env.Setenv("GORACE", "atexit_sleep_ms=10") // else a second for each command
			for script, args := range map[string][]string{"lab": {"lab", "down"}, "program": {"stop", "--all", "--yes"}} {
				if strings.HasSuffix(env.WorkDir, "-"+script) { // which ends it itself, unless it fails
					env.Defer(func() {
						end := exec.Command(filepath.Join(env.Getenv("BIN"), "divisi"), args...)
						end.Env = env.Vars
						_ = end.Run()
					})
				}
			}
			return nil
		},
		Condition: func(condition string) (bool, error) {
			device, known := map[string]string{"fuse": "/dev/fuse", "tun": "/dev/net/tun"}[condition]
			if !known {
				return false, errors.New("fuse and tun are the only conditions")
			}
			f, err := os.OpenFile(device, os.O_RDWR, 0)
			f.Close()
			return err == nil || os.Getenv("CI") == "true", nil
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"code": code, "taken": taken, "expand": expand, "seen": seen, "page": page,
		},
	})
}

// code CODE COMMAND... runs a command that ends with an exit code.
func code(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: code CODE COMMAND...")
	}
	want, err := strconv.Atoi(args[0])
	ts.Check(err)
	err = ts.Exec(args[1], args[2:]...)
	got := 0
	if exit := (*exec.ExitError)(nil); errors.As(err, &exit) {
		got = exit.ExitCode()
	} else if err != nil {
		ts.Fatalf("%v", err)
	}
	if got != want {
		ts.Fatalf("exit code %d, want %d", got, want)
	}
}

// taken VARIABLE sets a variable to an address at which something listens already.
func taken(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: taken VARIABLE")
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	ts.Check(err)
	ts.Defer(func() { l.Close() })
	ts.Setenv(args[0], l.Addr().String())
}

// expand FILE replaces variables in a file.
func expand(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: expand FILE")
	}
	text := os.Expand(ts.ReadFile(args[0]), ts.Getenv)
	ts.Check(os.WriteFile(ts.MkAbs(args[0]), []byte(text), 0o600))
}

// seen FILE TEXT opens the page whose address is in a file, once there is one, and finds a text in it.
func seen(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: seen FILE TEXT")
	}
	address := regexp.MustCompile(`http://[^"\s]+`)
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	var url string
	for range 600 {
		text, err := os.ReadFile(ts.MkAbs(args[0]))
		if url = address.FindString(string(text)); err == nil && strings.HasSuffix(string(text), "\n") && url != "" {
			break
		}
		<-tick.C
	}

	jar, err := cookiejar.New(nil)
	ts.Check(err)
	response, err := (&http.Client{Jar: jar}).Get(url)
	ts.Check(err)
	defer response.Body.Close()
	page, err := io.ReadAll(response.Body)
	ts.Check(err)
	if !strings.Contains(string(page), args[1]) {
		ts.Fatalf("%s does not have %q:\n%s", url, args[1], page)
	}
}

// page FILE runs the commands of a page, which are the lines that begin with "$ ".
func page(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: page FILE")
	}
	script := ""
	for line := range strings.Lines(ts.ReadFile(args[0])) {
		if command, ok := strings.CutPrefix(line, "$ "); ok {
			script += command
		}
	}
	if script == "" {
		ts.Fatalf("%s has no commands", args[0])
	}
	ts.Check(ts.Exec("sh", "-exc", script))
}
