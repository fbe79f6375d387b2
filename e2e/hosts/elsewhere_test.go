//go:build linux

package hosts

import (
	"bufio"
	"bytes"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
)

// command builds divisi, and returns what runs a command of it: its output, what it says beside that, and its exit code.
func (f *fleet) command() func(args ...string) (out, said string, code int) {
	f.t.Helper()
	binary := filepath.Join(f.dir, "divisi")
	if printed, err := exec.Command("go", "build", "-o", binary, "../../cmd/divisi").CombinedOutput(); err != nil {
		f.t.Fatalf("%v\n%s", err, printed)
	}
	return func(args ...string) (string, string, int) {
		f.t.Helper()
		cmd := exec.Command(binary, args...)
		cmd.Env = f.env
		var out, said bytes.Buffer
		cmd.Stdout, cmd.Stderr = &out, &said
		err := cmd.Run()
		if exit := (*exec.ExitError)(nil); err != nil && !errors.As(err, &exit) {
			f.t.Fatal(err)
		}
		return out.String(), said.String(), cmd.ProcessState.ExitCode()
	}
}

// TestElsewhere: commands show the servers of a program on other hosts, what they say, and that nobody sees them while the
// program does not run.
func TestElsewhere(t *testing.T) {
	f := newFleet(t)
	f.env = append(f.env, "NEAR=yes")
	divisi := f.command()
	shows := func(args string, want int, words ...string) string {
		t.Helper()
		out, said, code := divisi(strings.Fields(args)...)
		for _, word := range words {
			if !strings.Contains(strings.Join(strings.Fields(out+said), " "), word) {
				t.Errorf("divisi %s does not say %q:\n%s%s", args, word, out, said)
			}
		}
		if code != want {
			t.Errorf("divisi %s exits with %d, not %d:\n%s%s", args, code, want, out, said)
		}
		return out
	}
	one := f.build("1")
	first := f.run(one)
	first.says(1, " runs program=")
	f.attached("fleet", "web@/fleet/host1", func() {
		if _, err := f.client().Get("http://host1:7000?end=yes"); err == nil {
			t.Error("it answers, and was to end")
		}
	})
	shows("attach web@/fleet/host1", 1, "web@/fleet/host1 is a server, and no application", "divisi logs --follow web@/fleet/host1")
	before := f.pages()

	shows("ps", 0, "NAME HOST PID", "near@/fleet local", "web@/fleet/host1 host1", "web@/fleet/host2 host2")
	shows("ps fleet -o json", 0, `"host": "host1"`, `"host": "local"`)
	shows("status fleet", 0, "MEMBER HOST KIND", "web host1 server ready", "near local server ready")
	shows("status web", 2, "several servers have the name web: give one of web@/fleet/host1, web@/fleet/host2")
	shows("status web@/fleet/host2", 0, "web@/fleet/host2 is ready on the host host2, of fleet")
	shows("logs fleet", 0, "web@/fleet/host1 edition 1", "web@/fleet/host2 edition 1", "near@/fleet near", "* web@/fleet/host1")
	if out := shows("logs web@/fleet/host1", 0, "web@/fleet/host1 edition 1"); strings.Contains(out, "host2") {
		t.Errorf("the log of one server has another one:\n%s", out)
	}
	shows("do fleet logs host2/web", 0, "web@/fleet/host2 edition 1")
	f.follows("word-1", "logs", "-f", "web@/fleet/host1")
	f.follows("word-2", "logs", "--follow", "fleet", "--kind", "log")

	first.signal(syscall.SIGUSR1)
	first.says(2, "the host cannot be reached")
	shows("ps", 0, "web@/fleet/host1 host1", "ready (its host is cut)", "near@/fleet local")
	shows("logs fleet", 0, "near@/fleet near", "what servers on host1 say is missing: the host")
	first.signal(syscall.SIGUSR2)
	first.says(2, "the keeper is back")

	first.kill()
	const unseen = "its servers on host1, host2, host3 go on, and are not seen until it runs again"
	shows("ps", 0, "near@/fleet", "nobody decides about fleet: run it again: cd ", unseen)
	shows("attach fleet", 1, "fleet is a program, and only the program itself decides about what it has started", "hint: run it again: cd ")
	shows("status fleet", 0, "fleet is not running", unseen)
	shows("logs fleet", 0, "near@/fleet near", unseen)
	shows("stop fleet", 1, "fleet does not run, and only it reaches its servers on host1, host2, host3, which go on", "run it again, and stop it then")
	shows("ps fleet", 0, unseen)
	shows("ps fleet -o json", 0, "[]")
	if now := f.pages(); now != before {
		t.Errorf("%q has become %q", before, now)
	}

	again := f.run(one)
	again.says(1, " runs program=")
	shows("ps", 0, "web@/fleet/host1 host1")
	shows("stop fleet", 0, "stopped fleet")
	<-again.over
	shows("ps fleet", 1, "fleet does not run")
}

// attached has a command be attached to a program while something happens to a server on another host: it says so, and
// leaves the program running when it is interrupted.
func (f *fleet) attached(program, server string, happens func()) {
	f.t.Helper()
	cmd := exec.Command(filepath.Join(f.dir, "divisi"), "attach", program)
	cmd.Env = f.env
	said, err := cmd.StderrPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		f.t.Fatal(err)
	}
	late := time.AfterFunc(patience, func() { _ = cmd.Process.Kill() })
	defer late.Stop()

	wanted := []struct {
		words []string
		then  func()
	}{
		{[]string{"decides about " + program + ": this command follows, until Ctrl-C, which leaves it running"}, happens},
		{[]string{server + " (process ", ") exited with code 7"}, func() {}},
		{[]string{server, "starts again in"}, func() { _ = cmd.Process.Signal(os.Interrupt) }},
		{[]string{"detached: " + program + " runs on"}, func() {}},
	}
	var text []string
	for lines := bufio.NewScanner(said); lines.Scan(); {
		text = append(text, lines.Text())
		missing := func(word string) bool { return !strings.Contains(lines.Text(), word) }
		if len(wanted) > 0 && !slices.ContainsFunc(wanted[0].words, missing) {
			wanted[0].then()
			wanted = wanted[1:]
		}
	}
	if err := cmd.Wait(); err != nil || len(wanted) > 0 {
		f.t.Errorf("attached to %s one does not see %v: %v\n%s", program, wanted[0].words, err, strings.Join(text, "\n"))
	}
}

// follows has a command follow the log of the first host until that has said a word.
func (f *fleet) follows(word string, args ...string) {
	f.t.Helper()
	cmd := exec.Command(filepath.Join(f.dir, "divisi"), args...)
	cmd.Env, cmd.Stderr = f.env, os.Stderr
	out, err := cmd.StdoutPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		f.t.Fatal(err)
	}
	late := time.AfterFunc(patience, func() { _ = cmd.Process.Kill() })
	said, seen := false, false
	for lines := bufio.NewScanner(out); !seen && lines.Scan(); {
		if !said { // by now it follows
			answer, err := f.client().Get("http://host1:7000?say=" + word)
			if err != nil {
				f.t.Fatal(err)
			}
			answer.Body.Close()
			said = true
		}
		seen = strings.HasSuffix(lines.Text(), "web@/fleet/host1 "+word)
	}
	late.Stop()
	if !seen {
		f.t.Errorf("%q does not show %q", args, word)
	}
	_ = cmd.Process.Signal(os.Interrupt) // it may have ended
	_ = cmd.Wait()                       // interrupted
}
