package main

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/divisi-go/divisi/cmd/divisi/dashboard"
	"github.com/divisi-go/divisi/cmd/divisi/ensembles"
	"github.com/divisi-go/divisi/internal/control"
	"github.com/divisi-go/divisi/internal/home"
	"github.com/divisi-go/divisi/internal/keeper/door"
)

// site is a state folder in which the subject runs.
type site struct {
	t       *testing.T
	home    home.Home
	subject string
	broken  string // the file that has a server of it fail
	far     string // the folder of its other host; the file cut in it has nobody reach that
}

// newSite returns a site whose subject is built.
func newSite(t *testing.T) *site {
	t.Helper()
	s := newHome(t)
	build := exec.Command("go", "build", "-o", s.subject, "./subject")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if printed, err := build.CombinedOutput(); err != nil {
		t.Fatalf("cannot build the subject: %v\n%s", err, printed)
	}
	return s
}

// newHome returns a site without its subject.
func newHome(t *testing.T) *site {
	t.Helper()
	dir, err := os.MkdirTemp("", "page") // paths of sockets are short
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	t.Setenv("XDG_RUNTIME_DIR", dir)
	s := &site{t: t, subject: filepath.Join(dir, "orderd"), broken: filepath.Join(dir, "broken"), far: filepath.Join(dir, "far")}
	if s.home, err = home.At(filepath.Join(dir, "home")); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(s.home.Make(), os.Mkdir(s.far, 0o700)); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.shutdown(s.home) })
	t.Cleanup(func() {
		runtime, _ := filepath.Glob(filepath.Join(s.far, "divisi", "*"))
		for _, sockets := range runtime {
			s.shutdown(home.Home{Dir: filepath.Join(s.far, "home"), Runtime: sockets})
		}
	})
	return s
}

// shutdown ends the keeper of a state folder, if there is one, with all that it holds.
func (s *site) shutdown(h home.Home) {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	keeper, err := door.Find(ctx, h)
	if err == nil {
		err = keeper.Shutdown(ctx)
	}
	if err != nil && !errors.Is(err, door.ErrNone) {
		s.t.Error(err)
	}
}

// process is one run of the subject.
type process struct {
	cmd  *exec.Cmd
	over chan struct{} // closed when it has ended
}

// run begins a run, with variables.
func (s *site) run(env ...string) *process {
	s.t.Helper()
	cmd := exec.Command(s.subject)
	cmd.Env = append(append(os.Environ(), "DIVISI_HOME="+s.home.Dir, "SUBJECT_BROKEN="+s.broken, "SUBJECT_FAR="+s.far), env...)
	return s.begin(cmd)
}

// begin begins a process.
func (s *site) begin(cmd *exec.Cmd) *process {
	s.t.Helper()
	if testing.Verbose() {
		cmd.Stderr = os.Stderr
	}
	if err := cmd.Start(); err != nil {
		s.t.Fatal(err)
	}
	p := &process{cmd, make(chan struct{})}
	go func() {
		defer close(p.over)
		_ = cmd.Wait() // it is killed
	}()
	s.t.Cleanup(p.end)
	return p
}

// end kills the run, and nothing of what it has started.
func (p *process) end() {
	_ = p.cmd.Process.Kill() // it may have ended
	<-p.over
}

// page opens the live page until the test ends, and returns its address.
func (s *site) page() string {
	s.t.Helper()
	page, err := dashboard.Listen([]string{"localhost:0"}, s.home.Token(), s.home, "")
	if err != nil {
		s.t.Fatal(err)
	}
	page.With(ensembles.Page())
	ctx, cancel := context.WithCancel(context.Background())
	served := make(chan error, 1)
	go func() { served <- page.Serve(ctx) }()
	s.t.Cleanup(func() {
		cancel()
		if err := <-served; err != nil {
			s.t.Error(err)
		}
	})
	return page.URL()
}

func (s *site) client() *control.Client {
	return control.NewClient(s.home.Domain("/orderd").Door, "orderd")
}

func (s *site) questions() []control.Question {
	list, _ := s.client().Questions(s.t.Context()) // it begins
	return list
}

// until waits for a condition.
func (s *site) until(what string, met func() bool) {
	s.t.Helper()
	for end := time.Now().Add(patience); !met(); {
		if time.Now().After(end) {
			s.t.Fatalf("it did not happen that %s", what)
		}
		<-time.After(20 * time.Millisecond)
	}
}
