//go:build linux

// Package system tests programs that are systems, from outside: they are killed, run again, and upgraded.
package system

import (
	"bufio"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/divisi-go/divisi/internal/home"
	"github.com/divisi-go/divisi/internal/keeper"
	"github.com/divisi-go/divisi/internal/keeper/door"
	"github.com/divisi-go/divisi/system/systemtest"
)

var buildDir string

func TestMain(m *testing.M) {
	door.Enter()
	os.Exit(runTests(m))
}

// runTests runs tests that share what they build.
func runTests(m *testing.M) int {
	var err error
	if buildDir, err = os.MkdirTemp("", "system"); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(buildDir)
	return m.Run()
}

// patience bounds every wait for a condition.
const patience = time.Minute

// builds are the editions of the subject, each built when the first test needs it.
var builds = map[string]func() (string, error){
	"1": builder("subject", "1"), "2": builder("subject", "2"),
	"shop-1": builder("shop", "1"), "shop-2": builder("shop", "2"),
}

func builder(program, edition string) func() (string, error) {
	return sync.OnceValues(func() (string, error) {
		binary := filepath.Join(buildDir, program+"-"+edition)
		cmd := exec.Command("go", "build", "-ldflags", "-X main.edition="+edition, "-o", binary, "./"+program)
		cmd.Env = append(os.Environ(), "CGO_ENABLED=0") // it runs where there are no libraries
		if printed, err := cmd.CombinedOutput(); err != nil {
			return "", fmt.Errorf("cannot build edition %s: %w\n%s", edition, err, printed)
		}
		return binary, nil
	})
}

// site is a state folder with a keeper.
type site struct {
	t    *testing.T
	home home.Home
}

func newSite(t *testing.T) *site {
	t.Helper()
	systemtest.Home(t)
	state, err := home.Find()
	if err != nil {
		t.Fatal(err)
	}
	return &site{t: t, home: state}
}

// run is one run of a program.
type run struct {
	s       *site
	name    string
	cmd     *exec.Cmd
	settled chan struct{} // closed when it says that it runs
	over    chan struct{} // closed when it has ended

	mu      sync.Mutex // guards printed
	printed string
}

// run begins a run of an edition, with variables.
func (s *site) run(name, edition string, env ...string) *run {
	s.t.Helper()
	binary, err := builds[edition]()
	if err != nil {
		s.t.Fatal(err)
	}
	r := &run{s: s, name: name, settled: make(chan struct{}), over: make(chan struct{})}
	r.cmd = exec.Command(binary)
	r.cmd.Env = append(append(os.Environ(), "SUBJECT="+name), env...)
	words, err := r.cmd.StderrPipe()
	if err == nil {
		err = r.cmd.Start()
	}
	if err != nil {
		s.t.Fatal(err)
	}
	go r.hear(words)
	s.t.Cleanup(func() { r.kill() })
	return r
}

// hear takes what the run prints, until it has ended.
func (r *run) hear(words io.Reader) {
	defer close(r.over)
	for lines := bufio.NewScanner(words); lines.Scan(); {
		r.mu.Lock()
		r.printed += lines.Text() + "\n"
		r.mu.Unlock()
		if strings.Contains(lines.Text(), " runs program=") {
			close(r.settled)
		}
	}
	_ = r.cmd.Wait() // its end is in ProcessState
}

func (r *run) words() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.printed
}

// runs waits until all of the system can be used.
func (r *run) runs() *run {
	r.s.t.Helper()
	select {
	case <-r.settled:
	case <-r.over:
		r.s.t.Fatalf("%s has ended:\n%s", r.name, r.words())
	case <-time.After(patience):
		r.s.t.Fatalf("%s does not settle:\n%s", r.name, r.words())
	}
	return r
}

// ends waits until the run has ended, and returns its exit code.
func (r *run) ends() int {
	r.s.t.Helper()
	select {
	case <-r.over:
	case <-time.After(patience):
		r.s.t.Fatalf("%s does not end:\n%s", r.name, r.words())
	}
	return r.cmd.ProcessState.ExitCode()
}

// kill kills the run, and nothing of what it has started.
func (r *run) kill() {
	_ = r.cmd.Process.Kill() // it may have ended
	<-r.over
}

// servers returns the processes of a program, by the names of their servers.
func (s *site) servers(name string) map[string]int {
	s.t.Helper()
	pids := map[string]int{}
	for _, p := range s.list(name) {
		pids[p.ID.Name+"@"+p.ID.Domain] = p.Pid
	}
	return pids
}

// list returns the servers of a program.
func (s *site) list(name string) []keeper.Proc {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	client, err := door.Find(ctx, s.home)
	if errors.Is(err, door.ErrNone) {
		return nil // it has ended, for it had nothing any more
	}
	if err != nil {
		s.t.Fatal(err)
	}
	defer client.Release()
	list, err := client.List(ctx, "/"+name)
	if err != nil {
		s.t.Fatal(err)
	}
	return list
}

// address returns where the web server of a program listens.
func (s *site) address(name string) string {
	s.t.Helper()
	text, err := os.ReadFile(filepath.Join(s.home.Domain("/"+name).Data, "address"))
	if err != nil {
		s.t.Fatal(err)
	}
	return string(text)
}

const visitors = 4

var pause = flag.Duration("pause", 32*time.Millisecond, "between two requests of a visitor, at most")

// load is visitors who ask for a page, once each time: half of them on new connections, half on the one that
// they have.
type load struct {
	address string
	quit    chan struct{}
	wait    sync.WaitGroup
	sent    atomic.Int64

	mu     sync.Mutex // guards what follows
	failed []string
	last   string // answer
}

func visit(t *testing.T, address string) *load {
	l := &load{address: address, quit: make(chan struct{})}
	for i := range visitors {
		l.wait.Go(func() { l.work(i%2 == 0) })
	}
	t.Cleanup(func() { l.leave(t) })
	return l
}

// leave ends the visits, and fails the test if one has failed.
func (l *load) leave(t *testing.T) {
	t.Helper()
	select {
	case <-l.quit:
		return
	default:
		close(l.quit)
	}
	l.wait.Wait()
	t.Logf("%d requests, %d failed", l.sent.Load(), len(l.failed))
	if len(l.failed) > 0 {
		t.Errorf("%d of %d requests have failed: %q", len(l.failed), l.sent.Load(), l.failed)
	}
}

func (l *load) work(keeps bool) {
	client := http.Client{Timeout: patience, Transport: &http.Transport{
		DisableKeepAlives: !keeps, MaxIdleConnsPerHost: 1, DialContext: (&net.Dialer{}).DialContext,
	}}
	defer client.CloseIdleConnections()
	for {
		select {
		case <-l.quit:
			return
		case <-time.After(rand.N(*pause)):
		}
		text, err := once(&client, l.address)
		l.sent.Add(1)
		l.mu.Lock()
		if l.last = text; err != nil {
			l.failed = append(l.failed, err.Error())
		}
		l.mu.Unlock()
	}
}

// once asks for the page. A POST without GetBody is not repeated by the client.
func once(client *http.Client, address string) (string, error) {
	body := io.NopCloser(strings.NewReader("x"))
	answer, err := client.Post("http://"+address, "text/plain", body)
	if err != nil {
		return "", err
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(answer.Body)
	return string(text), err
}

func httpClient() *http.Client { return &http.Client{Timeout: patience} }
