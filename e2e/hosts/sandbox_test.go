//go:build linux

package hosts

import (
	"bytes"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/divisi-go/divisi/system/systemtest"
)

// boxed is a program with a sandbox.
type boxed struct {
	t    *testing.T
	home string
	dir  string
}

func newBoxed(t *testing.T) *boxed {
	t.Helper()
	return &boxed{t: t, home: systemtest.Home(t), dir: t.TempDir()}
}

// build builds an edition of the program.
func (b *boxed) build(edition string) string {
	b.t.Helper()
	return build(b.t, "./boxed", b.dir, edition)
}

// start runs the program until it has settled, with variables.
func (b *boxed) start(binary string, env ...string) *run {
	b.t.Helper()
	r := begin(b.t, binary, append(os.Environ(), env...))
	late := time.After(patience)
	for {
		r.mu.Lock()
		said, heard := r.said, r.heard
		r.mu.Unlock()
		if strings.Contains(said, " runs program=") {
			return r
		}
		select {
		case <-heard:
		case <-r.over:
			if strings.Contains(r.said, "a sandbox needs user namespaces") && os.Getenv("CI") != "true" {
				b.t.Skip(r.said)
			}
			b.t.Fatalf("it has ended:\n%s", r.said)
		case <-late:
			b.t.Fatalf("it does not settle:\n%s", said)
		}
	}
}

var insideForm = regexp.MustCompile(`inside page="([^"]*)" orders=(\S+)`)

// inside returns what the server in the sandbox says there, and where it listens on the machine.
func (r *run) inside() (page, orders string) {
	r.t.Helper()
	m := insideForm.FindStringSubmatch(r.says(1, "inside page="))
	if m == nil {
		r.t.Fatalf("it says nothing of the sandbox:\n%s", r.said)
	}
	return m[1], m[2]
}

// visit returns what the server says at an address of the machine, once it answers.
func (b *boxed) visit(address string) string {
	b.t.Helper()
	c := &http.Client{Timeout: patience, Transport: &http.Transport{DisableKeepAlives: true}}
	answer, err := c.Get("http://" + address)
	if err != nil {
		b.t.Fatal(err)
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(answer.Body)
	if err != nil {
		b.t.Fatal(err)
	}
	return string(text)
}

// processes returns those of the machine whose program is one of the test, or whose command line has a word, by that.
func (b *boxed) processes(word string) (pids []int) {
	b.t.Helper()
	entries, err := os.ReadDir("/proc")
	if err != nil {
		b.t.Fatal(err)
	}
	for _, e := range entries {
		pid, err := strconv.Atoi(e.Name())
		if err != nil {
			continue
		}
		program, _ := os.Readlink(filepath.Join("/proc", e.Name(), "exe"))
		line, _ := os.ReadFile(filepath.Join("/proc", e.Name(), "cmdline"))
		of := strings.Contains(program, "/edition-") || strings.Contains(program, b.home)
		if of && bytes.Contains(bytes.ReplaceAll(line, []byte{0}, []byte{' '}), []byte(word)) {
			pids = append(pids, pid)
		}
	}
	return pids
}

// few waits until the processes with a word are as many as wanted.
func (b *boxed) few(word string, wanted int) {
	b.t.Helper()
	late := time.After(patience)
	for len(b.processes(word)) > wanted {
		select {
		case <-time.After(20 * time.Millisecond):
		case <-late:
			printed, _ := exec.Command("ps", "-ef").CombinedOutput()
			b.t.Fatalf("processes are left of %q:\n%s", word, printed)
		}
	}
}

// one returns the process with a word.
func (b *boxed) one(word string) int {
	b.t.Helper()
	pids := b.processes(word)
	if len(pids) != 1 {
		b.t.Fatalf("the processes of %q are %v", word, pids)
	}
	return pids[0]
}

// TestSandbox: a server in a sandbox takes what arrives on the machine, and goes on when the program or a keeper is killed;
// the next edition takes over in the same sandbox. What is asked for no more ends, and nothing is left.
func TestSandbox(t *testing.T) {
	b := newBoxed(t)
	one := b.build("1")
	first := b.start(one)
	page, orders := first.inside()
	if !regexp.MustCompile(`^1 \d+ on box$`).MatchString(page) || b.visit(orders) != page {
		t.Errorf("inside it is %q, and outside %q", page, b.visit(orders))
	}
	same := func(when string) {
		t.Helper()
		if now := b.visit(orders); now != page {
			t.Errorf("%s, %q has become %q", when, page, now)
		}
	}
	first.kill()
	same("without the program")

	second := b.start(one)
	same("run again")
	for _, home := range []string{filepath.Join(b.home, "state"), "/divisi"} {
		if err := syscall.Kill(b.one("divisi keeper "+home), syscall.SIGKILL); err != nil {
			t.Fatal(err)
		}
		second.says(1, "the keeper is back")
		same("after the end of the keeper of " + home)
	}
	second.kill()

	next := b.start(b.build("2"))
	if now := b.visit(orders); !strings.HasPrefix(now, "2 ") {
		t.Errorf("after an upgrade it says %q", now)
	}
	if !strings.Contains(next.said, "adopted server=box@/boxed") {
		t.Errorf("the upgrade has not adopted the sandbox:\n%s", next.said)
	}
	next.kill()
	empty := b.start(one, "EMPTY=yes")
	empty.says(1, "unclaimed: stopped server=box@/boxed")
	b.few("divisi sandbox", 0)
	b.few("keeper /divisi", 0)
	b.few("web", 0)
	if left, err := filepath.Glob(filepath.Join(b.home, "divisi", "*", "box-*")); err != nil || len(left) > 0 {
		t.Errorf("left are %q, %v", left, err)
	}
}
