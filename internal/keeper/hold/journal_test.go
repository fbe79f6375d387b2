//go:build unix

package hold

import (
	"encoding/json"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/divisi-go/divisi/internal/keeper"
	"github.com/divisi-go/divisi/internal/keeper/record"
	"github.com/divisi-go/divisi/internal/lifecycle"
)

// openKeeper opens a keeper in a folder of its own, which it returns.
func openKeeper(t *testing.T) (*Keeper, string) {
	t.Helper()
	dir := t.TempDir()
	k, err := Open(filepath.Join(dir, "state"), filepath.Join(dir, "logs"), "")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := k.Close(); err != nil {
			t.Error(err)
		}
	})
	return k, filepath.Join(dir, "state")
}

// TestToldIsWritten: whoever is told that a server has ended is told so by the next keeper as well.
func TestToldIsWritten(t *testing.T) {
	k, dir := openKeeper(t)
	s, err := k.Attach(t.Context(), keeper.Claim{Domain: "/shop", Who: "a test"})
	if err != nil {
		t.Fatal(err)
	}
	for i := range 20 {
		p, err := s.Start(t.Context(), keeper.Spec{
			Domain: "/shop", Name: "a", Path: "/bin/sleep", Args: []string{"60"}, Yields: true, Digest: "same",
			Policy: &lifecycle.Policy{Restart: lifecycle.Permanent},
		})
		if err != nil {
			t.Fatal(err)
		}
		if err := syscall.Kill(p.Pid, syscall.SIGKILL); err != nil {
			t.Fatal(err)
		}
		for p.State != lifecycle.Backoff {
			list, err := s.List(t.Context(), "/shop")
			if err != nil || len(list) != 1 {
				t.Fatalf("%+v, %v", list, err)
			}
			p = list[0]
		}

		before, err := record.Load(dir)
		if err != nil || len(before.Exits) != i+1 {
			t.Fatalf("the journal has %d ends after %d, %v", len(before.Exits), i+1, err)
		}
	}
}

// past returns what a keeper would leave if it was killed, and had just written its whole state.
func past(t *testing.T, k *Keeper) *record.Past {
	t.Helper()
	var lines [][]byte
	for _, e := range k.state(func() {}) {
		line, err := json.Marshal(e)
		if err != nil {
			t.Fatal(err)
		}
		lines = append(lines, line)
	}
	before, err := record.Read(lines)
	if err != nil {
		t.Fatal(err)
	}
	return before
}

// TestStartIsInTheState: a state that is written while a process is being started has that start, until it is
// there or refused.
func TestStartIsInTheState(t *testing.T) {
	k, _ := openKeeper(t)
	s := k.newServer(keeper.Spec{Domain: "/shop", Name: "a", Path: "/bin/none"})
	k.mu.Lock()
	s.life.Step(lifecycle.Start, s.started)
	k.servers.Add(s)
	k.mu.Unlock()
	p, program, err := k.plan(s)
	if err != nil {
		t.Fatal(err)
	}
	program.Close()

	left := past(t, k).Servers[s.born]
	if left == nil || left.Process == nil || left.Process.Event != record.Starts || left.Process.ID != p.id {
		t.Errorf("the state has %+v", left)
	}
	s.lastExit = &keeper.Exit{} // so that it does not leave
	s.refused(keeper.ErrInvalid)
	if left := past(t, k).Servers[s.born]; left != nil && left.Process != nil {
		t.Errorf("the state has a start that was refused: %+v", left.Process)
	}
}
