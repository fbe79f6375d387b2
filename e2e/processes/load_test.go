//go:build linux

package processes_test

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/divisi-go/divisi/internal/control"
)

// failure is a failed request, as the load generator reports it.
type failure struct {
	Time   time.Time
	Page   string
	Kind   string
	Error  string
	Millis float64
	Local  string
}

// began is when the request was sent.
func (f failure) began() time.Time {
	return f.Time.Add(-time.Duration(f.Millis * float64(time.Millisecond)))
}

// crowd is the load generator, running.
type crowd struct {
	t      *testing.T
	cmd    *exec.Cmd
	report bytes.Buffer
	errors string
}

// visit has customers visit a shop until the crowd is told to leave, or so many requests are made.
func visit(t *testing.T, url string, flags ...string) *crowd {
	t.Helper()
	c := &crowd{t: t, errors: filepath.Join(t.TempDir(), "errors")}
	c.cmd = exec.Command(binary(t, "load"), append([]string{
		"-url", url, "-duration", "10m", "-o", "json", "-errors", c.errors}, flags...)...)
	c.cmd.Stdout, c.cmd.Stderr = &c.report, t.Output()
	if err := c.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		c.cmd.Process.Kill()
		c.cmd.Wait() // a second time unless the test has failed
	})
	return c
}

// leave ends the visits after the requests that have begun.
func (c *crowd) leave() (int, []failure) {
	c.t.Helper()
	if err := c.cmd.Process.Signal(os.Interrupt); err != nil {
		c.t.Error(err)
	}
	return c.wait()
}

// wait waits for the end, and returns the number of requests and those that failed.
func (c *crowd) wait() (int, []failure) {
	c.t.Helper()
	var exit *exec.ExitError
	if err := c.cmd.Wait(); err != nil && (!errors.As(err, &exit) || exit.ExitCode() != 1) {
		c.t.Fatalf("the load generator: %v", err)
	}
	var report struct{ Requests, Errors int }
	if err := json.Unmarshal(c.report.Bytes(), &report); err != nil {
		c.t.Fatalf("%v in %s", err, &c.report)
	}
	failures := lines[failure](c.t, c.errors)
	if len(failures) != report.Errors {
		c.t.Errorf("%d requests failed, and %d are listed", report.Errors, len(failures))
	}
	return report.Requests, failures
}

// lines reads a file of JSON, a value a line.
func lines[T any](t *testing.T, file string) (list []T) {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	for line := range bytes.Lines(text) {
		var value T
		if err := json.Unmarshal(line, &value); err != nil {
			t.Fatalf("%s: %v: %s", file, err, line)
		}
		list = append(list, value)
	}
	return list
}

// kill is a process that was killed, with the connections that it had accepted.
type kill struct {
	time  time.Time
	group string
	peers map[string]bool // ports of their other ends
}

// killWith kills a process as kill -9 does. It is stopped before, so that it accepts no more
// connections than are read.
func killWith(t *testing.T, r control.ReplicaStatus, port string) kill {
	t.Helper()
	k := kill{time: time.Now(), group: r.Group, peers: map[string]bool{}}
	if err := syscall.Kill(r.Pid, syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	if !poll(t, func() bool { return stopped(r.Pid) }) {
		t.Fatalf("the process %d does not stop", r.Pid)
	}
	held := sockets(t, r.Pid)
	for _, table := range []string{"/proc/net/tcp", "/proc/net/tcp6"} {
		connections(t, table, func(local, peer, inode string) {
			if local == port && held[inode] && peer != "0" {
				k.peers[peer] = true
			}
		})
	}
	if err := syscall.Kill(r.Pid, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	return k
}

// stopped reports whether all threads of a process are stopped.
func stopped(pid int) bool {
	threads, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/stat", pid))
	return err == nil && len(threads) > 0 && !slices.ContainsFunc(threads, func(file string) bool {
		text, err := os.ReadFile(file)
		_, rest, ok := strings.Cut(string(text), ") ")
		return !errors.Is(err, fs.ErrNotExist) && (!ok || rest[0] != 'T')
	})
}

// sockets returns the inodes of the sockets that a process has open.
func sockets(t *testing.T, pid int) map[string]bool {
	t.Helper()
	files, err := filepath.Glob(fmt.Sprintf("/proc/%d/fd/*", pid))
	if err != nil || len(files) == 0 {
		t.Fatalf("the process %d has no files: %v", pid, err)
	}
	inodes := map[string]bool{}
	for _, file := range files {
		target, _ := os.Readlink(file) // files may go, sockets of a stopped process do not
		if inode, ok := strings.CutPrefix(target, "socket:["); ok {
			inodes[strings.TrimSuffix(inode, "]")] = true
		}
	}
	return inodes
}

// connections calls f with the ports and the inode of each line of a table of the kernel.
func connections(t *testing.T, table string, f func(local, peer, inode string)) {
	t.Helper()
	file, err := os.Open(table)
	if errors.Is(err, fs.ErrNotExist) {
		return // no IPv6
	}
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	port := func(address string) string {
		_, hex, _ := strings.Cut(address, ":")
		n, err := strconv.ParseUint(hex, 16, 16)
		if err != nil {
			t.Fatalf("%s: %v", table, err)
		}
		return strconv.FormatUint(n, 10)
	}
	s := bufio.NewScanner(file)
	s.Scan() // the titles
	for s.Scan() {
		if fields := strings.Fields(s.Text()); len(fields) > 9 {
			f(port(fields[1]), port(fields[2]), fields[9])
		}
	}
	if err := s.Err(); err != nil {
		t.Fatal(err)
	}
}

// entry is a line of the log of a process.
type entry struct {
	Time      time.Time
	Msg       string
	Component string
	Attrs     map[string]string
}

// entries returns what all processes of a deployment have logged so far.
func (d *deployment) entries() (list []entry) {
	d.t.Helper()
	files, err := filepath.Glob(filepath.Join(d.logs, "*.log*"))
	if err != nil || len(files) == 0 {
		d.t.Fatalf("no logs: %v", err)
	}
	for _, file := range files {
		list = append(list, lines[entry](d.t, file)...)
	}
	return list
}

// port returns that of the listener.
func (d *deployment) port() string { return d.url[strings.LastIndexByte(d.url, ':')+1:] }

// served returns how many requests the processes that run now have served.
func (d *deployment) served() float64 {
	d.t.Helper()
	all, err := d.Metrics(d.t.Context())
	if err != nil {
		d.t.Fatal(err)
	}
	sum := 0.0
	for _, replica := range all {
		for _, m := range replica.Metrics {
			if m.Name == "divisi_http_request_count" {
				sum += float64(m.Value)
			}
		}
	}
	return sum
}
