//go:build linux

// Package hosts tests a program whose hosts are machines where nothing is installed.
package hosts

import (
	"bufio"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/divisi-go/divisi/lab"
	"github.com/divisi-go/divisi/system/systemtest"
)

func TestMain(m *testing.M) {
	lab.Enter()
	systemtest.Main(m, func() {})
}

// patience bounds every wait for a condition.
const patience = time.Minute

var (
	kills = flag.Int("kills", 2, "of the keeper of a host")
	cut   = flag.Duration("cut", 0, "how long the hosts cannot be reached, at least")
)

// hosts is how many a fleet has.
const hosts = 3

// fleet is a program with some hosts.
type fleet struct {
	t   *testing.T
	lab *lab.Lab
	dir string
	env []string

	packed []string // flags with which a build of the program has exampled
}

func newFleet(t *testing.T) *fleet {
	t.Helper()
	name := fmt.Sprintf("fleet-%d", os.Getpid())
	l, err := lab.Stay(t.Context(), lab.Config{Hosts: hosts}, name) // the program finds it by its name
	if errors.As(err, new(*lab.ForbiddenError)) && os.Getenv("CI") != "true" {
		t.Skip(err)
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Down(context.Background()) })
	systemtest.Home(t)
	return &fleet{t: t, lab: l, dir: t.TempDir(), env: append(os.Environ(), "LAB="+name)}
}

// build builds an edition of the program.
func (f *fleet) build(edition string) string {
	f.t.Helper()
	return build(f.t, "./subject", f.dir, edition, f.packed...)
}

// build builds an edition of a program, with more flags, that runs where there are no libraries.
func build(t *testing.T, program, dir, edition string, flags ...string) string {
	t.Helper()
	binary := filepath.Join(dir, "edition-"+edition)
	args := append([]string{"go", "build", "-ldflags", "-s -w -X main.edition=" + edition, "-o", binary}, flags...)
	command(t, dir, append(args, program)...)
	return binary
}

// command runs a command, which finds libraries in a folder.
func command(t *testing.T, libraries string, args ...string) {
	t.Helper()
	cmd := exec.Command(args[0], args[1:]...)
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "LD_LIBRARY_PATH="+libraries)
	if printed, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%q: %v\n%s", args, err, printed)
	}
}

// pack makes exampled and a library of its own, packs them, and has builds use what was written about that.
func (f *fleet) pack() {
	f.t.Helper()
	source := func(name, text string) string {
		f.t.Helper()
		path := filepath.Join(f.dir, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			f.t.Fatal(err)
		}
		return path
	}
	inner := source("greet.c", `const char *greet(void) { return "from its library"; }`)
	command(f.t, f.dir, "cc", "-shared", "-fPIC", "-o", filepath.Join(f.dir, "libgreet.so"), inner)
	outer := source("exampled.c", `#include <stdio.h>
#include <unistd.h>
const char *greet(void);
int main(int argc, char **argv) { printf("%s %s %s\n", greet(), argv[1], argv[2]); fflush(stdout); for (;;) pause(); }`)
	command(f.t, f.dir, "cc", "-o", filepath.Join(f.dir, "exampled"), outer, "-L"+f.dir, "-lgreet")

	dist := filepath.Join(f.dir, "dist")
	command(f.t, f.dir, "go", "run", "github.com/divisi-go/divisi/cmd/divisi", "artifact", "pack", "--with-libs", "--version", "1.0",
		"--package", "exampled", "--to", dist, filepath.Join(f.dir, "exampled"))
	here, err := filepath.Abs("subject/exampled/artifact.go")
	if err != nil {
		f.t.Fatal(err)
	}
	source("overlay", fmt.Sprintf(`{"Replace": {%q: %q}}`, here, filepath.Join(dist, "artifact.go")))
	f.packed = []string{"-overlay", filepath.Join(f.dir, "overlay")}
	f.env = append(f.env, "EXAMPLED="+dist)
}

// run is one run of the program.
type run struct {
	t    *testing.T
	cmd  *exec.Cmd
	over chan struct{} // closed when it has ended

	mu    sync.Mutex // guards what follows
	said  string
	heard chan struct{} // closed at the next line
}

func (f *fleet) run(binary string) *run {
	f.t.Helper()
	return begin(f.t, binary, f.env)
}

// begin runs a program with an environment.
func begin(t *testing.T, binary string, env []string) *run {
	t.Helper()
	r := &run{t: t, cmd: exec.Command(binary), over: make(chan struct{}), heard: make(chan struct{})}
	r.cmd.Env = env
	words, err := r.cmd.StderrPipe()
	if err == nil {
		err = r.cmd.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	go r.hear(words)
	t.Cleanup(r.kill)
	return r
}

func (r *run) hear(words io.Reader) {
	defer close(r.over)
	for lines := bufio.NewScanner(words); lines.Scan(); {
		r.mu.Lock()
		r.said += lines.Text() + "\n"
		close(r.heard)
		r.heard = make(chan struct{})
		r.mu.Unlock()
	}
	_ = r.cmd.Wait() // its end is in ProcessState
}

// says waits until the run has said something so often, and returns all that it has said.
func (r *run) says(times int, what string) string {
	r.t.Helper()
	late := time.After(patience)
	for {
		r.mu.Lock()
		said, heard := r.said, r.heard
		r.mu.Unlock()
		if strings.Count(said, what) >= times {
			return said
		}
		select {
		case <-heard:
		case <-r.over:
			r.t.Fatalf("it has ended, and has not said %q:\n%s", what, said)
		case <-late:
			r.t.Fatalf("it does not say %q:\n%s", what, said)
		}
	}
}

func (r *run) kill() {
	_ = r.cmd.Process.Kill() // it may have ended
	<-r.over
}

func (r *run) signal(s os.Signal) {
	r.t.Helper()
	if err := r.cmd.Process.Signal(s); err != nil {
		r.t.Fatal(err)
	}
}

// client asks the web server of a host from another one.
func (f *fleet) client() *http.Client {
	return &http.Client{Timeout: patience, Transport: &http.Transport{
		DisableKeepAlives: true,
		DialContext: func(ctx context.Context, network, address string) (net.Conn, error) {
			from := "host1"
			if strings.HasPrefix(address, from) {
				from = "host2"
			}
			return f.lab.Host(from).Dial(ctx, network, address)
		},
	}}
}

// page returns what the web server of a host says: its edition and its process.
func page(c *http.Client, host string) (string, error) {
	answer, err := c.Get("http://" + host + ":7000")
	if err != nil {
		return "", err
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(answer.Body)
	return string(text), err
}

// pages returns those of all hosts.
func (f *fleet) pages() string {
	f.t.Helper()
	var all []string
	for _, h := range f.lab.Hosts() {
		text, err := page(f.client(), h.Name())
		if err != nil {
			f.t.Fatal(err)
		}
		all = append(all, text)
	}
	return strings.Join(all, ", ")
}

// visits asks all hosts until the function that it returns is called, which returns how often that failed.
func (f *fleet) visits() (leave func() (asked int64, failed []string)) {
	quit := make(chan struct{})
	var visitors sync.WaitGroup
	var count atomic.Int64
	var mu sync.Mutex
	var wrong []string
	for _, h := range f.lab.Hosts() {
		visitors.Go(func() {
			c := f.client()
			for {
				select {
				case <-quit:
					return
				case <-time.After(5 * time.Millisecond):
				}
				_, err := page(c, h.Name())
				count.Add(1)
				if err != nil {
					mu.Lock()
					wrong = append(wrong, err.Error())
					mu.Unlock()
				}
			}
		})
	}
	return func() (int64, []string) {
		close(quit)
		visitors.Wait()
		return count.Load(), wrong
	}
}

var sentForm = regexp.MustCompile(`sent (\d+) bytes to (\S+)`)

// sent returns how many bytes a run has sent to each host.
func (r *run) sent() map[string]int {
	r.t.Helper()
	all := map[string]int{}
	for _, m := range sentForm.FindAllStringSubmatch(r.says(hosts, "bytes to host"), -1) {
		all[m[2]], _ = strconv.Atoi(m[1])
	}
	return all
}

// exampled returns the process of exampled, whose loader has its libraries out of the artifact.
func (f *fleet) exampled() string {
	f.t.Helper()
	text, err := f.lab.Host("host1").Exec(f.t.Context(), "sh", "-c",
		`cd /proc; for p in [0-9]*; do readlink $p/exe | grep -q 'cas/sha256-[0-9a-f]*/lib/ld-' && echo $p; done; true`)
	if err != nil || len(strings.Fields(text)) != 1 {
		f.t.Errorf("the processes of exampled are %q, %v", text, err)
	}
	return strings.TrimSpace(text)
}

// killKeeper kills the keeper of a host.
func (f *fleet) killKeeper(host string) {
	f.t.Helper()
	_, err := f.lab.Host(host).Exec(f.t.Context(), "sh", "-c", `kill -9 $(cat "$HOME/.local/state/divisi/keeper/lock")`)
	if err != nil {
		f.t.Fatal(err)
	}
}

// TestHosts: a program deploys to hosts where nothing is installed. Run again it sends next to nothing, and leaves all as it
// is; so it does when a keeper is killed, and when the hosts cannot be reached for a while. The next edition takes over,
// and no request fails.
func TestHosts(t *testing.T) {
	f := newFleet(t)
	f.pack()
	one := f.build("1")
	first := f.run(one)
	first.says(1, " runs program=")
	before := f.pages()
	if strings.Count(before, "1 ") != hosts {
		t.Errorf("the pages are %q", before)
	}
	exampled := f.exampled()
	t.Logf("a first run sends %v", first.sent())
	leave := f.visits()
	first.kill()

	second := f.run(one)
	second.says(1, " runs program=")
	for host, sent := range second.sent() {
		if t.Logf("a second run sends %d bytes to %s", sent, host); sent > 20_000 {
			t.Errorf("it sends %d bytes to %s", sent, host)
		}
	}
	same := func(when string) {
		t.Helper()
		if now := f.pages(); now != before {
			t.Errorf("%s, %q has become %q", when, before, now)
		}
		if now := f.exampled(); now != exampled {
			t.Errorf("%s, exampled was process %s, and is %s", when, exampled, now)
		}
	}
	same("run again")

	for killed := range *kills {
		f.killKeeper("host1")
		second.says(killed+1, "the keeper is back")
	}
	same("after the end of keepers")

	second.signal(syscall.SIGUSR1)
	second.says(hosts, "the host cannot be reached")
	<-time.After(*cut)
	second.signal(syscall.SIGUSR2)
	said := second.says(*kills+hosts, "the keeper is back")
	same("after the line was cut")
	if away := strings.Count(said, "the keeper is away"); away != *kills+hosts {
		t.Errorf("a keeper was away %d times:\n%s", away, said)
	}

	next := f.run(f.build("2"))
	next.says(1, " runs program=")
	if now := f.pages(); strings.Count(now, "2 ") != hosts {
		t.Errorf("after an upgrade the pages are %q", now)
	}
	<-second.over
	if now := f.exampled(); now != exampled {
		t.Errorf("after an upgrade, exampled was process %s, and is %s", exampled, now)
	}
	if code := second.cmd.ProcessState.ExitCode(); code != 1 {
		t.Errorf("the run before exits with %d:\n%s", code, second.said)
	}
	asked, failed := leave()
	if t.Logf("%d requests, %d failed", asked, len(failed)); len(failed) > 0 {
		t.Errorf("failed: %q", failed)
	}

	next.signal(os.Interrupt)
	<-next.over
	if code := next.cmd.ProcessState.ExitCode(); code != 0 {
		t.Errorf("the end has code %d:\n%s", code, next.said)
	}
	for _, h := range f.lab.Hosts() {
		if text, err := page(f.client(), h.Name()); err == nil {
			t.Errorf("%s still says %q", h.Name(), text)
		}
	}
}
