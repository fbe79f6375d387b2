//go:build unix

package output

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// desk is where a test's processes have their logs.
type desk struct {
	Logs
	dir string
}

func newDesk(t *testing.T) *desk { return &desk{dir: t.TempDir()} }

func (d *desk) path(name string) string { return filepath.Join(d.dir, name+".log") }

// start has a shell print to the log of a name until it ends, and returns its exit code and what
// waits until its log is written.
func (d *desk) start(t *testing.T, name, key, script string, before <-chan struct{}) (code int, finish func()) {
	t.Helper()
	log := d.Open(d.path(name))
	var reads, writes [2]*os.File
	for i := range reads {
		var err error
		if reads[i], writes[i], err = os.Pipe(); err != nil {
			t.Fatal(err)
		}
	}
	cmd := exec.Command("/bin/sh", "-c", script)
	cmd.Stdout, cmd.Stderr = writes[0], writes[1]
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	writes[0].Close()
	writes[1].Close()

	if before != nil {
		log.Leave(before)
	}
	collected := Collect(log, name, key, Stream{File: reads[0]}, Stream{File: reads[1]})
	var exit *exec.ExitError
	if err := cmd.Wait(); err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	return cmd.ProcessState.ExitCode(), func() {
		collected.Finish()
		log.Close()
	}
}

// run has a shell print, and returns its exit code when its log is written.
func (d *desk) run(t *testing.T, name, script string) int {
	t.Helper()
	code, finish := d.start(t, name, "", script, nil)
	finish()
	return code
}

// read returns the current log of a process.
func (d *desk) read(t *testing.T, name string) string {
	t.Helper()
	data, err := os.ReadFile(d.path(name))
	if err != nil && !os.IsNotExist(err) {
		t.Fatal(err)
	}
	return string(data)
}

type logLine struct {
	Divisi int
	Time   time.Time
	Level  string
	Msg    string
	Node   string
}

func parse(t *testing.T, data []byte) []logLine {
	t.Helper()
	var list []logLine
	for line := range bytes.Lines(data) {
		var l logLine
		if err := json.Unmarshal(line, &l); err != nil || line[len(line)-1] != '\n' {
			t.Fatalf("%q: %v", line, err)
		}
		list = append(list, l)
	}
	return list
}

func TestLines(t *testing.T) {
	d := newDesk(t)
	entry := `{"divisi":1,"time":"2030-01-01T00:00:00Z","level":"info","msg":"ours","node":"n"}`
	long := strings.Repeat("x", maxLine+100)
	d.run(t, "talker", fmt.Sprintf(
		"echo plain; echo '%s'; echo '%s,'; printf 'a\\377b\\n'; echo %s; printf unfinished", entry, entry, long))
	d.run(t, "talker", "echo again >&2")
	log := d.read(t, "talker")
	if !strings.Contains(log, entry+"\n") {
		t.Error("the line that is an entry is not as it was")
	}
	var got []string
	for _, l := range parse(t, []byte(log)) {
		got = append(got, l.Level+" "+l.Msg)
		if l.Divisi != 1 || l.Time.IsZero() || l.Node != "talker" && l.Node != "n" {
			t.Errorf("%+v", l)
		}
	}
	want := []string{"stdout plain", "info ours", "stdout " + entry + ",", "stdout a\ufffdb",
		"stdout xxx", "stdout unfinished", "stderr again"}
	if len(got) != len(want) {
		t.Fatalf("%d lines: %.80q", len(got), got)
	}
	for i := range want {
		if strings.HasPrefix(got[i], "stdout xxx") && strings.HasSuffix(got[i], " bytes cut)") && len(got[i]) > 55_000 {
			continue
		}
		if got[i] != want[i] {
			t.Errorf("line %d: %.80q, not %.80q", i+1, got[i], want[i])
		}
	}
}

func TestRotation(t *testing.T) {
	d := newDesk(t)
	d.limit = 8 << 10
	const lines = 1000
	d.run(t, "talker", fmt.Sprintf(
		"i=0; while [ $i -lt %d ]; do echo line $i; i=$((i+1)); done", lines))
	names, err := os.ReadDir(d.dir)
	if err != nil || len(names) != 1+oldFiles {
		t.Fatalf("files %v, %v", names, err)
	}
	var all []logLine
	for n := oldFiles; n >= 0; n-- {
		name := "talker.log"
		if n > 0 {
			name += "." + strconv.Itoa(n)
		}
		data, err := os.ReadFile(filepath.Join(d.dir, name))
		if err != nil || int64(len(data)) > d.limit || len(data) == 0 {
			t.Errorf("%s has %d bytes, %v", name, len(data), err)
		}
		all = append(all, parse(t, data)...)
	}
	for i, l := range all {
		if want := fmt.Sprintf("line %d", lines-len(all)+i); l.Msg != want {
			t.Fatalf("%q where %q should be", l.Msg, want)
		}
	}
	if len(all) < 100 {
		t.Errorf("only %d lines are left", len(all))
	}
}

// TestFlood has a process print more than can be written, as nothing is written at all at first:
// it ends nevertheless, and the log says later what is missing.
func TestFlood(t *testing.T) {
	for name, words := range map[string]string{
		"many":  strings.Repeat("x", 40), // so that few of them are in the pipe when it has ended
		"large": strings.Repeat("y", 40<<10),
	} {
		t.Run(name, func(t *testing.T) {
			d := newDesk(t)
			stuck := make(chan struct{})
			lines := 20_000
			if name == "large" {
				lines = 200
			}
			code, finish := d.start(t, name, "", fmt.Sprintf(
				"i=0; while [ $i -lt %d ]; do echo %s; i=$((i+1)); done; exit 5", lines, words), stuck)
			if code != 5 || d.read(t, name) != "" {
				t.Fatalf("exit code %d", code)
			}
			close(stuck)
			finish()
			log := parse(t, []byte(d.read(t, name)))
			held, lost := 0, 0
			for i, l := range log {
				switch {
				case l.Level == "warn":
					lost += missing(t, l)
				case l.Msg != words:
					t.Fatalf("line %d: %.80q", i+1, l.Msg)
				default:
					held++
				}
			}
			if held+lost != lines || held == 0 || lost == 0 {
				t.Errorf("%d lines are there and %d are missing of %d", held, lost, lines)
			}
		})
	}
}

// missing returns how many lines a line says are missing.
func missing(t *testing.T, l logLine) (n int) {
	t.Helper()
	if _, err := fmt.Sscanf(l.Msg, "%d lines dropped: they came faster", &n); err != nil || n < 1 {
		t.Fatalf("%.80q: %v", l.Msg, err)
	}
	return n
}

// TestUnwritableLog has a process whose log cannot be opened: it runs without.
func TestUnwritableLog(t *testing.T) {
	d := newDesk(t)
	if err := os.Mkdir(filepath.Join(d.dir, "talker.log"), 0o700); err != nil {
		t.Fatal(err)
	}
	if code := d.run(t, "talker", "echo hello; exit 6"); code != 6 {
		t.Errorf("exit code %d", code)
	}
}

// TestMissingIsSaidInPlace drops lines between others.
func TestMissingIsSaidInPlace(t *testing.T) {
	o := newOutput("talker", &Log{path: filepath.Join(t.TempDir(), "log"), limit: maxFile})
	o.read(strings.NewReader(strings.Repeat("before\n", maxLines+3)), "stdout")
	for range 2 {
		o.next()
	}
	o.read(strings.NewReader("after\nlost\n"), "stdout")
	o.write()
	o.end()
	data, err := os.ReadFile(o.log.path)
	if err != nil {
		t.Fatal(err)
	}
	all := parse(t, data)
	if len(all) != maxLines+1 {
		t.Fatalf("%d lines", len(all))
	}
	for i, l := range all {
		switch i {
		case maxLines - 2:
			if missing(t, l) != 3 {
				t.Errorf("line %d: %q", i, l.Msg)
			}
		case maxLines - 1:
			if l.Msg != "after" {
				t.Errorf("line %d: %q", i, l.Msg)
			}
		case maxLines:
			if missing(t, l) != 1 {
				t.Errorf("line %d: %q", i, l.Msg)
			}
		default:
			if l.Msg != "before" {
				t.Errorf("line %d: %q", i, l.Msg)
			}
		}
	}
}

// TestEntriesWithKey: only lines that begin with the key of the process are entries.
func TestEntriesWithKey(t *testing.T) {
	d := newDesk(t)
	_, finish := d.start(t, "talker", "KEY", `echo '{"divisi":"KEY","level":"error","msg":"mine","node":"n"}'
		echo '{"divisi":1,"level":"error","msg":"forged","node":"n"}'`, nil)
	finish()
	log := parse(t, []byte(d.read(t, "talker")))
	if len(log) != 2 || log[0].Level != "error" || log[0].Msg != "mine" || log[0].Divisi != 1 {
		t.Errorf("the log is %+v", log)
	}
	if forged := log[1]; forged.Level != "stdout" || forged.Node != "talker" {
		t.Errorf("what was printed became %+v", forged)
	}
}

// TestFullDisk: lines that could not be written are counted, the log says so once there is room,
// and it goes on with a line of its own.
func TestFullDisk(t *testing.T) {
	path := filepath.Join(t.TempDir(), "log")
	l := &Log{path: path, limit: maxFile}
	line := entry("talker", "stdout", "hello", 0)
	l.write("talker", line)

	// A descriptor of which a part of a line was written before all others fail.
	if _, err := l.file.Write([]byte(`{"divisi":1,"le`)); err != nil {
		t.Fatal(err)
	}
	l.file.Close()
	for range 3 {
		l.write("talker", line)
	}
	l.file = nil // there is room again
	l.write("talker", line)
	l.write("talker", line)
	l.close()

	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(strings.TrimSuffix(string(data), "\n"), "\n")
	if len(lines) != 5 || l.lost.Load() != 3 {
		t.Fatalf("%d lost, and lines %q", l.lost.Load(), lines)
	}
	if said := parse(t, []byte(lines[2]+"\n"))[0]; said.Level != "warn" || !strings.HasPrefix(said.Msg, "3 lines lost: the log could not be written: ") {
		t.Errorf("the log says %+v", said)
	}
	for _, i := range []int{0, 3, 4} {
		if lines[i]+"\n" != string(line) {
			t.Errorf("line %d is %q", i, lines[i])
		}
	}
}

func FuzzRead(f *testing.F) {
	f.Add([]byte("a\nb\r\n\n\xff\x00\n" + `{"divisi":1,"msg":"x"}` + "\n" + `{"divisi":1,` + "\nend"))
	f.Add(bytes.Repeat([]byte("0123456789"), maxLine/5))
	f.Add(bytes.Repeat([]byte("x\n"), 2*maxLines))
	f.Add(append(bytes.Repeat(append(bytes.Repeat([]byte("y"), maxLine/2), '\n'), 40), "z\nz\n"...))
	f.Fuzz(func(t *testing.T, data []byte) {
		o := newOutput("fuzz", &Log{})
		o.read(bytes.NewReader(data), "stdout")
		size, got := 0, int(o.dropped)
		for _, line := range o.lines {
			l := parse(t, line)
			if len(l) != 1 {
				t.Fatalf("%q is not one line", line)
			}
			size += len(line)
			if l[0].Node == "fuzz" && l[0].Level == "warn" {
				got += missing(t, l[0])
			} else {
				got++
			}
		}
		want := bytes.Count(data, []byte("\n"))
		if len(data) > 0 && data[len(data)-1] != '\n' {
			want++
		}
		if got != want || o.bytes != size || size > maxBytes {
			t.Errorf("%d lines of %d, %d bytes, said to be %d", got, want, size, o.bytes)
		}
	})
}

// newOutput returns an output whose lines nobody writes yet.
func newOutput(name string, log *Log) *Output {
	return &Output{name: name, log: log, writing: true}
}

// TestOneNameOneLog has two processes of one name print at the same time, as an upgrade does.
func TestOneNameOneLog(t *testing.T) {
	d := newDesk(t)
	script := `i=0; while [ $i -lt 500 ]; do echo "%s $i"; i=$((i+1)); done`
	var all sync.WaitGroup
	for _, which := range []string{"old", "new"} {
		all.Go(func() { d.run(t, "twice", fmt.Sprintf(script, which)) })
	}
	all.Wait()

	next := map[string]int{}
	for _, l := range parse(t, []byte(d.read(t, "twice"))) {
		which, number, _ := strings.Cut(l.Msg, " ")
		if number != strconv.Itoa(next[which]) {
			t.Fatalf("%s comes after %d lines of %s", l.Msg, next[which], which)
		}
		next[which]++
	}
	if next["old"] != 500 || next["new"] != 500 {
		t.Errorf("lines: %v", next)
	}
	if len(d.files) != 0 {
		t.Errorf("still open: %v", d.files)
	}
}

// TestPause: one who reads on has every line once, whatever was read of it before.
func TestPause(t *testing.T) {
	d := newDesk(t)
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	none, empty, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	empty.Close()
	log := d.Open(d.path("talker"))
	const text = "first\nsecond\r\nthird\n"
	var begun [2][]byte
	for _, b := range []byte(text) {
		o := Collect(log, "talker", "", Stream{r, begun[0]}, Stream{none, begun[1]})
		if _, err := w.Write([]byte{b}); err != nil {
			t.Fatal(err)
		}
		begun = o.Pause()
		r, none = again(t, r), again(t, none)
	}
	o := Collect(log, "talker", "", Stream{r, begun[0]}, Stream{none, begun[1]})
	w.Close()
	o.Finish()
	log.Close()

	var got []string
	for _, l := range parse(t, []byte(d.read(t, "talker"))) {
		got = append(got, l.Msg)
	}
	if want := []string{"first", "second", "third"}; !slices.Equal(got, want) {
		t.Errorf("the log has %q, want %q", got, want)
	}
}

// again returns the file as another program has it that goes on with it.
func again(t *testing.T, f *os.File) *os.File {
	t.Helper()
	raw, err := f.SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	var fd int
	err = raw.Control(func(own uintptr) {
		fd, err = syscall.Dup(int(own))
	})
	if err = errors.Join(err, f.Close()); err != nil {
		t.Fatal(err)
	}
	return os.NewFile(uintptr(fd), f.Name())
}
