//go:build linux

package start

import (
	"context"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/divisi-go/divisi/internal/home"
	"github.com/divisi-go/divisi/internal/keeper"
	"github.com/divisi-go/divisi/internal/keeper/door"
	"github.com/divisi-go/divisi/internal/keeper/hold"
)

func TestMain(m *testing.M) {
	door.Enter()
	os.Exit(m.Run())
}

// BenchmarkStart compares what a start of /bin/true costs its caller: by [exec.Cmd.Start], which forks in
// the caller's own process, by a keeper in that process, and by a keeper in a process of its own. All of
// them pass the same environment, and what the process prints goes through two pipes, which os/exec has
// made before. They take turns, so that whatever else the machine does is the same for all; and the
// process has ended before the next one starts. What a process of its own costs by itself is what it takes
// to ask it for nothing.
func BenchmarkStart(b *testing.B) {
	other := outside(b)
	ways := []struct {
		name  string
		start func() (time.Duration, func()) // how long it took, and what waits for the end
		took  []time.Duration
	}{
		{name: "exec", start: startByExec(b)},
		{name: "inside", start: startBy(b, inside(b))},
		{name: "keeper", start: startBy(b, other)},
		{name: "nothing", start: ask(b, other)},
	}
	for b.Loop() {
		for i := range ways {
			took, wait := ways[i].start()
			ways[i].took = append(ways[i].took, took)
			wait()
		}
	}

	b.ReportMetric(0, "ns/op")
	var exec float64
	for i, way := range ways {
		slices.Sort(way.took)
		middle := float64(way.took[len(way.took)/2].Microseconds())
		b.ReportMetric(middle, "µs/"+way.name)
		if i == 0 {
			exec = middle
			continue
		}
		b.ReportMetric(middle/exec, way.name+"/exec")
	}
}

const program = "/bin/true"

// startByExec returns how the program is started by os/exec.
func startByExec(b *testing.B) func() (time.Duration, func()) {
	return func() (time.Duration, func()) {
		cmd := exec.Command(program)
		stdout, err := cmd.StdoutPipe()
		if err != nil {
			b.Fatal(err)
		}
		stderr, err := cmd.StderrPipe()
		if err != nil {
			b.Fatal(err)
		}

		begin := time.Now()
		err = cmd.Start()
		took := time.Since(begin)
		if err != nil {
			b.Fatal(err)
		}

		return took, func() {
			if _, err := io.Copy(io.Discard, io.MultiReader(stdout, stderr)); err != nil {
				b.Fatal(err)
			}
			if err := cmd.Wait(); err != nil {
				b.Fatal(err)
			}
		}
	}
}

// session is a keeper's, wherever that is.
type session interface {
	Start(context.Context, keeper.Spec) (keeper.Proc, error)
	Wait(context.Context, keeper.ID) (keeper.Exit, error)
	List(ctx context.Context, domain string) ([]keeper.Proc, error)
}

// startBy returns how the program is started by a keeper.
func startBy(b *testing.B, k session) func() (time.Duration, func()) {
	return func() (time.Duration, func()) {
		begin := time.Now()
		p, err := k.Start(b.Context(), keeper.Spec{Domain: "/bench", Name: "true", Path: program, Env: os.Environ(), Beside: true})
		took := time.Since(begin)
		if err != nil {
			b.Fatal(err)
		}

		return took, func() {
			if exit, err := k.Wait(b.Context(), p.ID); err != nil || exit.Code != 0 {
				b.Fatal(exit, err)
			}
		}
	}
}

// ask returns how a keeper is asked for what it has in a domain, which is nothing.
func ask(b *testing.B, k session) func() (time.Duration, func()) {
	return func() (time.Duration, func()) {
		begin := time.Now()
		list, err := k.List(b.Context(), "/nothing")
		took := time.Since(begin)
		if err != nil || len(list) > 0 {
			b.Fatal(list, err)
		}
		return took, func() {}
	}
}

var claim = keeper.Claim{Domain: "/bench", Who: "a benchmark", Ends: true}

// inside returns a session of a keeper in this process.
func inside(b *testing.B) session {
	k, err := hold.Open(b.TempDir(), b.TempDir(), "")
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		if err := k.Close(); err != nil {
			b.Error(err)
		}
	})
	s, err := k.Attach(b.Context(), claim)
	if err != nil {
		b.Fatal(err)
	}

	return s
}

// outside returns a session of a keeper in a process of its own.
func outside(b *testing.B) session {
	runtime, err := os.MkdirTemp("/tmp", "bench") // paths of sockets are short
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { os.RemoveAll(runtime) })
	b.Setenv("XDG_RUNTIME_DIR", runtime)
	h, err := home.At(filepath.Join(b.TempDir(), "state"))
	if err != nil {
		b.Fatal(err)
	}
	if err := h.Make(); err != nil {
		b.Fatal(err)
	}
	k, err := door.Attach(b.Context(), h, claim)
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		if err := k.Shutdown(context.Background()); err != nil {
			b.Error(err)
		}
	})

	return k
}
