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

	"github.com/divisi-go/divisi/oci/ocitest"
	"github.com/divisi-go/divisi/system/systemtest"
)

// boxed is a program with a sandbox.
type boxed struct {
	t        *testing.T
	home     string
	one, two string // its editions
}

// TestSandbox has a program with a sandbox, each time with another state folder.
func TestSandbox(t *testing.T) {
	dir := t.TempDir()
	one, two := build(t, "./boxed", dir, "1"), build(t, "./boxed", dir, "2")
	for name, test := range map[string]func(*boxed){
		"life": (*boxed).life, "killed": (*boxed).killed, "closed": (*boxed).closed, "otherwise": (*boxed).otherwise,
		"image": (*boxed).image, "failed": (*boxed).failed,
	} {
		t.Run(name, func(t *testing.T) { test(&boxed{t, systemtest.Home(t), one, two}) })
	}
}

// start runs the program until it has settled, with variables.
func (b *boxed) start(binary string, env ...string) *run {
	b.t.Helper()
	r := begin(b.t, binary, append(os.Environ(), env...))
	select {
	case <-r.settled():
	case <-r.over:
		if strings.Contains(r.said, "a sandbox needs user namespaces") && os.Getenv("CI") != "true" {
			b.t.Skip(r.said)
		}
		b.t.Fatalf("it has ended:\n%s", r.said)
	case <-time.After(patience):
		b.t.Fatalf("it does not settle:\n%s", r.said)
	}
	return r
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

// until waits for a condition.
func (b *boxed) until(what string, is func() bool) {
	b.t.Helper()
	late := time.After(patience)
	for !is() {
		select {
		case <-time.After(20 * time.Millisecond):
		case <-late:
			printed, _ := exec.Command("ps", "-ef").CombinedOutput()
			b.t.Fatalf("not yet: %s:\n%s", what, printed)
		}
	}
}

// few waits until the processes with a word are as many as wanted.
func (b *boxed) few(word string, wanted int) {
	b.t.Helper()
	b.until(word+" ends", func() bool { return len(b.processes(word)) <= wanted })
}

// process returns the process with a word.
func (b *boxed) process(word string) int {
	b.t.Helper()
	pids := b.processes(word)
	if len(pids) != 1 {
		b.t.Fatalf("the processes of %q are %v", word, pids)
	}
	return pids[0]
}

// life: a server in a sandbox takes what arrives on the machine, and goes on when the program or a keeper is killed;
// the next edition takes over in the same sandbox. What is asked for no more ends, and nothing is left.
func (b *boxed) life() {
	t := b.t
	first := b.start(b.one)
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

	second := b.start(b.one)
	same("run again")
	for _, home := range []string{filepath.Join(b.home, "state"), "/divisi"} {
		if err := syscall.Kill(b.process("divisi keeper "+home), syscall.SIGKILL); err != nil {
			t.Fatal(err)
		}
		second.says(1, "the keeper is back")
		same("after the end of the keeper of " + home)
	}
	second.kill()

	next := b.start(b.two)
	if now := b.visit(orders); !strings.HasPrefix(now, "2 ") {
		t.Errorf("after an upgrade it says %q", now)
	}
	if !strings.Contains(next.said, "adopted server=box@/boxed") {
		t.Errorf("the upgrade has not adopted the sandbox:\n%s", next.said)
	}
	next.kill()
	empty := b.start(b.one, "EMPTY=yes")
	empty.says(1, "unclaimed: stopped server=box@/boxed")
	b.few("divisi sandbox", 0)
	b.few("keeper /divisi", 0)
	b.few("web", 0)
	b.until("the door is closed", func() bool {
		left, err := filepath.Glob(filepath.Join(b.home, "divisi", "*", "box-*"))
		return err == nil && len(left) == 0
	})
}

// killed: everything in a sandbox ends with its first process, and with the process that watches that. It starts
// again on the same sockets, with what was kept.
func (b *boxed) killed() {
	t := b.t
	r := b.start(b.one)
	before, orders := r.inside()
	for times, which := range []string{"divisi sandbox box", "subject watcher"} {
		inside := b.processes("edition-1 web")
		victim := b.first(which == "subject watcher")
		if err := syscall.Kill(victim, syscall.SIGKILL); err != nil {
			t.Fatal(err)
		}
		b.until("all that was inside has ended", func() bool {
			for _, pid := range inside {
				if _, err := os.Stat(filepath.Join("/proc", strconv.Itoa(pid), "exe")); err == nil {
					return false
				}
			}
			return true
		})
		if now := b.visit(orders); !strings.HasSuffix(now, " on box") {
			t.Errorf("%q has become %q", before, now)
		}
		r.says(times+2, "started server=web@/boxed")
	}
	if pids := b.processes("keeper /divisi"); len(pids) != 1 {
		t.Errorf("keepers of sandboxes are %v", pids)
	}
}

// first returns the first process of the sandbox, or who watches it.
func (b *boxed) first(watcher bool) int {
	b.t.Helper()
	pid := b.process("divisi sandbox box")
	if watcher {
		stat, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(pid), "stat"))
		if err != nil {
			b.t.Fatal(err)
		}
		fields := strings.Fields(string(stat[bytes.LastIndexByte(stat, ')')+1:]))
		pid, _ = strconv.Atoi(fields[1])
	}
	return pid
}

// look is what a program in a sandbox tries.
const look = `
say() { echo "$1=$2"; }
not() { name=$1; shift; if "$@" 2>/dev/null; then say $name yes; else say $name no; fi; }
say capabilities $(sed -n 's/^Cap\(Prm\|Eff\|Bnd\|Amb\):\s*0*//p' /proc/self/status | tr -d '\n')
say privileges $(sed -n 's/^NoNewPrivs:\s*//p' /proc/self/status)
say first "$(tr '\0' , </proc/1/cmdline)"
say devices $(ls /dev | tr '\n' ,)
say interfaces $(sed -n 's/^ *\([a-z0-9]*\):.*/\1/p' /proc/net/dev | tr '\n' ,)
say home $(ls -A "$OUTSIDE" 2>/dev/null | wc -l)
not usr touch /usr/x
not root touch /x
not kernel sh -c 'echo x >/proc/sys/kernel/hostname'
not mount mount -t tmpfs none /tmp
not remount mount -o remount,bind,rw /usr
not users unshare -U true
not keeper sh -c "ls -A $KEEPER | grep ." # what is hidden is empty
not tmp touch /tmp/x
not null sh -c 'echo x >/dev/null'
not shared touch /shared/x
not seen touch /seen/y
say seen "$(ls /seen)"
`

// closed: what a program in a sandbox can do, and cannot.
func (b *boxed) closed() {
	t := b.t
	shared := filepath.Join(b.home, "shared")
	script := "OUTSIDE='" + os.Getenv("HOME") + "' KEEPER='" + os.Getenv("DIVISI_HOME") + "'" + look
	r := b.start(b.one, "SCRIPT="+script, "SHARED="+shared)
	said := r.says(1, "look ends")
	for _, line := range []string{
		"capabilities=", "privileges=1", "first=divisi,sandbox,box@/boxed,", "devices=fd,full,null,random,shm,stderr,stdin,stdout,urandom,zero,",
		"interfaces=lo,", "home=0", "usr=no", "root=no", "kernel=no", "mount=no", "remount=no", "users=no", "keeper=no", "tmp=yes", "null=yes",
		"shared=yes", "seen=no", "seen=x",
	} {
		if !strings.Contains(said, "\n"+line+"\n") && !strings.Contains(said, "look: "+line+"\n") {
			t.Errorf("it does not say %q", line)
		}
	}
	if t.Failed() {
		t.Log(said)
	}
	if _, err := os.Stat(filepath.Join(shared, "x")); err != nil {
		t.Error(err)
	}
}

// otherwise: a sandbox of another specification takes the place of the one before. One that cannot be is refused
// in a sentence.
func (b *boxed) otherwise() {
	t := b.t
	first := b.start(b.one)
	first.kill()
	const interfaces = "echo $(grep -c : /proc/net/dev) links; cat /divisi/domains/boxed/data/notes/note"
	second := b.start(b.one, "NETWORK=host", "SCRIPT="+interfaces)
	second.says(1, "upgraded server=box@/boxed")
	links, err := os.ReadFile("/proc/net/dev")
	if want := strconv.Itoa(bytes.Count(links, []byte(":"))) + " links\n1\n"; err != nil || !strings.Contains(second.said, want) {
		t.Errorf("it does not say %q, %v:\n%s", want, err, second.said)
	}
	second.kill()

	wrong := begin(t, b.one, append(os.Environ(), "LIMITS=memory"))
	<-wrong.over
	if want := "the limit memory has no value: write memory=VALUE"; !strings.Contains(wrong.said, want) {
		t.Errorf("it does not say %q:\n%s", want, wrong.said)
	}
	limited := begin(t, b.one, append(os.Environ(), "LIMITS=memory=256M pids=200", "SCRIPT=grep -o '[^/]*$' /proc/self/cgroup"))
	select {
	case <-limited.over:
		if want := "the limit memory=268435456: "; !strings.Contains(limited.said, want) {
			t.Errorf("it does not say %q:\n%s", want, limited.said)
		}
	case <-limited.settled():
	}
}

// image: the program of an image runs, and sees its layers and nothing else. One that is damaged is refused.
func (b *boxed) image() {
	t := b.t
	program, err := os.ReadFile(b.one)
	if err != nil {
		t.Fatal(err)
	}
	layers := [][]byte{
		ocitest.Layer(t, ocitest.File("bin/server", string(program)), ocitest.File("etc/note", "one"), ocitest.File("etc/hidden", "x")),
		ocitest.Layer(t, ocitest.File("etc/note", "two"), ocitest.File("etc/.wh.hidden", "")),
	}
	r := b.start(b.one, "IMAGE="+ocitest.Write(t, ocitest.Image{Layers: layers}))
	for _, want := range []string{
		"look: bin dev divisi etc proc run tmp var two <nil> b\n", "open /etc/note: read-only file system\n", "stat /etc/hidden: no such file or directory\n",
	} {
		if !strings.Contains(r.said, want) {
			t.Errorf("it does not say %q:\n%s", want, r.said)
		}
	}
	r.kill()

	bad := begin(t, b.one, append(os.Environ(), "IMAGE="+ocitest.Write(t, ocitest.Image{Layers: layers[1:], Damage: 1})))
	<-bad.over
	if !strings.Contains(bad.said, "layer 1 (sha256:") || !strings.Contains(bad.said, "its content is not that of its sum") {
		t.Errorf("of a damaged image it says:\n%s", bad.said)
	}
}

// failed: when a start fails, what it has started stops in order, the servers in a sandbox first.
func (b *boxed) failed() {
	r := begin(b.t, b.one, append(os.Environ(), "FAIL=yes"))
	<-r.over
	if !strings.HasSuffix(r.said, "fails as it was told\n") || strings.Contains(r.said, "ERROR") {
		b.t.Errorf("it says:\n%s", r.said)
	}
	for _, what := range []string{"divisi sandbox", "keeper /divisi", "web"} {
		b.few(what, 0)
	}
}

// settled is closed once a run has settled.
func (r *run) settled() <-chan struct{} {
	settled := make(chan struct{})
	go func() {
		r.mu.Lock()
		defer r.mu.Unlock()
		for !strings.Contains(r.said, " runs program=") {
			heard := r.heard
			r.mu.Unlock()
			select {
			case <-heard:
			case <-r.over:
				r.mu.Lock()
				return
			}
			r.mu.Lock()
		}
		close(settled)
	}()
	return settled
}
