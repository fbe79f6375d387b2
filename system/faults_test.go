package system_test

import (
	"context"
	"debug/elf"
	"encoding/binary"
	"errors"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/divisi-go/divisi/system"
	"github.com/divisi-go/divisi/system/systemtest"
)

// TestStartFaults: whatever a start function does wrong is one error, which says what and where. Nothing is left
// of what it has started, and nothing more can be started in its nursery.
func TestStartFaults(t *testing.T) {
	t.Parallel()
	ctx, n, h := systemtest.New(t)
	over := make(chan struct{})
	t.Cleanup(func() { close(over) })
	slow := func(asked chan bool) system.Spec {
		return system.Spec{Name: "slow", Program: sleeper, Check: func(ctx context.Context) error {
			asked <- true
			<-ctx.Done()
			return ctx.Err()
		}}
	}

	for name, c := range map[string]struct {
		fault func(ctx context.Context, n *system.Nursery, cancel func()) error
		words []string
	}{
		"fails":  {func(context.Context, *system.Nursery, func()) error { return errors.New("it is broken") }, []string{"it is broken"}},
		"panics": {func(context.Context, *system.Nursery, func()) error { panic("oh") }, []string{"panic: oh", "faults_test.go:"}},
		"hangs": {func(_ context.Context, _ *system.Nursery, cancel func()) error {
			cancel()
			<-over
			return nil
		}, []string{"the start of /test/hangs (system/faults_test.go:", "hangs: it has not returned 2s after the end of its context"}},
		"returns": {func(ctx context.Context, n *system.Nursery, _ func()) error {
			asked := make(chan bool, 1)
			go func() { h.Ensure(ctx, n, slow(asked)) }()
			<-asked
			return nil
		}, []string{"the start of /test/returns has returned before the server slow (system/faults_test.go:", "was ready: wait for it"}},
	} {
		t.Run(name, func(t *testing.T) {
			short, cancel := context.WithCancel(ctx)
			defer cancel()
			var inside *system.Nursery
			var before *system.Proc
			_, err := system.Start(short, n, system.Scope{Name: name}, func(ctx context.Context, n *system.Nursery) (_ int, err error) {
				inside = n
				before, err = h.Ensure(ctx, n, system.Spec{Name: "before", Program: sleeper, Ready: "log:sleeps"})
				return 0, errors.Join(err, c.fault(ctx, n, cancel))
			})
			has(t, err, c.words...)
			gone(t, before)
			ended(t, ctx, inside, h)
		})
	}
}

// gone fails the test if a server still has a process.
func gone(t *testing.T, p *system.Proc) {
	t.Helper()
	process, err := os.FindProcess(p.Pid())
	if err == nil {
		err = process.Signal(syscall.Signal(0))
	}
	if err == nil {
		t.Errorf("%s still is process %d", p.ID(), p.Pid())
	}
}

// ended fails the test unless a nursery takes nothing.
func ended(t *testing.T, ctx context.Context, n *system.Nursery, h *system.Host) {
	t.Helper()
	_, ensured := h.Ensure(ctx, n, system.Spec{Name: "a", Program: sleeper})
	_, run := h.Run(ctx, n, system.Spec{Name: "a", Program: sleeper})
	_, listens := h.Listen(ctx, n, "a", "127.0.0.1:0")
	_, started := system.Start(ctx, n, system.Scope{Name: "a"}, func(context.Context, *system.Nursery) (int, error) { return 0, nil })
	_, asked := system.Ask(ctx, n, system.Question[int]{Key: "a"})
	_, tuned := system.Tune(n, "a", 1, nil)
	for what, err := range map[string]error{
		"the server a": ensured, "the program a": run, "the listener a": listens, "the scope a": started,
		"the task a":     n.Go("a", func(context.Context) error { return nil }),
		"the question a": asked, "the value a": tuned, "the verb a": n.Verb("a", func() {}),
	} {
		has(t, err, what+" (system/faults_test.go:", "the nursery "+n.Path()+" has ended")
	}
}

// TestFaults: a start that depends on itself, and programs that cannot be run, are errors.
func TestFaults(t *testing.T) {
	t.Parallel()
	ctx, n, h := systemtest.New(t)
	_, err := startA(ctx, n)
	has(t, err, "a cycle: the start of /test/a, at system/faults_test.go:", "comes to itself again")

	foreign := elf.EM_AARCH64
	if runtime.GOARCH == "arm64" {
		foreign = elf.EM_X86_64
	}
	other := filepath.Join(t.TempDir(), "other")
	if err := os.WriteFile(other, program(foreign), 0o700); err != nil {
		t.Fatal(err)
	}
	text := filepath.Join(t.TempDir(), "text")
	if err := os.WriteFile(text, []byte("a text"), 0o700); err != nil {
		t.Fatal(err)
	}
	for path, words := range map[string][]string{
		other:  {"exec format error", "this host is " + runtime.GOOS, "is built for " + strings.ToLower(foreign.String()[3:])},
		text:   {"exec format error", "is no program of any system"},
		"":     {"it has no Program"},
		"./no": {"there is no program ./no"},
	} {
		_, err = h.Ensure(ctx, n, system.Spec{Name: "a", Program: path})
		has(t, err, append(words, "cannot start a", "/test (system/faults_test.go:")...)
	}
	_, err = h.Ensure(ctx, n, system.Spec{Name: "a", Program: sleeper, Args: []any{"x", 7}})
	has(t, err, "its argument 2: 7 has the type int: use a string, a Dir or a File")
	_, err = h.Ensure(ctx, n, system.Spec{Name: "a", Program: web, Args: []any{"x", "y"}})
	has(t, err, "cannot start a in /test (system/faults_test.go:", "the server web is given 2 arguments, and takes 1")
	_, err = h.Run(ctx, n, system.Spec{Name: "a", Program: web})
	has(t, err, "cannot run a in /test (system/faults_test.go:", "the server web is given 0 arguments, and takes 1")
}

// program returns the beginning of a program of a machine.
func program(machine elf.Machine) []byte {
	header := elf.Header64{
		Ident: [elf.EI_NIDENT]byte{0x7f, 'E', 'L', 'F', byte(elf.ELFCLASS64), byte(elf.ELFDATA2LSB), byte(elf.EV_CURRENT)},
		Type:  uint16(elf.ET_EXEC), Machine: uint16(machine), Version: uint32(elf.EV_CURRENT), Ehsize: 64,
	}
	text, err := binary.Append(nil, binary.LittleEndian, header)
	if err != nil {
		panic(err)
	}
	return text
}

func startA(ctx context.Context, n *system.Nursery) (int, error) {
	return system.Start(ctx, n, system.Scope{Name: "a"}, startB)
}

func startB(ctx context.Context, n *system.Nursery) (int, error) {
	return system.Start(ctx, n, system.Scope{Name: "b"}, startA)
}

// TestWords: what a server has said last is in the log of the program, a line each.
func TestWords(t *testing.T) {
	t.Parallel()
	var log buffer
	ctx, n, h := systemtest.NewWith(t, system.Program{Strategy: system.OneForOne, Log: slog.New(slog.NewTextHandler(&log, nil))})
	p := systemtest.Must(h.Ensure(ctx, n, system.Spec{Name: "db", Program: sleeper, Ready: "log:sleeps"}))(t)
	killProcess(t, p.Pid())
	said := regexp.MustCompile(`level=WARN msg="failed, and starts again" what="the server db" .* why="db@/test was ended by the signal killed"
\S+ level=WARN msg="  \S+ stdout db@/test sleeps"
`)
	f := &farm{t: t}
	f.until("it is said what db has said", func() bool { return said.MatchString(log.String()) })
}

// buffer is a text that somebody writes and somebody else reads.
type buffer struct {
	mu   sync.Mutex // guards text
	text strings.Builder
}

func (b *buffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.Write(p)
}

func (b *buffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.String()
}

// TestByHand: a server of a program that somebody calls by hand says what it is, and how it is run.
func TestByHand(t *testing.T) {
	t.Parallel()
	cmd := exec.CommandContext(t.Context(), os.Args[0], "web")
	cmd.Env = []string{"HOME=/"} // nor is the test a server of a keeper
	printed, err := cmd.CombinedOutput()
	if code := cmd.ProcessState.ExitCode(); err == nil || code != 1 {
		t.Errorf("it ends with %d: %v", code, err)
	}
	want := "web: it is a server of the program " + filepath.Base(os.Args[0]) +
		", which starts it with the arguments and the sockets that it needs: run " + os.Args[0] + " without \"web\"\n"
	if string(printed) != want {
		t.Errorf("it says\n%s\nand not\n%s", printed, want)
	}
}
