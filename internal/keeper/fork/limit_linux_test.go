package fork

import (
	"errors"
	"io"
	"os"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/divisi-go/divisi/internal/keeper/limit"
)

func TestMain(m *testing.M) {
	Enter()
	CloseOnExec()
	os.Exit(m.Run())
}

// run starts a shell with limits, and returns the lines that it prints.
func run(t *testing.T, p Program, limits ...string) ([]string, error) {
	t.Helper()
	for _, text := range limits {
		l, err := limit.Parse(text)
		if err != nil {
			t.Fatal(err)
		}
		p.Limits = append(p.Limits, l)
	}
	child, err := new(Starter).Start(p)
	if err != nil {
		return nil, err
	}
	defer child.Stdout.Close()
	defer child.Stderr.Close()
	if _, err := syscall.Wait4(child.Pid, nil, 0, nil); err != nil {
		t.Fatal(err)
	}

	// Both ends are open in the process only: what it has printed is there.
	data := make([]byte, 1<<16)
	n, err := child.Stdout.Read(data)
	if err != nil && err != io.EOF {
		t.Fatal(err)
	}
	return strings.Split(strings.TrimSpace(string(data[:n])), "\n"), nil
}

// TestLimits: a process has the limits that were asked for, whatever those of this one are; and nothing else
// of it is another for that.
func TestLimits(t *testing.T) {
	shell := func(script string) Program {
		return Program{Path: "/bin/sh", Arg0: "calls itself so", Args: []string{"-c", script, "zero", "one"},
			Env: []string{"PATH=" + os.Getenv("PATH"), "GREETING=hello"}}
	}
	var before, after syscall.Rlimit
	_ = syscall.Getrlimit(syscall.RLIMIT_NOFILE, &before)
	said, err := run(t, shell("ulimit -Sn; ulimit -Hn; ulimit -Sc; ulimit -t; echo $0 $1; echo $(ls /proc/self/fd); tr '\\0' ' ' </proc/$$/cmdline; env"),
		"nofile=100:200", "core=0", "cpu=unlimited")
	if err != nil {
		t.Fatal(err)
	}
	_ = syscall.Getrlimit(syscall.RLIMIT_NOFILE, &after)
	if before != after {
		t.Errorf("the limit of this process was %v, and is %v", before, after)
	}
	if want := []string{"100", "200", "0", "unlimited", "zero one", "0 1 2 3"}; len(said) < 6 || !slices.Equal(said[:6], want) {
		t.Errorf("it says %q, want %q", said, want)
	}
	if all := strings.Join(said, "\n"); !strings.Contains(all, "\ncalls itself so -c ") || !strings.Contains(all, "GREETING=hello") ||
		strings.Contains(all, becomeVariable) {
		t.Errorf("its arguments and environment: %q", said)
	}

	missing := shell("")
	missing.Path = "/nowhere/at/all"
	if _, err := run(t, missing, "core=0"); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a program that is not there: %v", err)
	}
	if os.Getuid() != 0 {
		hard := limit.Limit{Name: "nofile", Soft: 50, Hard: before.Max + 1}
		if _, err := run(t, shell("true"), hard.String()); !errors.Is(err, syscall.EPERM) || !strings.Contains(err.Error(), "or ask root") {
			t.Errorf("more than this user may have: %v", err)
		}
	}
}
