//go:build linux

package bench

import (
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/divisi-go/divisi/internal/home"
	"github.com/divisi-go/divisi/internal/keeper"
	"github.com/divisi-go/divisi/internal/keeper/door"
)

func TestMain(m *testing.M) {
	door.Enter()
	os.Exit(m.Run())
}

// BenchmarkStart compares what a start of /bin/true costs its caller: by os/exec, which forks in the
// caller's own process, and by a keeper in a process of its own, which also opens the log, and writes
// the journal before and after it. Both are done in turn, and the end of the process is waited for
// outside the measured time.
func BenchmarkStart(b *testing.B) {
	runtime, err := os.MkdirTemp("/tmp", "bench") // paths of sockets are short
	if err != nil {
		b.Fatal(err)
	}
	defer os.RemoveAll(runtime)
	b.Setenv("XDG_RUNTIME_DIR", runtime)
	h, err := home.At(filepath.Join(b.TempDir(), "state"))
	if err != nil {
		b.Fatal(err)
	}
	if err := h.Make(); err != nil {
		b.Fatal(err)
	}
	k, err := door.Attach(b.Context(), h, keeper.Claim{Domain: "/bench", Who: b.Name(), Ends: true})
	if err != nil {
		b.Fatal(err)
	}
	defer k.Release()

	var byExec, byKeeper []time.Duration
	for b.Loop() {
		cmd := exec.Command("/bin/true")
		begin := time.Now()
		if err := cmd.Start(); err != nil {
			b.Fatal(err)
		}
		byExec = append(byExec, time.Since(begin))
		if err := cmd.Wait(); err != nil {
			b.Fatal(err)
		}

		begin = time.Now()
		p, err := k.Start(b.Context(), keeper.Spec{Domain: "/bench", Name: "true", Path: "/bin/true", Env: os.Environ(), Beside: true})
		if err != nil {
			b.Fatal(err)
		}
		byKeeper = append(byKeeper, time.Since(begin))
		if exit, err := k.Wait(b.Context(), p.ID); err != nil || exit.Code != 0 {
			b.Fatal(exit, err)
		}
	}

	slices.Sort(byExec)
	slices.Sort(byKeeper)
	middle := len(byExec) / 2
	b.ReportMetric(0, "ns/op")
	b.ReportMetric(float64(byExec[middle].Microseconds()), "µs/exec")
	b.ReportMetric(float64(byKeeper[middle].Microseconds()), "µs/keeper")
	b.ReportMetric(float64(byKeeper[middle])/float64(byExec[middle]), "keeper/exec")
}
