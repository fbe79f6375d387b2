package main

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"
)

// programs is the folder of the binaries that the tests run.
var programs string

func TestMain(m *testing.M) {
	dir, err := os.MkdirTemp("", "rawdeployer")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	programs = dir
	build := exec.Command("go", "build", "-o", dir, "../hello", "../deployer", "./flood")
	build.Stderr = os.Stderr
	if err = build.Run(); err != nil {
		fmt.Fprintln(os.Stderr, "cannot build the examples:", err)
	}
	code := 1
	if err == nil {
		code = m.Run()
	}
	os.RemoveAll(dir)
	os.Exit(code)
}

func application() string { return filepath.Join(programs, "hello") }
func flood() string       { return filepath.Join(programs, "flood") }

func TestRawDeployer(t *testing.T) {
	var out bytes.Buffer
	if err := deploy(application(), &out); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"the weavelet is at tcp://", "reply -42: health 1\n"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("%q lacks %q", out.String(), want)
		}
	}
}

// script returns a command that runs a script.
func script(t *testing.T, args ...string) *exec.Cmd {
	t.Helper()
	interpreter, err := exec.LookPath("python3")
	if err != nil && os.Getenv("CI") == "true" {
		t.Fatal("python3 is needed to show that deployers can be written in other languages:", err)
	}
	if err != nil {
		t.Skip("there is no python3 to run deploy.py with:", err)
	}
	cmd := exec.Command(interpreter, args...)
	cmd.Env = append(os.Environ(), "PYTHONPATH=.", "PYTHONDONTWRITEBYTECODE=1")
	return cmd
}

// python runs a script that deploys a program, and returns what it prints.
func python(t *testing.T, args ...string) string {
	t.Helper()
	var out, errs bytes.Buffer
	cmd := script(t, args...)
	cmd.Stdout, cmd.Stderr = &out, &errs
	if err := cmd.Run(); err != nil {
		t.Fatalf("%v: %v\n%s", args, err, errs.String())
	}
	return out.String()
}

func TestPythonDeployer(t *testing.T) {
	for _, program := range []string{application(), flood()} {
		out := python(t, "deploy.py", program)
		if !strings.HasPrefix(out, "the weavelet is at tcp://") || !strings.HasSuffix(out, "\nreply -42: HEALTHY\n") {
			t.Errorf("%s: it prints %q", filepath.Base(program), out)
		}
	}
}

// TestPythonTakeover: a weavelet outlives the deployer that has started it, and goes on with the next one,
// but not with one that has been succeeded.
func TestPythonTakeover(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("accept.py asks for the other end of a socket as Linux has it")
	}
	path := filepath.Join(t.TempDir(), "deployer.sock")
	first := startScript(t, "accept.py", path, "1", application())
	who := first.says("process ")
	var pid int
	if _, err := fmt.Sscanf(who, "process %d is w1 at tcp://", &pid); err != nil {
		t.Fatalf("the first deployer prints %q: %v", who, err)
	}
	weavelet, err := os.FindProcess(pid)
	if err != nil {
		t.Fatal(err)
	}
	defer weavelet.Kill()
	first.says("it is healthy")
	first.kill()

	second := startScript(t, "accept.py", path, "2")
	if got := second.says("process "); got != who {
		t.Errorf("the second deployer prints %q, and the first %q", got, who)
	}
	second.says("it is healthy")
	second.kill()

	stale := startScript(t, "accept.py", path, "1")
	stale.says("refused: the deployer of epoch 1 has been succeeded: the weavelet has conversed with that of epoch 2")
	stale.kill()
	startScript(t, "accept.py", path, "2").says(who)
}

// running is a script that goes on.
type running struct {
	t     *testing.T
	cmd   *exec.Cmd
	lines *bufio.Scanner
}

func startScript(t *testing.T, args ...string) *running {
	t.Helper()
	cmd := script(t, args...)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	r := &running{t, cmd, bufio.NewScanner(out)}
	t.Cleanup(r.kill)
	return r
}

// says returns the next line that begins with a text.
func (r *running) says(text string) string {
	r.t.Helper()
	overdue := time.AfterFunc(time.Minute, r.kill)
	defer overdue.Stop()
	for r.lines.Scan() {
		if strings.HasPrefix(r.lines.Text(), text) {
			return r.lines.Text()
		}
	}
	r.t.Fatalf("%v does not say %q", r.cmd.Args, text)
	return ""
}

func (r *running) kill() {
	r.cmd.Process.Kill()
	r.cmd.Wait()
}

// TestPythonFlood: a deployer that answers nothing gets its replies in time and once, however much
// the weavelet logs, and also after it has not read for a while. The script says how.
func TestPythonFlood(t *testing.T) {
	t.Log("hello:", python(t, "testdata/flood.py", application(), "0"))
	t.Log("flood:", python(t, "testdata/flood.py", flood(), "5000"))
}

func TestManyRequests(t *testing.T) {
	for _, program := range []string{application(), flood()} {
		t.Run(filepath.Base(program), func(t *testing.T) { manyRequests(t, program) })
	}
}

func manyRequests(t *testing.T, program string) {
	const requests = 1000
	w, err := start(program)
	if err != nil {
		t.Fatal(err)
	}
	defer w.stop()
	if err := w.send(hello()); err != nil {
		t.Fatal(err)
	}
	sent := make(chan error, 1)
	go func() {
		for id := uint64(1); id <= requests; id++ {
			if err := w.send(health(id)); err != nil {
				sent <- err
				return
			}
		}
		sent <- nil
	}()
	answered := map[int64]bool{}
	for len(answered) <= requests {
		if len(answered) == requests {
			// A reply that comes twice comes before that to one more request.
			if err := w.send(health(requests + 1)); err != nil {
				t.Fatal(err)
			}
		}
		m, err := w.receive()
		if err != nil {
			t.Fatalf("after %d replies: %v", len(answered), err)
		}
		reply, ok := m[6]
		if !ok {
			continue
		}
		id := -m[1].number
		if status, err := fields([]byte(reply.text)); err != nil || status[1].number != 1 {
			t.Fatalf("reply %d: %v, %v", id, status, err)
		}
		if answered[id] || id < 1 || id > requests+1 {
			t.Fatalf("request %d is answered twice, or was not made", id)
		}
		answered[id] = true
	}
	if err := <-sent; err != nil {
		t.Error(err)
	}
}

// weavelets returns the processes of the application.
func weavelets(t *testing.T) []string {
	t.Helper()
	links, err := filepath.Glob("/proc/[0-9]*/exe")
	if err != nil {
		t.Fatal(err)
	}
	var list []string
	for _, link := range links {
		if program, err := os.Readlink(link); err == nil && program == application() {
			list = append(list, link)
		}
	}
	return list
}

func TestDeployer(t *testing.T) {
	cmd := exec.Command(filepath.Join(programs, "deployer"), application())
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer cmd.Process.Kill()
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	_, url, ok := strings.Cut(strings.TrimSpace(line), "hello: ")
	if !ok {
		t.Fatalf("the deployer prints %q", line)
	}
	resp, err := http.Get(url + "/?name=Divisi")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if page, err := io.ReadAll(resp.Body); err != nil || string(page) != "Hello, isiviD!\n" {
		t.Errorf("the page is %q, %v", page, err)
	}
	if runtime.GOOS != "linux" {
		return // there is no /proc to find processes in
	}
	if got := weavelets(t); len(got) != 2 {
		t.Errorf("processes %v, want one for each component", got)
	}
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	cmd.Wait()
	poll := time.NewTicker(10 * time.Millisecond)
	defer poll.Stop()
	deadline := time.After(10 * time.Second)
	for len(weavelets(t)) > 0 {
		select {
		case <-poll.C:
		case <-deadline:
			t.Fatalf("weavelets outlive their deployer: %v", weavelets(t))
		}
	}
}
