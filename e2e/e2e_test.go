// Package e2e tests the command divisi as its users see it: real programs, real processes.
package e2e

import (
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/divisi-go/divisi/cmd/divisi/cli"
	"github.com/divisi-go/divisi/cmd/divisi/pid1"
	"github.com/divisi-go/divisi/internal/control"
	"github.com/divisi-go/divisi/internal/keeper/door"
)

func TestMain(m *testing.M) {
	door.Enter()
	// Scripts wait more than they compute. The command line still has the last word.
	if err := flag.Set("test.parallel", strconv.Itoa(2*runtime.GOMAXPROCS(0))); err != nil {
		panic(err)
	}
	testscript.Main(withPrograms{m}, map[string]func(){
		"divisi": func() {
			code, first := pid1.Supervise(os.Stderr)
			if !first {
				code = cli.Main(os.Args[1:], os.Stdin, os.Stdout, os.Stderr)
			}
			os.Exit(code)
		},
		"late":  late,
		"web":   web,
		"found": found,
	})
}

// patience bounds every wait for a condition.
const patience = 45 * time.Second

func TestScripts(t *testing.T) {
	t.Parallel()
	testscript.Run(t, params(t, "testdata"))
}

// params returns how the scripts in a folder run.
func params(t *testing.T, dir string) testscript.Params {
	root, err := filepath.Abs("..")
	if err != nil {
		t.Fatal(err)
	}
	hello, web, plain, divisi := buildHello(t), buildWeb(t), buildDivisi(t), command(t)
	var goEnv struct{ GOCACHE, GOMODCACHE, GOPROXY, GOFLAGS string }
	printed, err := exec.Command("go", "env", "-json").Output()
	if err == nil {
		err = json.Unmarshal(printed, &goEnv)
	}
	if err != nil {
		t.Fatal(err)
	}

	return testscript.Params{
		Dir:                 dir,
		RequireExplicitExec: true,
		Setup: func(env *testscript.Env) error {
			// The paths of sockets are short.
			sockets, err := os.MkdirTemp("", "e2e")
			if err != nil {
				return err
			}
			env.Defer(func() { os.RemoveAll(sockets) })
			env.Defer(func() { endKeeper(t, plain, env) }) // before its sockets go
			env.Setenv("PATH", filepath.Dir(divisi)+string(filepath.ListSeparator)+env.Getenv("PATH"))
			env.Values["divisi"] = divisi
			env.Values["load"] = &requests{stop: make(chan struct{}), done: make(chan struct{})}
			env.Vars = append(env.Vars, "ROOT="+root, "HELLO="+hello, "WEB="+web, "DIVISI="+plain,
				"DIVISI_HOME="+filepath.Join(env.WorkDir, "home"), "XDG_RUNTIME_DIR="+sockets,
				"GOCACHE="+goEnv.GOCACHE, "GOMODCACHE="+goEnv.GOMODCACHE, "GOPROXY="+goEnv.GOPROXY,
				"GOFLAGS="+goEnv.GOFLAGS, "CGO_ENABLED=0", "GOTOOLCHAIN=local",
				"GORACE=atexit_sleep_ms=10") // else a second for each command
			env.Values["vars"] = env.Vars
			return nil
		},
		Condition: func(condition string) (bool, error) {
			if condition == "root" {
				return os.Getuid() == 0, nil
			}
			if condition != "namespaces" {
				return false, fmt.Errorf("unknown condition %q", condition)
			}
			err := exec.Command("unshare", "--pid", "--fork", "--mount-proc", "true").Run()
			if err != nil && os.Getenv("CI") == "true" {
				return false, fmt.Errorf("no namespaces of processes can be made: %w", err)
			}
			return err == nil, nil
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"code": code, "until": until, "vanishes": vanishes, "field": field, "listener": listener, "get": get,
			"version": version, "load": load, "replace": replace, "shows": shows, "gone": gone,
			"fails": fails, "burst": burst, "pause": pause, "parent": parent, "controller": controller, "keeper": keeper, "zombies": zombies, "child": child,
			"member": member, "shared": shared, "killed": killed, "replaced": replaced, "resolves": resolves,
		},
	}
}

// poll repeats a question until the answer is yes, more and more slowly: most questions start a process.
func poll(ts *testscript.TestScript, what string, ask func() bool) {
	pause := 20 * time.Millisecond
	for end := time.Now().Add(patience); !ask(); pause = min(pause*5/4, 400*time.Millisecond) {
		if time.Now().After(end) {
			ts.Fatalf("not within %v: %s", patience, what)
		}
		<-time.After(pause)
	}
}

// code N PROGRAM ARGS...: the program ends with an exit code.
func code(ts *testscript.TestScript, _ bool, args []string) {
	want, err := strconv.Atoi(args[0])
	ts.Check(err)
	got := 0
	if err := ts.Exec(args[1], args[2:]...); err != nil {
		var exit *exec.ExitError
		if !errors.As(err, &exit) {
			ts.Fatalf("%v", err)
		}
		got = exit.ExitCode()
	}
	if got != want {
		ts.Fatalf("exit code %d, want %d", got, want)
	}
}

// ask returns the output of divisi, without a line in the log of the script each time.
func ask(ts *testscript.TestScript, args ...string) []byte {
	cmd := exec.Command(ts.Value("divisi").(string), args...)
	cmd.Env = ts.Value("vars").([]string)
	cmd.Dir = ts.MkAbs(".")
	printed, _ := cmd.Output() // its exit code is not the question
	return printed
}

// until PATTERN ARGS...: repeats divisi until its output has the pattern, whatever its
// exit code.
func until(ts *testscript.TestScript, neg bool, args []string) {
	pattern, err := regexp.Compile("(?s)" + args[0])
	ts.Check(err)
	var last []byte
	defer func() { ts.Logf("%s", last) }()
	poll(ts, fmt.Sprint(args), func() bool {
		last = ask(ts, args[1:]...)
		return pattern.Match(last) != neg
	})
}

// vanishes FILE: waits until it is not there any more.
func vanishes(ts *testscript.TestScript, _ bool, args []string) {
	poll(ts, args[0]+" is gone", func() bool {
		_, err := os.Lstat(ts.MkAbs(args[0]))
		return errors.Is(err, fs.ErrNotExist)
	})
}

// status returns the status of an application; it fails the question, not the script, if there
// is none yet.
func status(ts *testscript.TestScript, app string) (s control.Status, ok bool) {
	err := json.Unmarshal(ask(ts, "status", app, "-o", "json"), &s)
	return s, err == nil
}

// field VAR APP REPLICA pid|restarts|state: puts it into a variable.
func field(ts *testscript.TestScript, _ bool, args []string) {
	poll(ts, "a replica "+args[2], func() bool {
		s, ok := status(ts, args[1])
		for _, r := range s.Replicas {
			if ok && r.Name == args[2] && (args[3] != "pid" || r.Pid != 0) {
				values := map[string]string{
					"pid": strconv.Itoa(r.Pid), "restarts": strconv.Itoa(r.Restarts), "state": r.State,
				}
				ts.Setenv(args[0], values[args[3]])
				return true
			}
		}
		return false
	})
}

// version VAR APP: waits until all replicas are ready and of one version, other than the one that the
// variable has, and puts it there.
func version(ts *testscript.TestScript, _ bool, args []string) {
	before := ts.Getenv(args[0])
	poll(ts, "another version of "+args[1], func() bool {
		s, ok := status(ts, args[1])
		if !ok || s.Version == before || len(s.Replicas) == 0 {
			return false
		}
		for _, r := range s.Replicas {
			if r.Version != s.Version || r.State != "ready" {
				return false
			}
		}
		ts.Setenv(args[0], s.Version)
		return true
	})
}

// listener VAR APP: puts the address of its first listener into a variable, once all of it is
// ready.
func listener(ts *testscript.TestScript, _ bool, args []string) {
	poll(ts, "listeners of "+args[1], func() bool {
		s, ok := status(ts, args[1])
		if !ok || s.State != "running" || len(s.Listeners) == 0 {
			return false
		}
		ts.Setenv(args[0], s.Listeners[0].URL)
		return true
	})
}

// fetch returns the body of a page that answers with success.
func fetch(url string) (string, error) {
	client := &http.Client{Timeout: 10 * time.Second, Transport: &http.Transport{DisableKeepAlives: true}}
	response, err := client.Get(url)
	if err != nil {
		return "", err
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err == nil && response.StatusCode != http.StatusOK {
		err = fmt.Errorf("status %d: %s", response.StatusCode, body)
	}
	return string(body), err
}

// get PATTERN URL: asks until the page has the pattern.
func get(ts *testscript.TestScript, _ bool, args []string) {
	pattern, err := regexp.Compile(args[0])
	ts.Check(err)
	poll(ts, fmt.Sprint(args), func() bool {
		body, err := fetch(args[1])
		return err == nil && pattern.MatchString(body)
	})
}

// shows FILE PATTERN: waits until a file has the pattern, such as what a program in the background
// prints.
func shows(ts *testscript.TestScript, _ bool, args []string) {
	pattern, err := regexp.Compile(args[1])
	ts.Check(err)
	var text []byte
	defer func() { ts.Logf("%s", text) }()
	poll(ts, fmt.Sprint(args), func() bool {
		text, _ = os.ReadFile(ts.MkAbs(args[0]))
		return pattern.Match(text)
	})
}

// gone PID: waits until no process has that number.
func gone(ts *testscript.TestScript, _ bool, args []string) {
	pid, err := strconv.Atoi(args[0])
	ts.Check(err)
	poll(ts, fmt.Sprint("the end of ", pid), func() bool { return syscall.Kill(pid, 0) == syscall.ESRCH })
}

// replace FILE OLD NEW: replaces a text in a file.
func replace(ts *testscript.TestScript, _ bool, args []string) {
	text := strings.ReplaceAll(ts.ReadFile(args[0]), args[1], args[2])
	ts.Check(os.WriteFile(ts.MkAbs(args[0]), []byte(text), 0o600))
}

// requests are those that load makes.
type requests struct {
	stop, done chan struct{}
	made       atomic.Int64
	failed     atomic.Pointer[error]
}

// load start URL asks for a page again and again; load end says whether every answer was a success.
func load(ts *testscript.TestScript, _ bool, args []string) {
	r := ts.Value("load").(*requests)
	if args[0] == "end" {
		close(r.stop)
		<-r.done
		if err := r.failed.Load(); err != nil {
			ts.Fatalf("after %d requests, one failed: %v", r.made.Load(), *err)
		}
		return
	}
	url := args[1]
	go func() {
		defer close(r.done)
		for r.failed.Load() == nil {
			select {
			case <-r.stop:
				return
			default:
			}
			if _, err := fetch(url); err != nil {
				r.failed.Store(&err)
			}
			r.made.Add(1)
			<-time.After(5 * time.Millisecond) // it is a load, and not a test of this machine's strength
		}
	}()
	ts.Defer(func() {
		select {
		case <-r.stop:
		default:
			close(r.stop)
		}
		<-r.done
	})
	poll(ts, "requests", func() bool { return r.made.Load() > 3 || r.failed.Load() != nil })
}

// fails URL: asks once; the answer is an error of the server.
func fails(ts *testscript.TestScript, _ bool, args []string) {
	body, err := fetch(args[0])
	if err == nil {
		ts.Fatalf("GET %s succeeds: %s", args[0], body)
	}
}

// burst N URL: asks N times at the same time; every answer is a success.
func burst(ts *testscript.TestScript, _ bool, args []string) {
	n, err := strconv.Atoi(args[0])
	ts.Check(err)
	client := &http.Client{Timeout: 5 * time.Minute}
	answers := make(chan error, n)
	for range n {
		go func() {
			response, err := client.Get(args[1])
			if err == nil {
				var body []byte
				body, err = io.ReadAll(response.Body)
				response.Body.Close()
				if err == nil && response.StatusCode != http.StatusOK {
					err = fmt.Errorf("%s: %s", response.Status, body)
				}
			}
			answers <- err
		}()
	}
	failed := 0
	for range n {
		err := <-answers
		if err != nil {
			if failed < 3 {
				ts.Logf("%v", err)
			}
			failed++
		}
	}
	if failed > 0 {
		ts.Fatalf("%d of %d requests failed", failed, n)
	}
}

// pause PID TIME: a process stands still for a time.
func pause(ts *testscript.TestScript, _ bool, args []string) {
	pid, err := strconv.Atoi(args[0])
	ts.Check(err)
	length, err := time.ParseDuration(args[1])
	ts.Check(err)
	ts.Check(syscall.Kill(pid, syscall.SIGSTOP))
	<-time.After(length)
	ts.Check(syscall.Kill(pid, syscall.SIGCONT))
}

// keeper VAR [PID]: puts the number of the keeper's process into a variable, once there is one, and
// another one than that.
func keeper(ts *testscript.TestScript, _ bool, args []string) {
	poll(ts, "a keeper", func() bool {
		text, err := os.ReadFile(filepath.Join(ts.Getenv("DIVISI_HOME"), "keeper", "lock"))
		pid := strings.TrimSpace(string(text))
		ts.Setenv(args[0], pid)
		number, _ := strconv.Atoi(pid)
		return err == nil && number > 0 && !slices.Contains(args[1:], pid) && syscall.Kill(number, 0) == nil
	})
}

// controller VAR APP: puts the number of the process that decides about an application into a variable.
func controller(ts *testscript.TestScript, _ bool, args []string) {
	poll(ts, "status of "+args[1], func() bool {
		s, ok := status(ts, args[1])
		ts.Setenv(args[0], strconv.Itoa(s.Controller.Pid))
		return ok
	})
}

// parent VAR PID: puts the number of a process's parent into a variable.
func parent(ts *testscript.TestScript, _ bool, args []string) {
	status, err := os.ReadFile("/proc/" + args[1] + "/status")
	ts.Check(err)
	match := regexp.MustCompile(`PPid:\s+(\d+)`).FindSubmatch(status)
	ts.Setenv(args[0], string(match[1]))
}

// zombies PID: waits until none of its children is dead and not waited for.
func zombies(ts *testscript.TestScript, _ bool, args []string) {
	poll(ts, "no zombies of "+args[0], func() bool {
		states, _ := exec.Command("ps", "-o", "stat=", "--ppid", args[0]).Output()
		return len(states) > 0 && !strings.Contains(string(states), "Z")
	})
}

// child VAR FILE: puts the number of the child of the process whose number is in a file into a
// variable, once it has one.
func child(ts *testscript.TestScript, _ bool, args []string) {
	pid := strings.TrimSpace(ts.ReadFile(args[1]))
	poll(ts, "a child of "+pid, func() bool {
		children, _ := exec.Command("ps", "-o", "pid=", "--ppid", pid).Output()
		ts.Setenv(args[0], strings.TrimSpace(string(children)))
		return len(children) > 0
	})
}

// member VAR NAME pid|restarts|state|address|program: puts what is known of a server into a variable.
func member(ts *testscript.TestScript, _ bool, args []string) {
	poll(ts, args[2]+" of "+args[1], func() bool {
		var s struct {
			Pid, Restarts  int
			State, Program string
			Listeners      []struct{ Address string }
		}
		if err := json.Unmarshal(ask(ts, "status", args[1], "-o", "json"), &s); err != nil || s.Pid == 0 {
			return false
		}
		values := map[string]string{
			"pid": strconv.Itoa(s.Pid), "restarts": strconv.Itoa(s.Restarts), "state": s.State, "program": s.Program,
		}
		if len(s.Listeners) > 0 {
			values["address"] = s.Listeners[0].Address
		}
		ts.Setenv(args[0], values[args[2]])
		return values[args[2]] != ""
	})
}

// endKeeper ends what a script has left: a keeper and its servers outlive whoever has started them.
func endKeeper(t *testing.T, divisi string, env *testscript.Env) {
	cmd := exec.Command(divisi, "keeper", "stop", "--yes")
	cmd.Env = env.Vars
	if printed, err := cmd.CombinedOutput(); err != nil && !strings.Contains(string(printed), "no keeper runs") {
		t.Errorf("cannot end the keeper: %v\n%s", err, printed)
	}
}
