package system_test

import (
	"context"
	"errors"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/divisi-go/divisi/system"
	"github.com/divisi-go/divisi/system/systemtest"
)

// farm has servers that tests kill, by their full names.
type farm struct {
	t  *testing.T
	mu sync.Mutex // guards procs
	h  *system.Host

	procs map[string]*system.Proc
}

// add starts a server that sleeps.
func (f *farm) add(ctx context.Context, n *system.Nursery, name string) error {
	p, err := f.h.Ensure(ctx, n, system.Spec{
		Name: name, Program: sleeper, Ready: "log:sleeps",
		Policy: system.Policy{Intensity: 1, Backoff: time.Millisecond},
	})
	if err == nil {
		f.mu.Lock()
		defer f.mu.Unlock()
		f.procs[p.ID()] = p
	}
	return err
}

func (f *farm) pid(id string) int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.procs[id].Pid()
}

// kill kills a server, and waits until it has another process.
func (f *farm) kill(id string) {
	f.t.Helper()
	before := f.pid(id)
	killProcess(f.t, before)
	f.until(id+" runs again", func() bool { return f.pid(id) != before })
}

func (f *farm) until(what string, met func() bool) {
	f.t.Helper()
	for end := time.Now().Add(time.Minute); !met(); {
		if time.Now().After(end) {
			f.t.Fatalf("it did not happen that %s", what)
		}
		<-time.After(5 * time.Millisecond)
	}
}

func killProcess(t *testing.T, pid int) {
	t.Helper()
	p, err := os.FindProcess(pid)
	if err == nil {
		err = p.Kill()
	}
	if err != nil {
		t.Fatal(err)
	}
}

// TestEscalation: what fails too often takes its nursery with it and nothing else; that starts again as the
// nursery around it says, until it has failed too often itself.
func TestEscalation(t *testing.T) {
	t.Parallel()
	ctx, n, h := systemtest.NewWith(t, system.Program{Strategy: system.OneForOne})
	f := &farm{t: t, h: h, procs: map[string]*system.Proc{}}
	again := system.Policy{Intensity: 1, Backoff: time.Millisecond}
	_, err := system.Start(ctx, n, system.Scope{Name: "a", Policy: again}, func(ctx context.Context, n *system.Nursery) (int, error) {
		err := f.add(ctx, n, "x")
		if err != nil {
			return 0, err
		}
		return system.Start(ctx, n, system.Scope{Name: "b", Policy: again}, func(ctx context.Context, n *system.Nursery) (int, error) {
			return 0, errors.Join(f.add(ctx, n, "y"), f.add(ctx, n, "z"))
		})
	})
	if err == nil {
		err = f.add(ctx, n, "top")
	}
	if err != nil {
		t.Fatal(err)
	}
	const x, y, z, top = "x@/test/a", "y@/test/a/b", "z@/test/a/b", "top@/test"
	first := map[string]int{x: f.pid(x), z: f.pid(z), top: f.pid(top)}

	f.kill(y) // starts again alone
	if f.pid(z) != first[z] {
		t.Error("z has started again with y")
	}
	f.kill(y) // too often: b ends, and starts again in a
	f.until("z starts again with b", func() bool { return f.pid(z) != first[z] })
	if f.pid(x) != first[x] {
		t.Error("x has started again with b")
	}
	second := f.pid(z)
	f.kill(y)
	f.kill(y) // b too often: a ends, and starts again
	f.until("x starts again with a", func() bool { return f.pid(x) != first[x] && f.pid(z) != second })
	if f.pid(top) != first[top] {
		t.Error("top has started again with a")
	}
}

// TestDeadDependency: where all fail together, the death of one is the failure of all, by its name and with
// its last words.
func TestDeadDependency(t *testing.T) {
	t.Parallel()
	failed := false
	below := &recorder{TB: t, failed: func(text string) {
		failed = strings.Contains(text, "db@/test was ended by the signal killed") && strings.Contains(text, "sleeps")
	}}
	ctx, n, h := systemtest.New(below)
	p, err := h.Ensure(ctx, n, system.Spec{Name: "db", Program: sleeper, Ready: "log:sleeps"})
	if err != nil {
		t.Fatal(err)
	}
	killProcess(t, p.Pid())
	<-ctx.Done()
	has(t, context.Cause(ctx), "db@/test")
	if !failed {
		t.Error("the test has not failed by the name of what has died")
	}
}

// recorder is a test that may fail.
type recorder struct {
	testing.TB
	failed func(string)
}

func (r *recorder) Error(args ...any) { r.failed(args[0].(error).Error()) }
