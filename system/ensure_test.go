package system_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/divisi-go/divisi/system"
	"github.com/divisi-go/divisi/system/systemtest"
)

// get asks a web server.
func get(t *testing.T, l *system.Listener) string {
	t.Helper()
	client := http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	answer, err := client.Get("http://" + l.Addr())
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(answer.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func listen(t *testing.T, ctx context.Context, n *system.Nursery, h *system.Host) *system.Listener {
	t.Helper()
	l, err := h.Listen(ctx, n, "web", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// has fails the test unless an error has all the words.
func has(t *testing.T, err error, words ...string) {
	t.Helper()
	if err == nil {
		t.Fatalf("there is no error; it should have %q", words)
	}
	for _, word := range words {
		if !strings.Contains(err.Error(), word) {
			t.Errorf("the error lacks %q:\n%v", word, err)
		}
	}
}

// TestContextIsForTheStart: what was started goes on when the context of its start has ended, which is what
// most would get wrong.
func TestContextIsForTheStart(t *testing.T) {
	t.Parallel()
	ctx, n, h := systemtest.New(t)
	l := listen(t, ctx, n, h)
	short, cancel := context.WithCancel(ctx)
	lives := make(chan context.Context, 1)
	_, err := system.Start(short, n, system.Scope{Name: "eu"}, func(ctx context.Context, n *system.Nursery) (int, error) {
		_, err := h.Ensure(ctx, n, system.Spec{Name: "web", Program: web, Args: []any{"hello"}, Listeners: []*system.Listener{l}, Ready: "notify"})
		return 0, errors.Join(err, n.Go("watch", func(ctx context.Context) error {
			lives <- ctx
			<-ctx.Done()
			return nil
		}))
	})
	if err != nil {
		t.Fatal(err)
	}
	cancel()
	if got := get(t, l); !strings.HasPrefix(got, "hello ") {
		t.Errorf("the answer is %q", got)
	}
	if err := (<-lives).Err(); err != nil {
		t.Errorf("the task has ended with the start: %v", err)
	}
}

// TestNotReady: what does not become ready in time is stopped, and the error says what it has said.
func TestNotReady(t *testing.T) {
	t.Parallel()
	ctx, n, h := systemtest.New(t)
	_, err := h.Ensure(ctx, n, system.Spec{Name: "slow", Program: sleeper, Ready: "file:never", Within: 300 * time.Millisecond})
	has(t, err, "slow@/test", "system/ensure_test.go:", "not ready after 300ms", "never: no such file")

	_, err = h.Ensure(ctx, n, system.Spec{Name: "fails", Program: failing, Ready: "notify"})
	has(t, err, "fails@/test", "exited with code 7 before it was ready", "word 11", "word 2")
	if strings.Contains(err.Error(), "word 1\n") {
		t.Errorf("more than ten lines: %v", err)
	}

	// Neither is left, and the names are free.
	for _, name := range []string{"slow", "fails"} {
		if _, err := h.Ensure(ctx, n, system.Spec{Name: name, Program: sleeper, Ready: "log:sleeps"}); err != nil {
			t.Error(err)
		}
	}
}

// TestTwice: a key is there once in a nursery, and any number of times in nurseries of their own.
func TestTwice(t *testing.T) {
	t.Parallel()
	ctx, n, h := systemtest.New(t)
	start := func(ctx context.Context, n *system.Nursery) (*system.Proc, error) {
		return h.Ensure(ctx, n, system.Spec{Name: "a", Program: sleeper, Ready: "log:sleeps"})
	}
	for _, name := range []string{"eu", "us"} {
		p, err := system.Start(ctx, n, system.Scope{Name: name}, start)
		if err != nil {
			t.Fatal(err)
		}
		if want := "a@/test/" + name; p.ID() != want {
			t.Errorf("the server is %s, not %s", p.ID(), want)
		}
	}
	if _, err := start(ctx, n); err != nil {
		t.Fatal(err)
	}
	_, err := h.Ensure(ctx, n, system.Spec{Name: "a", Program: sleeper})
	has(t, err, "the server a is in the nursery /test twice: at system/ensure_test.go:", " and at system/ensure_test.go:")
}

// TestOtherHost: what is on one host is not given to another one.
func TestOtherHost(t *testing.T) {
	t.Parallel()
	ctx, n, h := systemtest.New(t)
	l := listen(t, ctx, n, h)
	_, n2, other := systemtest.New(t)
	_, err := other.Ensure(ctx, n2, system.Spec{Name: "a", Program: sleeper, Dir: systemtest.Must(h.Dir("a"))(t)})
	has(t, err, "/data/a is on local, and cannot be used on")
	_, err = other.Ensure(ctx, n2, system.Spec{Name: "a", Program: sleeper, Listeners: []*system.Listener{l}})
	has(t, err, "the listener web is on local")
	_, err = systemtest.Must(h.Dir("a"))(t).File("shared").On(other)
	has(t, err, "/data/a/shared is on local")
}

// TestStop: a server is asked to end by the signal that it wants.
func TestStop(t *testing.T) {
	t.Parallel()
	ctx, n, h := systemtest.NewWith(t, system.Program{Strategy: system.OneForOne})
	dir := systemtest.Must(h.Dir("a"))(t)
	_, err := system.Start(ctx, n, system.Scope{Name: "eu"}, func(ctx context.Context, n *system.Nursery) (int, error) {
		_, err := h.Ensure(ctx, n, system.Spec{
			Name: "a", Program: "sh", Dir: dir, Ready: "file:ready", Stop: syscall.SIGUSR1,
			Args: []any{"-c", "trap '' TERM; trap 'echo ended >how; exit' USR1; : >ready; while :; do sleep 0.05; done"},
		})
		return 0, errors.Join(err, errors.New("it is stopped"))
	})
	has(t, err, "it is stopped")
	if how, err := dir.ReadFile("how"); string(how) != "ended\n" {
		t.Errorf("it has not ended by its signal: %q, %v", how, err)
	}
}

func TestRunOnce(t *testing.T) {
	t.Parallel()
	ctx, n, h := systemtest.New(t)
	exit, err := h.Run(ctx, n, system.Spec{Name: "say", Program: "sh", Args: []any{"-c", "echo one; echo two"}})
	if err != nil || exit.Output != "one\ntwo\n" {
		t.Errorf("it has printed %q: %v", exit.Output, err)
	}
	exit, err = h.Run(ctx, n, system.Spec{Name: "say", Program: failing})
	has(t, err, "say", "exited with code 7", "word 11")
	if exit.Code != 7 {
		t.Errorf("the code is %d", exit.Code)
	}
	short, cancel := context.WithTimeout(ctx, 100*time.Millisecond)
	defer cancel()
	_, err = h.Run(short, n, system.Spec{Name: "say", Program: sleeper})
	if !errors.Is(err, context.DeadlineExceeded) {
		t.Error(err)
	}
}
