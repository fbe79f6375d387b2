package interrupt

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"
)

// roleVar makes the test's binary a program that is slow to end.
const roleVar = "INTERRUPT_TEST_ROLE"

var errAsked = errors.New("asked")

func TestMain(m *testing.M) {
	role := os.Getenv(roleVar)
	if role == "" {
		// The first notification starts a goroutine, which must not belong to a bubble.
		warm := make(chan os.Signal, 1)
		signal.Notify(warm, syscall.SIGTERM)
		signal.Stop(warm)
		os.Exit(m.Run())
	}
	parent, end := context.WithCancel(context.Background())
	defer end()
	ctx, stop := Context(parent, errAsked, nil)
	if role == "ended" {
		end()
	} else {
		fmt.Println("runs")
	}
	<-ctx.Done()
	fmt.Println(context.Cause(ctx))
	fmt.Scanln()
	stop()
}

// program is such a program, running.
type program struct {
	t   *testing.T
	cmd *exec.Cmd
	out *bufio.Scanner
	in  interface{ Close() error }
}

func start(t *testing.T, role string) program {
	t.Helper()
	if runtime.GOOS == "windows" {
		t.Skip("Windows has no signals")
	}
	cmd := exec.CommandContext(t.Context(), os.Args[0])
	cmd.Env = append(os.Environ(), roleVar+"="+role, "GORACE=atexit_sleep_ms=0")
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	return program{t, cmd, bufio.NewScanner(out), in}
}

func (p program) says(want string) {
	p.t.Helper()
	if !p.out.Scan() || p.out.Text() != want {
		p.t.Fatalf("it says %q, %v, want %q", p.out.Text(), p.out.Err(), want)
	}
}

func (p program) signal(s os.Signal) {
	p.t.Helper()
	if err := p.cmd.Process.Signal(s); err != nil {
		p.t.Fatal(err)
	}
}

// insist sends signals until the program has ended.
func (p program) insist() {
	p.t.Helper()
	ended := make(chan error, 1)
	go func() { ended <- p.cmd.Wait() }()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for range 6000 {
		select {
		case <-ended:
			return
		case <-tick.C:
			p.cmd.Process.Signal(syscall.SIGTERM)
		}
	}
	p.t.Fatal("the program does not end")
}

// TestSecondSignal: signals that come together are one wish, and a later one ends the process.
func TestSecondSignal(t *testing.T) {
	for role, first := range map[string]os.Signal{"interrupted": os.Interrupt, "ended": nil} {
		p := start(t, role)
		begun := time.Now()
		if first != nil {
			p.says("runs")
			p.signal(first)
		}
		p.says("asked")
		p.insist()
		if took := time.Since(begun); took < Impatience {
			t.Errorf("%s: it ended after %v: signals that come together are one", role, took)
		}
		if code := p.cmd.ProcessState.ExitCode(); code != 130 {
			t.Errorf("%s: it ended with %d", role, code)
		}
	}
}

// TestOneSignal: a program that is asked once ends as it likes.
func TestOneSignal(t *testing.T) {
	for _, s := range []os.Signal{os.Interrupt, syscall.SIGTERM} {
		p := start(t, "interrupted")
		p.says("runs")
		p.signal(s)
		p.says("asked")
		p.signal(s)
		p.in.Close()
		if err := p.cmd.Wait(); err != nil {
			t.Errorf("after %v: %v", s, err)
		}
	}
}

// TestContext: whoever is asked first decides, and if nobody takes the question, the context ends.
func TestContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		type key struct{}
		parent, end := context.WithCancel(context.WithValue(t.Context(), key{}, "value"))
		asked := make(chan string)
		ctx, stop := Context(parent, errAsked, asked)
		defer stop()
		if ctx.Value(key{}) != "value" {
			t.Error("the values of the parent are lost")
		}
		end()
		if reason := <-asked; !strings.Contains(reason, "context of Run") {
			t.Errorf("the reason is %q", reason)
		}
		synctest.Wait()
		if ctx.Err() != nil {
			t.Error("it has ended although somebody else decides")
		}
	})
	synctest.Test(t, func(t *testing.T) {
		parent, end := context.WithCancel(t.Context())
		ctx, stop := Context(parent, errAsked, make(chan string))
		defer stop()
		end()
		begun := time.Now()
		<-ctx.Done()
		if took := time.Since(begun); took != Impatience || context.Cause(ctx) != errAsked {
			t.Errorf("it ended after %v: %v", took, context.Cause(ctx))
		}
	})
}
