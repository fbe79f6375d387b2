//go:build linux

// Package takeover tests what outlives its deployer: real programs, a real keeper, and deployers that are
// killed.
package takeover

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/divisi-go/divisi/cmd/divisi/cli"
	"github.com/divisi-go/divisi/internal/control"
	"github.com/divisi-go/divisi/internal/event"
	"github.com/divisi-go/divisi/internal/home"
	"github.com/divisi-go/divisi/internal/keeper"
	"github.com/divisi-go/divisi/internal/keeper/door"
)

var buildDir string

func TestMain(m *testing.M) {
	door.Enter()
	testscript.Main(withBuilds{m}, map[string]func(){
		"divisi": func() { os.Exit(cli.Main(os.Args[1:], os.Stdin, os.Stdout, os.Stderr)) },
	})
}

// withBuilds runs tests that share what they build.
type withBuilds struct{ *testing.M }

func (m withBuilds) Run() int {
	var err error
	if buildDir, err = os.MkdirTemp("", "takeover"); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(buildDir)
	return m.M.Run()
}

const (
	// patience bounds every wait for a condition.
	patience = 45 * time.Second

	shopPackage    = "github.com/divisi-go/divisi/examples/shop"
	subjectPackage = "github.com/divisi-go/divisi/e2e/takeover/subject"
)

// soak reports whether the long forms are wanted.
func soak() bool { return os.Getenv("DIVISI_SOAK") != "" }

// builds are the editions of the programs that tests run, each built when the first test needs it.
var builds = map[string]func() (string, error){
	"shop-1": builder("shop-1", shopPackage, ""), "shop-2": builder("shop-2", shopPackage, "-s"),
	"subject-1": builder("subject-1", subjectPackage, "-X main.edition=1"),
	"subject-2": builder("subject-2", subjectPackage, "-X main.edition=2"),
	"subject-3": builder("subject-3", subjectPackage, "-X main.edition=3"),
}

func builder(name, pkg, flags string) func() (string, error) {
	return sync.OnceValues(func() (string, error) {
		binary := filepath.Join(buildDir, name)
		if printed, err := exec.Command("go", "build", "-ldflags", flags, "-o", binary, pkg).CombinedOutput(); err != nil {
			return "", fmt.Errorf("cannot build %s: %w\n%s", name, err, printed)
		}
		return binary, nil
	})
}

// site is a state folder with a keeper, in which one application is run again and again.
type site struct {
	t       *testing.T
	dir     string
	file    string
	program string // what the file names
	home    home.Home
	domain  home.Domain
	app     string
	wanted  map[string]int // replicas, by group
	env     []string

	runs sync.WaitGroup
}

// newSite returns a site for a program, of which the first edition is there, with a file.
func newSite(t *testing.T, app, file string, wanted map[string]int) *site {
	t.Helper()
	dir, err := os.MkdirTemp("", "to") // paths of sockets are short
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	s := &site{
		t: t, dir: dir, app: app, wanted: wanted,
		file: filepath.Join(dir, app+".toml"), program: filepath.Join(dir, app),
	}
	// The folder of sockets is found as the command finds it.
	t.Setenv("XDG_RUNTIME_DIR", dir)
	if s.home, err = home.At(filepath.Join(dir, "home")); err != nil {
		t.Fatal(err)
	}
	s.domain = s.home.Domain("/" + app)
	s.env = append(os.Environ(), "DIVISI_HOME="+s.home.Dir, "SUBJECT="+dir, "GORACE=atexit_sleep_ms=10")
	s.write(file)
	s.edition(1)

	t.Cleanup(func() {
		if printed, err := s.divisi("keeper", "stop", "--yes"); err != nil && !strings.Contains(printed, "no keeper runs") {
			t.Errorf("cannot end the keeper: %v\n%s", err, printed)
		}
		s.runs.Wait()
		if left := s.alive(); len(left) > 0 {
			t.Errorf("processes are left: %v", left)
		}
		if twice, err := os.ReadFile(filepath.Join(dir, "twice")); err == nil {
			t.Errorf("what runs once has run twice:\n%s\n%s", twice, s.history())
		}
	})
	return s
}

// subject returns a site for the program of this folder.
func subject(t *testing.T) *site {
	t.Helper()
	return newSite(t, "subject", subjectFile, map[string]int{"main": 2, "worker": 2, "single": 1})
}

const subjectFile = `[divisi]
binary = "./subject"
orphan = "serve"
colocate = [
	["github.com/divisi-go/divisi/Main"],
	["github.com/divisi-go/divisi/e2e/takeover/subject/Worker"],
	["github.com/divisi-go/divisi/e2e/takeover/subject/Single"],
]
[process]
listeners.subject = { address = "127.0.0.1:0" }
["github.com/divisi-go/divisi/e2e/takeover/subject/Worker"]
mark = "a"
`

// write writes the file of the application.
func (s *site) write(text string) {
	s.t.Helper()
	if err := os.WriteFile(s.file, []byte(text), 0o600); err != nil {
		s.t.Fatal(err)
	}
}

// edition puts another build in the place of the program.
func (s *site) edition(number int) {
	s.t.Helper()
	binary, err := builds[fmt.Sprintf("%s-%d", s.app, number)]()
	if err == nil {
		os.Remove(s.program)
		err = os.Link(binary, s.program)
	}
	if err != nil {
		s.t.Fatal(err)
	}
}

// command returns the command divisi.
func (s *site) command(args ...string) *exec.Cmd {
	cmd := exec.Command(os.Args[0], args...)
	cmd.Args[0] = "divisi"
	cmd.Env, cmd.Dir = s.env, s.dir
	return cmd
}

// divisi runs the command until it ends.
func (s *site) divisi(args ...string) (printed string, err error) {
	output, err := s.command(args...).CombinedOutput()
	return string(output), err
}

// run is one divisi run.
type run struct {
	s       *site
	cmd     *exec.Cmd
	running chan control.Status // gets what it has printed once everything is ready
	over    chan struct{}       // closed when it has ended
	printed lockedBuffer        // on standard error
}

// lockedBuffer may be read while it is written.
type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (b *lockedBuffer) Write(text []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(text)
}

func (b *lockedBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}

// run begins a divisi run of the file.
func (s *site) run() *run {
	s.t.Helper()
	r := &run{s: s, cmd: s.command("run", s.file, "--admin", "", "-o", "json"), running: make(chan control.Status, 1), over: make(chan struct{})}
	r.cmd.Stderr = &r.printed
	out, err := r.cmd.StdoutPipe()
	if err == nil {
		err = r.cmd.Start()
	}
	if err != nil {
		s.t.Fatal(err)
	}
	s.runs.Go(func() {
		defer close(r.over)
		var status control.Status
		if err := json.NewDecoder(out).Decode(&status); err == nil {
			r.running <- status
		}
		_, _ = io.Copy(io.Discard, out)
		_ = r.cmd.Wait() // its exit code is in its state
	})
	s.t.Cleanup(func() { _ = r.cmd.Process.Kill() })
	return r
}

// pid returns the number of the process.
func (r *run) pid() string { return strconv.Itoa(r.cmd.Process.Pid) }

// ready waits until everything of a run is ready.
func (r *run) ready() control.Status {
	r.s.t.Helper()
	select {
	case status := <-r.running:
		return status
	case <-r.over:
		r.s.t.Fatalf("divisi run has ended: %v\n%s", r.cmd.ProcessState, &r.printed)
	case <-time.After(2 * patience):
		r.s.t.Fatalf("not ready within %v:\n%s\n%s", 2*patience, &r.printed, r.s.situation())
	}
	return control.Status{}
}

// decides waits until the run is the one that decides about the application, and something holds there.
func (r *run) decides(what string, holds func(control.Status) bool) {
	r.s.t.Helper()
	r.s.until(what, func() bool {
		status, err := r.s.status()
		return err == nil && status.Controller.Pid == r.cmd.Process.Pid && holds(status)
	})
}

// kill ends a run at once.
func (r *run) kill() {
	r.s.t.Helper()
	if err := r.cmd.Process.Kill(); err != nil {
		r.s.t.Fatal(err)
	}
	<-r.over
}

// end waits for the end of a run, and returns what it has printed.
func (r *run) end() string {
	r.s.t.Helper()
	select {
	case <-r.over:
	case <-time.After(patience):
		r.s.t.Fatalf("divisi run has not ended within %v:\n%s", patience, &r.printed)
	}
	return r.printed.String()
}

// signal sends a signal to a run.
func (r *run) signal(signal syscall.Signal) {
	r.s.t.Helper()
	if err := r.cmd.Process.Signal(signal); err != nil {
		r.s.t.Fatal(err)
	}
}

// status asks whoever decides about the application.
func (s *site) status() (control.Status, error) {
	return control.NewClient(s.domain.Door, s.app).Status(s.t.Context())
}

// until waits for a condition.
func (s *site) until(what string, holds func() bool) {
	s.t.Helper()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for end := time.Now().Add(patience); !holds(); {
		select {
		case <-tick.C:
		case <-s.t.Context().Done():
			s.t.Fatal(s.t.Context().Err())
		}
		if time.Now().After(end) {
			s.t.Fatalf("not within %v: %s\n%s", patience, what, s.situation())
		}
	}
}

// exactly waits until what runs is what should: every replica once, ready, of one version, and no process
// besides. It returns the processes.
func (s *site) exactly() map[string]int {
	s.t.Helper()
	var pids map[string]int
	s.until("exactly what is wanted runs", func() bool {
		status, err := s.status()
		pids = map[string]int{}
		groups := map[string]int{}
		for _, r := range status.Replicas {
			if r.State != "ready" || r.Version != status.Version {
				return false
			}
			pids[r.Name] = r.Pid
			groups[r.Group]++
		}
		return err == nil && status.State == "running" && maps.Equal(groups, s.wanted) && len(pids) == len(status.Replicas) &&
			slices.Equal(sorted(maps.Values(pids)), sorted(maps.Keys(s.alive()))) && maps.Equal(pids, s.held())
	})
	return pids
}

func sorted[E int](all func(func(E) bool)) []E { return slices.Sorted(all) }

// held returns the processes that the keeper has of the application.
func (s *site) held() map[string]int {
	s.t.Helper()
	pids := map[string]int{}
	for _, p := range s.procs() {
		if _, ok := pids[p.ID.String()]; ok {
			s.t.Logf("%s runs twice", p.ID)
		}
		pids[p.ID.String()] = p.Pid
	}
	return pids
}

func (s *site) procs() []keeper.Proc {
	s.t.Helper()
	k, err := door.Attach(s.t.Context(), s.home, keeper.Claim{})
	if err != nil {
		s.t.Fatal(err)
	}
	defer k.Release()
	list, err := k.List(s.t.Context(), "/"+s.app)
	if err != nil {
		s.t.Fatal(err)
	}
	return list
}

// alive returns the programs of all processes that run one of the store, whoever knows of them.
func (s *site) alive() map[int]string {
	found := map[int]string{}
	links, _ := filepath.Glob("/proc/[0-9]*/exe")
	for _, link := range links {
		program, err := os.Readlink(link)
		if err == nil && strings.HasPrefix(program, s.home.CAS()+"/") {
			pid, _ := strconv.Atoi(strings.Split(link, "/")[2])
			found[pid] = program
		}
	}
	return found
}

// situation says what there is, for a test that fails.
func (s *site) situation() string {
	status, err := s.status()
	text, _ := json.MarshalIndent(status, "", "  ")
	events, _ := os.ReadFile(filepath.Join(s.domain.Logs, event.LogFile))
	servers, _ := json.MarshalIndent(s.procs(), "", "  ")
	return fmt.Sprintf("status: %s %v\nalive: %v\nservers: %s\nevents:\n%s", text, err, s.alive(), servers, events)
}

// killKeeper ends the keeper at once.
func (s *site) killKeeper() {
	s.t.Helper()
	text, err := os.ReadFile(filepath.Join(s.home.Keeper().State, "lock"))
	var pid int
	if err == nil {
		pid, err = strconv.Atoi(string(regexp.MustCompile(`\d+`).Find(text)))
	}
	if err == nil {
		err = syscall.Kill(pid, syscall.SIGKILL)
	}
	if err != nil {
		s.t.Fatal(err)
	}
}

// gate closes a point at which processes of the application wait, until open is called.
func (s *site) gate(point string) (open func()) {
	s.t.Helper()
	path := filepath.Join(s.dir, "gate-"+point)
	f, err := os.Create(path)
	if err == nil {
		err = syscall.Flock(int(f.Fd()), syscall.LOCK_EX)
	}
	if err != nil {
		s.t.Fatal(err)
	}
	open = sync.OnceFunc(func() {
		if err := errors.Join(os.Remove(path), f.Close()); err != nil {
			s.t.Error(err)
		}
	})
	s.t.Cleanup(open)
	return open
}

// noted returns the lines of a file in which the application notes something.
func (s *site) noted(file string) []string {
	text, _ := os.ReadFile(filepath.Join(s.dir, file))
	return strings.Fields(string(text))
}

// waiting waits until so many processes wait at a point.
func (s *site) waiting(point string, n int) {
	s.t.Helper()
	s.until(fmt.Sprintf("%d processes are at %s", n, point), func() bool {
		text, _ := os.ReadFile(filepath.Join(s.dir, "at"))
		return strings.Count(string(text), point+" ") >= n
	})
}
