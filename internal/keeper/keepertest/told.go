//go:build unix

package keepertest

import (
	"bufio"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/divisi-go/divisi/internal/keeper"
	"github.com/divisi-go/divisi/internal/keeper/keepertest/desk"
	"github.com/divisi-go/divisi/internal/keeper/keepertest/play"
	"github.com/divisi-go/divisi/internal/lifecycle"
)

// speaker is a server that says what a test wants.
type speaker struct {
	keeper.Proc
	d      *desk.Desk
	pipes  play.Pipes
	words  *bufio.Reader
	socket string // of the keeper
}

// speaks starts a server that says things.
func speaks(t *testing.T, d *desk.Desk, change func(*keeper.Spec)) *speaker {
	t.Helper()
	if runtime.GOOS != "linux" {
		t.Skip("only Linux says which process has said something")
	}
	s, pipes := desk.Role(t, "speaker", "say")
	s.Notify = true
	change(&s)
	sp := &speaker{d: d, pipes: pipes, words: bufio.NewReader(pipes.Words), Proc: d.Begin(t, s)}
	line, err := sp.words.ReadString('\n')
	words := strings.Fields(line)
	watched := len(words) == 3 && words[2] == fmt.Sprint(s.Watch.Microseconds())
	if err != nil || words[0] != "begins" || watched != (s.Watch > 0) {
		t.Fatalf("it says %q, %v", line, err)
	}
	sp.socket = words[1]

	return sp
}

// says has it say something, and returns what the keeper then tells of it.
func (s *speaker) says(t *testing.T, message string) keeper.Proc {
	t.Helper()
	fmt.Fprintln(s.pipes.Life, message)
	play.Expect(t, s.words, "said "+message)
	list, err := s.d.List(s.d.Ctx, domain)
	if err != nil || len(list) != 1 {
		t.Fatalf("%+v, %v", list, err)
	}

	return list[0]
}

func readyWhenItSays(t *testing.T, d *desk.Desk) {
	s := speaks(t, d, func(*keeper.Spec) {})
	if s.State != lifecycle.Starting {
		t.Errorf("it is %s before it has said anything", s.State)
	}
	if p := s.says(t, "STATUS=warms up"); p.State != lifecycle.Starting || p.Status != "warms up" {
		t.Errorf("%+v", p)
	}
	if p := s.says(t, "READY=1;STATUS=serves"); p.State != lifecycle.Ready || p.Status != "serves" {
		t.Errorf("%+v", p)
	}
	if e := d.Until(t, "speaker", 0, keeper.Ready); e.ID != s.ID {
		t.Errorf("%+v", e)
	}
	if p := s.says(t, "RELOADING=1"); p.State != lifecycle.Ready || p.Status != "reloads" {
		t.Errorf("%+v", p)
	}
	if p := s.says(t, "READY=1"); p.State != lifecycle.Ready || p.Status != "" {
		t.Errorf("%+v", p)
	}
	s.says(t, "STATUS=serves")
	if p := s.says(t, "STOPPING=1"); p.State != lifecycle.NotReady || p.Status != "serves" {
		t.Errorf("%+v", p)
	}
	if p := s.says(t, "READY=1;MAINPID=x"); p.State != lifecycle.Ready {
		t.Errorf("%+v", p)
	}
	unread := d.Until(t, "speaker", 0, keeper.Heard)
	if !strings.Contains(unread.Text, `MAINPID="x"`) {
		t.Errorf("%+v", unread)
	}
	s.says(t, fmt.Sprint("MAINPID=", s.Pid)) // which is no news
	s.says(t, "MAINPID=1")
	if e := d.Until(t, "speaker", unread.Number, keeper.Heard); !strings.Contains(e.Text, "MAINPID=1, which means nothing here") {
		t.Errorf("%+v", e)
	}
	s.pipes.Life.Close()
	if exit := d.Await(t, s.ID); exit.Code != 0 {
		t.Errorf("%+v: %v", exit, d.Log(t, "speaker"))
	}
}

// childrenSay: children say it for the server, also from a session of their own or without its mark.
func childrenSay(t *testing.T, d *desk.Desk) {
	if _, err := exec.LookPath("systemd-notify"); err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatal(err)
		}
		t.Skip("systemd-notify is not installed")
	}
	for name, script := range map[string]string{
		"plain":   "systemd-notify --ready; sleep 60",
		"session": "setsid -w systemd-notify --ready; sleep 60",
		"bare":    `(env -i NOTIFY_SOCKET="$NOTIFY_SOCKET" "$(command -v systemd-notify)" --ready); sleep 60`,
	} {
		s := desk.Shell(name, script)
		s.Notify = true
		p := d.Begin(t, s)
		d.Until(t, name, 0, keeper.Ready)
		if _, err := d.Stop(d.Ctx, p.ID); err != nil {
			t.Error(err)
		}
	}
}

// strangersSayNothing: what a process says that is of no server means nothing.
func strangersSayNothing(t *testing.T, d *desk.Desk) {
	s := speaks(t, d, func(*keeper.Spec) {})
	if err := play.Tell(s.socket, "READY=1"); err != nil {
		t.Fatal(err)
	}
	if p := s.says(t, "STATUS=x"); p.State != lifecycle.Starting {
		t.Errorf("%+v", p)
	}
}

func signsOfLife(t *testing.T, d *desk.Desk) {
	const every = 2 * time.Second
	s := speaks(t, d, func(s *keeper.Spec) { s.Watch, s.Policy = every, desk.Quick(lifecycle.Permanent) })
	for end := time.Now().Add(every * 3 / 2); time.Now().Before(end); {
		if p := s.says(t, "READY=1;WATCHDOG=1"); p.State != lifecycle.Ready || p.Run != s.Run {
			t.Fatalf("%+v", p)
		}
	}
	exit := d.Await(t, s.ID) // it says no more
	if exit.Signal != "killed" || exit.Hung != "it has given no sign of life for 2s" {
		t.Errorf("%+v", exit)
	}
	if e := d.Until(t, "speaker", 0, keeper.Hung); !strings.Contains(e.Text, "no sign of life for 2s") {
		t.Errorf("%+v", e)
	}

	// The next one starts over: it is not killed before it is ready.
	again := d.Until(t, "speaker", 0, keeper.Waits)
	d.Until(t, "speaker", again.Number, keeper.Started)
	if _, err := d.Stop(d.Ctx, s.ID); err != nil {
		t.Error(err)
	}
}

func saysThatItIsStuck(t *testing.T, d *desk.Desk) {
	s := speaks(t, d, func(*keeper.Spec) {})
	fmt.Fprintln(s.pipes.Life, "READY=1;WATCHDOG=trigger")
	if exit := d.Await(t, s.ID); exit.Signal != "killed" || exit.Hung != "it says that it is stuck" {
		t.Errorf("%+v", exit)
	}
}

// keptFiles: the next process of a server gets what this one has stored.
func keptFiles(t *testing.T, d *desk.Desk) {
	s := speaks(t, d, func(s *keeper.Spec) { s.Policy = desk.Quick(lifecycle.Permanent) })
	s.says(t, "FDSTORE=1;FDNAME=state")
	s.says(t, "FDSTORE=1")
	s.says(t, "FDSTORE=1;FDNAME=gone")
	s.says(t, "FDSTOREREMOVE=1;FDNAME=gone")
	s.says(t, "READY=1")
	if err := d.Signal(d.Ctx, s.ID, 9); err != nil {
		t.Fatal(err)
	}
	waits := d.Until(t, "speaker", 0, keeper.Waits)
	next := d.Until(t, "speaker", waits.Number, keeper.Started)
	d.Await(t, next.ID)
	var got []string
	for _, l := range d.Log(t, "speaker") {
		if text := l["msg"].(string); strings.HasPrefix(text, "inherited") && len(got) < 2 {
			got = append(got, text)
		}
	}
	want := []string{"inherited state FDSTORE=1;FDNAME=state <nil>", "inherited stored FDSTORE=1 <nil>"}
	if !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}
