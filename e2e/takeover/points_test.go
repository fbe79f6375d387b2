//go:build linux

package takeover

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/divisi-go/divisi/internal/control"
	"github.com/divisi-go/divisi/internal/event"
)

// point is a moment at which a deployer is killed. It returns what goes on when the next one is there, which
// may be nil.
type point struct {
	name    string
	reach   func(*site) (then func())
	changes []change // that the next one finds; the first one always
}

var points = []point{
	{"before the first process", beforeFirst, []change{program, same, file}},
	{"before a handshake", beforeHandshake, []change{file, same, program}},
	{"during an upgrade", duringUpgrade, []change{program, same, file, first}},
	{"during a drain", duringDrain, []change{first, same, program, file}},
	{"during a stop", duringStop, []change{same, program, file}},
}

// change is what the next run finds.
type change struct {
	name string
	make func(*site)
	says string // the page then, if it is another one
}

var (
	same    = change{"same", func(*site) {}, ""}
	program = change{"another program", func(s *site) { s.edition(3) }, "edition 3: "}
	file    = change{"another file", func(s *site) { s.write(marked("c")) }, ": c, "}
	first   = change{"the first program", func(s *site) { s.edition(1) }, "edition 1: a, "}
)

func marked(mark string) string {
	return strings.Replace(subjectFile, `mark = "a"`, `mark = "`+mark+`"`, 1)
}

// TestPoints: wherever a deployer is killed, and whatever has changed meanwhile, in the end of the next one's
// start exactly that runs which should, once, and what runs once has never run twice.
//
// With DIVISI_SOAK in the environment each change is made at each point.
func TestPoints(t *testing.T) {
	for _, p := range points {
		for i, c := range p.changes {
			if i > 0 && !soak() {
				continue
			}
			t.Run(p.name+", "+c.name, func(t *testing.T) { p.then(t, c) })
		}
	}
}

// then has the next run follow a deployer that is killed at the point.
func (p point) then(t *testing.T, c change) {
	s := subject(t)
	goOn := p.reach(s)
	c.make(s)
	next := s.run()
	if goOn != nil {
		next.decides("the next run decides", func(control.Status) bool { return true })
		goOn()
	}
	status := next.ready()

	s.exactly()
	if page := s.page(status.Listeners[0].URL); !strings.Contains(page, c.says) {
		t.Errorf("the page says %q, want %q\n%s", page, c.says, s.situation())
	}
	next.signal(syscall.SIGINT)
	if printed := next.end(); next.cmd.ProcessState.ExitCode() != 0 || len(s.alive()) > 0 || len(s.procs()) > 0 {
		t.Errorf("after the end: %v, %v\n%s", next.cmd.ProcessState, s.alive(), printed)
	}
}

// beforeFirst kills a deployer that has recorded what it is about to start, and has started nothing: it cannot
// write what the first processes start from without it.
func beforeFirst(s *site) func() {
	r := s.run()
	r.ready()
	records, err := filepath.Glob(filepath.Join(s.domain.Boot, "*.boot"))
	if err != nil || len(records) != 5 {
		s.t.Fatalf("boot records: %v %v", records, err)
	}
	r.signal(syscall.SIGINT)
	r.end()
	for i, record := range records {
		records[i] = record + "~"
		if err := syscall.Mkfifo(records[i], 0o600); err != nil {
			s.t.Fatal(err)
		}
	}

	r = s.run()
	r.decides("it starts processes", func(status control.Status) bool { return len(status.Replicas) > 0 })
	r.kill()
	for _, record := range records {
		if err := os.Remove(record); err != nil {
			s.t.Error(err)
		}
	}
	if alive := s.alive(); len(alive) > 0 {
		s.t.Errorf("processes had started: %v", alive)
	}
	return nil
}

// beforeHandshake kills a deployer whose processes have not come to dial it yet.
func beforeHandshake(s *site) func() {
	open := s.gate("begin")
	r := s.run()
	s.waiting("begin", 2)
	r.kill()
	return open
}

// duringUpgrade kills a deployer of which the first processes of the next version start beside the ones that
// run.
func duringUpgrade(s *site) func() {
	r := s.run()
	r.ready()
	s.exactly()
	r.kill()

	s.edition(2)
	open := s.gate("init-2a")
	r = s.run()
	s.waiting("init-2a", 2)
	r.kill()
	open()
	return nil
}

// duringDrain kills a deployer whose next version runs, while the one before has a request yet.
func duringDrain(s *site) func() {
	r := s.run()
	url := r.ready().Listeners[0].URL
	s.exactly()
	open := s.gate("hold")
	h := s.hold(url, "/hold")
	s.waiting("hold", 1)
	r.kill()

	s.edition(2)
	r = s.run()
	r.decides("the version before drains", drains)
	r.kill()
	return func() {
		open()
		if said := h.answered(); said != "edition 1\n" {
			s.t.Errorf("the request that was held open: %q", said)
		}
	}
}

// duringStop kills a deployer that stops everything, while there is a request yet.
func duringStop(s *site) func() {
	r := s.run()
	url := r.ready().Listeners[0].URL
	s.exactly()
	open := s.gate("hold")
	h := s.hold(url, "/hold")
	s.waiting("hold", 1)

	r.signal(syscall.SIGINT)
	r.decides("it drains", drains)
	r.kill()
	return func() {
		open()
		h.answered()
	}
}

// drains reports whether a replica of main drains.
func drains(status control.Status) bool {
	return slices.ContainsFunc(status.Replicas, func(r control.ReplicaStatus) bool {
		return r.Group == "main" && r.State == "draining"
	})
}

// TestStandstill: a deployer stands still while another one takes over. When it goes on, it is told who has
// taken over, ends, and changes nothing, not even the history.
func TestStandstill(t *testing.T) {
	s := subject(t)
	before := s.run()
	url := before.ready().Listeners[0].URL
	pids := s.exactly()
	visits := visit(t, url)
	visits.sees(s, 50)

	before.signal(syscall.SIGSTOP)
	next := s.run()
	next.ready()
	visits.sees(s, 50)
	for name, pid := range s.exactly() {
		if pids[name] != pid {
			t.Errorf("%s was process %d, and is %d", name, pids[name], pid)
		}
	}
	history := s.history()

	before.signal(syscall.SIGCONT)
	printed := before.end()
	by := "divisi run subject (process " + next.pid() + ")"
	if before.cmd.ProcessState.ExitCode() != 3 || !strings.Contains(printed, by) {
		t.Errorf("the one that was succeeded ends with %v, and does not say %q:\n%s", before.cmd.ProcessState, by, printed)
	}
	visits.sees(s, 50)
	s.exactly()
	if after := s.history(); after != history {
		t.Errorf("the history goes on:\n%s\nit was:\n%s", after, history)
	}
	if failed := visits.leave(); len(failed) > 0 {
		t.Errorf("%d of %d requests failed:\n%s\n%s", len(failed), visits.sent.Load(), strings.Join(failed, "\n"), s.situation())
	}
}

// history is the log of events.
func (s *site) history() string {
	s.t.Helper()
	text, err := os.ReadFile(filepath.Join(s.domain.Logs, event.LogFile))
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		s.t.Fatal(err)
	}
	return string(text)
}

// TestTwoAtOnce: of two that run the same file in the same moment one decides in the end, whether something
// ran before or not, and the other one says who.
func TestTwoAtOnce(t *testing.T) {
	s := subject(t)
	times := 2
	if soak() {
		times = 20
	}
	for range times {
		one, two := s.run(), s.run()
		var last, left *run
		select {
		case <-one.over:
			left, last = one, two
		case <-two.over:
			left, last = two, one
		case <-t.Context().Done():
		}
		if printed := left.printed.String(); left.cmd.ProcessState.ExitCode() != 3 || !strings.Contains(printed, "(process "+last.pid()+")") {
			t.Errorf("the one that has left ends with %v, and does not say that process %s decides:\n%s",
				left.cmd.ProcessState, last.pid(), printed)
		}
		last.ready()
		s.exactly()
		last.decides("the other one decides", func(control.Status) bool { return true })
		last.kill()
	}
}
