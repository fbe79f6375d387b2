//go:build linux

package system

import (
	"bufio"
	"context"
	"flag"
	"fmt"
	"io/fs"
	"maps"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/divisi-go/divisi/internal/control"
	"github.com/divisi-go/divisi/internal/event"
	"github.com/divisi-go/divisi/internal/keeper"
	"github.com/divisi-go/divisi/internal/keeper/door"
	"github.com/divisi-go/divisi/internal/lifecycle"
)

var (
	kills    = flag.Int("kills", 3, "of the program")
	upgrades = flag.Int("upgrades", 2, "of the program")
	rounds   = flag.Int("rounds", 3, "of what happens to two programs at random")
)

// TestKilled: a program is killed under load, at any time, and run again. Nothing is lost, and nothing is
// started again.
func TestKilled(t *testing.T) {
	s := newSite(t)
	r := s.run("subject", "1").runs()
	before := s.servers("subject")
	visits := visit(t, s.address("subject"))
	for i := range *kills {
		if i%2 == 1 { // while it starts
			s.run("subject", "1").after(rand.N(100 * time.Millisecond)).kill()
		}
		r.kill()
		r = s.run("subject", "1").runs()
		if now := s.servers("subject"); !maps.Equal(now, before) {
			t.Fatalf("after kill %d there are %v, and there were %v", i, now, before)
		}
	}
	visits.leave(t)
}

// after waits for a time, or until the run can be used.
func (r *run) after(d time.Duration) *run {
	select {
	case <-time.After(d):
	case <-r.settled:
	case <-r.over:
	}
	return r
}

// TestUpgraded: the next version of a program takes its place under load, also where it is killed half-way.
func TestUpgraded(t *testing.T) {
	s := newSite(t)
	r := s.run("subject", "1").runs()
	before := s.servers("subject")
	visits := visit(t, s.address("subject"))
	for i := range *upgrades {
		edition := []string{"2", "1"}[i%2]
		r.kill()
		if i%2 == 1 {
			s.run("subject", edition).after(rand.N(500 * time.Millisecond)).kill()
		}
		r = s.run("subject", edition).runs()
		now := s.servers("subject")
		if len(now) != 2 || now["steady@/subject"] != before["steady@/subject"] || now["web@/subject/front"] == before["web@/subject/front"] {
			t.Fatalf("after upgrade %d there are %v, and there were %v", i, now, before)
		}
		before = now
		s.until("the next version answers", func() bool {
			visits.mu.Lock()
			defer visits.mu.Unlock()
			return visits.last == edition
		})
	}
	visits.leave(t)
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

// TestHung: a server that stops giving signs of life is killed by the keeper, and starts again. Why is said by its end,
// by an event and by the program, and nothing else is disturbed.
func TestHung(t *testing.T) {
	s := newSite(t)
	r := s.run("subject", "1", "SUBJECT_MUTE=1").runs()
	before := s.servers("subject")
	if err := syscall.Kill(before["steady@/subject"], syscall.SIGUSR1); err != nil {
		t.Fatal(err)
	}
	const why = "hung: it has given no sign of life for 100ms"
	s.until("it starts again", func() bool { return s.restarts("steady") == 1 })
	if !strings.Contains(r.words(), "steady@/subject was ended by the signal killed: "+why) {
		t.Errorf("it does not say why:\n%s", r.words())
	}
	if now := s.servers("subject"); now["web@/subject/front"] != before["web@/subject/front"] {
		t.Errorf("there are %v, and there were %v", now, before)
	}

	events, err := s.operator().Events(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	var said []string
	for _, e := range events {
		if of, ok := event.About(e.Event); ok && of.Name == "steady@/subject" {
			said = append(said, e.Event.String())
		}
	}
	text := strings.Join(said, "\n")
	hung, ended := strings.Index(text, "steady@/subject is killed: "+why), strings.Index(text, "was ended by the signal killed: "+why)
	if hung < 0 || ended < hung {
		t.Errorf("its events are\n%s", text)
	}
}

// TestWaiting: a program that is interrupted leaves nothing that its keeper would start again later.
func TestWaiting(t *testing.T) {
	s := newSite(t)
	r := s.run("subject", "1", "SUBJECT_PATIENT=1").runs()
	waits := func(p keeper.Proc) bool { return p.Name == "steady" && p.State == lifecycle.Backoff }
	if err := syscall.Kill(s.servers("subject")["steady@/subject"], syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	s.until("it waits for its next start", func() bool { return slices.ContainsFunc(s.list("subject"), waits) })

	if err := r.cmd.Process.Signal(os.Interrupt); err != nil {
		t.Fatal(err)
	}
	if code := r.ends(); code != 0 {
		t.Errorf("the exit code is %d:\n%s", code, r.words())
	}
	if left := s.list("subject"); len(left) > 0 {
		t.Errorf("there is %+v", left)
	}
}

// operator returns who operates the subject.
func (s *site) operator() *control.Client {
	return control.NewClient(s.home.Domain("/subject").Door, "subject")
}

// restarts returns how often a member of the subject has started again and is ready; -1 if it is not.
func (s *site) restarts(name string) int {
	s.t.Helper()
	status, err := s.operator().Status(s.t.Context())
	if err != nil {
		s.t.Fatal(err)
	}
	for _, m := range status.Members {
		if m.Path == "/subject/"+name && m.State == string(lifecycle.Ready) {
			return m.Restarts
		}
	}
	return -1
}

// TestPortTaken: a port that somebody else has becomes a question. The answer is another one, and the same run goes on
// with it; what ran before has the same process.
func TestPortTaken(t *testing.T) {
	s := newSite(t)
	other, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close()
	r := s.run("subject", "1", "SUBJECT_LISTEN="+other.Addr().String())
	var asked []control.Question
	s.until("it asks for another address", func() bool {
		asked, _ = s.operator().Questions(t.Context()) // it may not listen yet
		return len(asked) == 1
	})
	if q := asked[0]; q.Key != "/subject/listen" || !strings.Contains(q.Text, "address already in use") {
		t.Errorf("it asks %+v", q)
	}
	before := s.servers("subject")

	answer := control.Answer{Key: "/subject/listen", Kind: control.Value, Value: "127.0.0.1:0"}
	if err := s.operator().Answer(t.Context(), answer); err != nil {
		t.Fatal(err)
	}
	r.runs()
	now := s.servers("subject")
	if len(now) != 2 || now["steady@/subject"] == 0 || now["steady@/subject"] != before["steady@/subject"] {
		t.Errorf("there are %v, and there were %v", now, before)
	}
	if text, err := once(httpClient(), s.address("subject")); err != nil || text != "1" {
		t.Errorf("the answer is %q: %v", text, err)
	}
}

// TestTaken: of two runs of one program the later one decides, and the earlier one says so; also one that stood still
// meanwhile, and has missed the end of a server.
func TestTaken(t *testing.T) {
	s := newSite(t)
	first := s.run("subject", "1", "SUBJECT=").runs()
	before := s.servers("subject")
	second := s.run("subject", "1", "SUBJECT=").runs()
	first.isTaken()
	if now := s.servers("subject"); !maps.Equal(now, before) {
		t.Errorf("there are %v, and there were %v", now, before)
	}

	second.signal(syscall.SIGSTOP)
	s.run("subject", "1", "SUBJECT=").runs()
	if err := syscall.Kill(before["steady@/subject"], syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	s.until("the third one starts it again", func() bool { return s.restarts("steady") == 1 })
	before = s.servers("subject")
	second.signal(syscall.SIGCONT)
	second.isTaken()
	if now := s.servers("subject"); !maps.Equal(now, before) {
		t.Errorf("there are %v, and there were %v", now, before)
	}
}

func (r *run) signal(signal syscall.Signal) {
	r.s.t.Helper()
	if err := r.cmd.Process.Signal(signal); err != nil {
		r.s.t.Fatal(err)
	}
}

// isTaken waits until the run has ended because another one decides.
func (r *run) isTaken() {
	r.s.t.Helper()
	if code := r.ends(); code != 3 || !strings.Contains(r.words(), "another run of the program decides by now") {
		r.s.t.Errorf("it ends with %d:\n%s", code, r.words())
	}
}

// TestUnclaimed: what the next version calls otherwise is reported by the name that it had, and stopped. A
// version that fails stops nothing of what was there, and leaves nothing.
func TestUnclaimed(t *testing.T) {
	s := newSite(t)
	s.run("subject", "1").runs().kill()
	before := s.servers("subject")

	failing := s.run("subject", "1", "SUBJECT_WEB=other", "SUBJECT_FAILS=1")
	if code := failing.ends(); code != 1 || !strings.Contains(failing.words(), "this version fails") {
		t.Errorf("it ends with %d:\n%s", code, failing.words())
	}
	if now := s.servers("subject"); !maps.Equal(now, before) {
		t.Errorf("there are %v, and there were %v", now, before)
	}

	r := s.run("subject", "1", "SUBJECT_WEB=other").runs()
	s.until("what is unclaimed is stopped", func() bool {
		now := s.servers("subject")
		return len(now) == 2 && now["other@/subject/front"] != 0 && now["steady@/subject"] == before["steady@/subject"]
	})
	if !strings.Contains(r.words(), "server=web@/subject/front") {
		t.Errorf("it is not reported:\n%s", r.words())
	}

	if err := r.cmd.Process.Signal(syscall.SIGINT); err != nil {
		t.Fatal(err)
	}
	if code := r.ends(); code != 0 {
		t.Errorf("it ends with %d:\n%s", code, r.words())
	}
	if now := s.servers("subject"); len(now) != 0 {
		t.Errorf("%v is left", now)
	}
	if conn, err := net.Dial("tcp", s.address("subject")); err == nil {
		t.Errorf("somebody still listens at %s", s.address("subject"))
		conn.Close()
	}
}

// TestWithdrawn: a next version that does not get ready is stopped, and what was there before has not left, or
// is there again.
func TestWithdrawn(t *testing.T) {
	s := newSite(t)
	s.run("subject", "1").runs().kill()
	before := s.servers("subject")
	visits := visit(t, s.address("subject"))

	r := s.run("subject", "1", "SUBJECT_BROKEN=1")
	if code := r.ends(); code != 1 {
		t.Errorf("it ends with %d", code)
	}
	for _, words := range []string{"web@/subject/front", "subject/main.go:", "not ready after 1s", "this is broken", "runs on"} {
		if !strings.Contains(r.words(), words) {
			t.Errorf("it does not say %q:\n%s", words, r.words())
		}
	}
	if now := s.servers("subject"); !maps.Equal(now, before) {
		t.Errorf("there are %v, and there were %v", now, before)
	}
	visits.leave(t)

	r = s.run("subject", "1", "SUBJECT_STEADY=false") // one that cannot run beside another
	if code := r.ends(); code != 1 || !strings.Contains(r.words(), "the one before runs again") {
		t.Errorf("it ends with %d:\n%s", code, r.words())
	}
	now := s.servers("subject")
	if len(now) != 2 || now["steady@/subject"] == 0 || now["web@/subject/front"] != before["web@/subject/front"] {
		t.Errorf("there are %v, and there were %v", now, before)
	}
	s.run("subject", "1").runs()
	if later := s.servers("subject"); !maps.Equal(later, now) {
		t.Errorf("there are %v, and there were %v", later, now)
	}
}

// TestKeeperKilled: the keeper is killed under load, again and again, and nothing starts again for that. A server
// that has ended meanwhile does, when the next keeper is there.
func TestKeeperKilled(t *testing.T) {
	const away, most = "the keeper is away: what runs goes on", 20
	s := newSite(t)
	r := s.run("subject", "1").runs()
	before := s.servers("subject")
	visits := visit(t, s.address("subject"))
	for i := 0; i < *kills || !strings.Contains(r.words(), away); i++ {
		if i == *kills+most {
			t.Fatalf("nobody says that the keeper was away:\n%s", r.words())
		}
		s.killKeeper(func() error { return nil })
		if now := s.servers("subject"); !maps.Equal(now, before) {
			t.Fatalf("after kill %d there are %v, and there were %v", i, now, before)
		}
	}

	s.killKeeper(func() error { return syscall.Kill(before["steady@/subject"], syscall.SIGKILL) })
	s.until("what has ended meanwhile runs again", func() bool {
		pid := s.servers("subject")["steady@/subject"]
		return pid != 0 && pid != before["steady@/subject"]
	})
	if now := s.servers("subject"); len(now) != 2 || now["web@/subject/front"] != before["web@/subject/front"] {
		t.Errorf("there are %v, and there were %v", now, before)
	}
	visits.leave(t)
}

// killKeeper kills the keeper, has something happen, and returns when there is the next keeper.
func (s *site) killKeeper(meanwhile func() error) {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	client, err := door.Find(ctx, s.home)
	if err != nil {
		s.t.Fatal(err)
	}
	defer client.Release()
	before, err := client.Info(ctx)
	if err == nil {
		err = syscall.Kill(before.Pid, syscall.SIGKILL)
	}
	if err == nil {
		err = meanwhile()
	}
	if err != nil {
		s.t.Fatal(err)
	}
	s.until("the next keeper answers", func() bool {
		now, err := client.Info(ctx)
		return err == nil && now.Pid != before.Pid
	})
}

// TestSilent: what runs as wanted and does not answer when the program comes again is replaced, as if it ran in
// another way. Where the next one does not answer either, it is stopped, the one before stays, and the program says
// what the next one has said.
func TestSilent(t *testing.T) {
	const web = "web@/subject/front"
	s := newSite(t)
	t.Setenv("SUBJECT_SHY", "1")
	s.run("subject", "1").runs().kill()
	before := s.servers("subject")
	if _, err := once(httpClient(), s.address("subject")+"/hush"); err != nil {
		t.Fatal(err)
	}
	shy := filepath.Join(s.home.Domain("/subject").Data, "shy")
	if err := os.WriteFile(shy, nil, 0o600); err != nil {
		t.Fatal(err)
	}

	r := s.run("subject", "1")
	if code := r.ends(); code != 1 {
		t.Errorf("it ends with %d", code)
	}
	for _, words := range []string{
		"it runs as wanted, and cannot be used: another one takes its place", "cannot start " + web, "not ready after 4s", "this is shy", "runs on",
	} {
		if !strings.Contains(r.words(), words) {
			t.Errorf("it does not say %q:\n%s", words, r.words())
		}
	}
	if now := s.servers("subject"); !maps.Equal(now, before) {
		t.Errorf("there are %v, and there were %v", now, before)
	}

	if err := os.Remove(shy); err != nil {
		t.Fatal(err)
	}
	r = s.run("subject", "1").runs()
	if !strings.Contains(r.words(), "the one before may have answered that the next one is ready") {
		t.Errorf("it does not say that nobody can be sure:\n%s", r.words())
	}
	r.kill()
	now := s.servers("subject")
	if len(s.list("subject")) != 2 || now["steady@/subject"] != before["steady@/subject"] || now[web] == before[web] {
		t.Errorf("there are %v, and there were %v", now, before)
	}
	if text, err := once(httpClient(), s.address("subject")); err != nil || text != "1" {
		t.Errorf("the answer is %q: %v", text, err)
	}
	s.run("subject", "1").runs()
	if later := s.servers("subject"); !maps.Equal(later, now) {
		t.Errorf("the one that has taken the place is not adopted: there are %v, and there were %v", later, now)
	}
}

// upgrading runs the next version of the subject, whose web server does not get ready, and returns when that runs
// beside the one before.
func (s *site) upgrading() *run {
	s.t.Helper()
	r := s.run("subject", "1", "SUBJECT_BROKEN=1", "SUBJECT_LONG=1")
	s.until("the next server runs beside the one before", func() bool { return len(s.list("subject")) == 3 })
	return r
}

// TestUpgradeInterrupted: who interrupts a program in the middle of an upgrade has everything stop: the next server,
// and the one before.
func TestUpgradeInterrupted(t *testing.T) {
	s := newSite(t)
	s.run("subject", "1").runs().kill()
	r := s.upgrading()
	if err := r.cmd.Process.Signal(syscall.SIGINT); err != nil {
		t.Fatal(err)
	}
	if code := r.ends(); code != 0 {
		t.Errorf("it ends with %d:\n%s", code, r.words())
	}
	if now := s.servers("subject"); len(now) != 0 {
		t.Errorf("%v is left", now)
	}
}

// TestUpgradeBereft: the server before ends in the middle of an upgrade that fails. That is said, and it runs again
// when nobody decides about the program any more.
func TestUpgradeBereft(t *testing.T) {
	const web = "web@/subject/front"
	s := newSite(t)
	s.run("subject", "1").runs().kill()
	before := s.servers("subject")
	r := s.upgrading()
	if err := syscall.Kill(before[web], syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	if code := r.ends(); code != 1 || !strings.Contains(r.words(), "has ended meanwhile") {
		t.Errorf("it ends with %d:\n%s", code, r.words())
	}
	s.until("the one before runs again", func() bool {
		now := s.servers("subject")
		return len(now) == 2 && now[web] != 0 && now[web] != before[web]
	})
	if text, err := once(httpClient(), s.address("subject")); err != nil || text != "1" {
		t.Errorf("the answer is %q: %v", text, err)
	}
}

// TestLeaving: a program is killed in the middle of an upgrade, when the server before was told to end. The next
// run does not take that one for a server that stays.
func TestLeaving(t *testing.T) {
	s := newSite(t)
	t.Setenv("SUBJECT_GRACE", "2s")
	s.run("subject", "1").runs().kill()
	before := s.servers("subject")
	busy, err := net.Dial("tcp", s.address("subject"))
	if err != nil {
		t.Fatal(err)
	}
	defer busy.Close()
	fmt.Fprint(busy, "GET / HTTP/1.1\r\nHost: x\r\n\r\n")
	if _, err := http.ReadResponse(bufio.NewReader(busy), nil); err != nil {
		t.Fatal(err)
	}
	fmt.Fprint(busy, "GET / HTTP/1.1\r\n") // the server waits for the rest, as long as it may

	next := s.run("subject", "2")
	s.until("the server before is told to end", func() bool {
		return slices.ContainsFunc(s.list("subject"), func(p keeper.Proc) bool { return p.State == lifecycle.Stopping })
	})
	next.kill()
	s.run("subject", "1").runs()
	now := s.servers("subject")
	if len(s.list("subject")) != 2 || now["steady@/subject"] != before["steady@/subject"] || now["web@/subject/front"] == before["web@/subject/front"] {
		t.Errorf("there are %v, and there were %v", now, before)
	}
}

// TestTwoPrograms: whatever happens to one program, the other one has the same processes, socket and logs.
func TestTwoPrograms(t *testing.T) {
	s := newSite(t)
	names := []string{"a", "b"}
	runs := map[string]*run{}
	for _, name := range names {
		runs[name] = s.run(name, "1").runs()
	}
	for range *rounds {
		i := rand.IntN(2)
		name, other := names[i], names[1-i]
		before, address, logs := s.servers(other), s.address(other), s.logs(other)
		switch rand.IntN(3) {
		case 0:
			runs[name].kill()
			runs[name] = s.run(name, "1").runs()
		case 1:
			runs[name] = s.run(name, "2").runs()
		case 2:
			s.run(name, "2").after(rand.N(300 * time.Millisecond)).kill()
			runs[name] = s.run(name, "1").runs()
		}
		if now := s.servers(other); !maps.Equal(now, before) || s.address(other) != address {
			t.Fatalf("%s has %v at %s, and had %v at %s", other, now, s.address(other), before, address)
		}
		now := s.logs(other)
		for file, text := range logs {
			if !strings.HasPrefix(now[file], text) || strings.Contains(now[file], "@/"+name) {
				t.Fatalf("the log %s was\n%s\nand is\n%s", file, text, now[file])
			}
		}
		if _, err := once(httpClient(), s.address(other)); err != nil {
			t.Fatal(err)
		}
	}
}

// logs returns what there is in the logs of a program, by their files.
func (s *site) logs(name string) map[string]string {
	s.t.Helper()
	all := map[string]string{}
	err := filepath.WalkDir(s.home.Domain("/"+name).Logs, func(path string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return err
		}
		text, err := os.ReadFile(path)
		all[path] = string(text)
		return err
	})
	if err != nil || len(all) == 0 {
		s.t.Fatalf("%d logs of %s: %v", len(all), name, err)
	}
	return all
}
