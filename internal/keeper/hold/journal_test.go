//go:build unix

package hold

import (
	"encoding/json"
	"errors"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/divisi-go/divisi/internal/keeper"
	"github.com/divisi-go/divisi/internal/keeper/journal"
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

// permanent is a server that runs until it is stopped, and starts again.
func permanent(name string) keeper.Spec {
	return keeper.Spec{
		Domain: "/shop", Name: name, Path: "/bin/sleep", Args: []string{"600"}, Policy: &lifecycle.Policy{Restart: lifecycle.Permanent},
	}
}

// unwritable is a server that makes the journal write a new file: its arguments are too many for the old one.
func unwritable() keeper.Spec {
	spec := permanent("unwritable")
	for range 12 {
		spec.Args = append(spec.Args, strings.Repeat("1", 100<<10))
	}
	return spec
}

// attached returns a session that decides about /shop.
func attached(t *testing.T, k *Keeper) *Session {
	t.Helper()
	s, err := k.Attach(t.Context(), keeper.Claim{Domain: "/shop", Who: "a test"})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// started starts a server.
func (s *Session) started(t *testing.T, spec keeper.Spec) keeper.Proc {
	t.Helper()
	p, err := s.Start(t.Context(), spec)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// seen waits until a server has a process other than one.
func (s *Session) seen(t *testing.T, name string, other int) {
	t.Helper()
	for number := uint64(0); ; {
		list, err := s.List(t.Context(), "/shop")
		if err != nil {
			t.Fatal(err)
		}
		if slices.ContainsFunc(list, func(p keeper.Proc) bool { return p.Name == name && p.Pid != 0 && p.Pid != other }) {
			return
		}
		events, err := s.Next(t.Context(), "/shop", number)
		if err != nil {
			t.Fatal(err)
		}
		number = events[len(events)-1].Number
	}
}

// TestUnwritable: while the journal cannot be written, nothing is promised: a start and a new socket are refused, by the
// reason, and leave nothing. What runs goes on, and can be stopped. All is well as soon as the disk is.
func TestUnwritable(t *testing.T) {
	k, dir := openKeeper(t)
	s := attached(t, k)
	web := s.started(t, permanent("web"))
	s.started(t, permanent("other"))
	if err := os.MkdirAll(filepath.Join(dir, "journal.ndjson.new", "in the way"), 0o700); err != nil {
		t.Fatal(err)
	}

	refused := func(err error) {
		t.Helper()
		if err == nil || !strings.Contains(err.Error(), "cannot write the journal: open "+dir) {
			t.Errorf("the journal cannot be written, and that is %v", err)
		}
	}
	for range 2 { // the first time nobody knows yet
		_, err := s.Start(t.Context(), unwritable())
		refused(err)
	}
	_, err := s.Start(t.Context(), permanent("next"))
	refused(err)
	_, err = s.Listen(t.Context(), keeper.Socket{Domain: "/shop", Key: "web", Network: "tcp", Address: "127.0.0.1:0"})
	refused(err)
	refused(k.Health().Trouble)

	if err := syscall.Kill(web.Pid, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	s.seen(t, "web", web.Pid)
	if _, err := s.Stop(t.Context(), keeper.ID{Domain: "/shop", Name: "other"}); err != nil {
		t.Error(err)
	}
	list, err := s.List(t.Context(), "/shop")
	if err != nil || len(list) != 1 || list[0].Name != "web" {
		t.Errorf("there is %+v, %v", list, err)
	}
	if sockets, err := s.Sockets(t.Context(), "/shop"); err != nil || len(sockets) > 0 {
		t.Errorf("there is %+v, %v", sockets, err)
	}

	if err := os.RemoveAll(filepath.Join(dir, "journal.ndjson.new")); err != nil {
		t.Fatal(err)
	}
	s.started(t, permanent("next"))
	before, err := record.Load(dir)
	if h := k.Health(); err != nil || len(before.Servers) != 2 || h.Trouble != nil || h.Lost > 0 || h.Failed == 0 {
		t.Errorf("the journal has %+v and is %+v, %v", before.Servers, h, err)
	}
}

// TestStalledDisk: while the disk does not answer at all, servers live, are looked at, start again and are stopped.
func TestStalledDisk(t *testing.T) {
	k, dir := openKeeper(t)
	s := attached(t, k)
	web := s.started(t, permanent("web"))
	s.started(t, permanent("other"))
	stalled := filepath.Join(dir, "journal.ndjson.new")
	if err := syscall.Mkfifo(stalled, 0o600); err != nil { // who writes waits until somebody reads
		t.Fatal(err)
	}
	waits := make(chan error, 1)
	go func() {
		_, err := s.Start(t.Context(), unwritable())
		waits <- err
	}()
	s.seen(t, "unwritable", 0)

	if err := syscall.Kill(web.Pid, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	s.seen(t, "web", web.Pid)
	if err := s.Signal(t.Context(), web.ID, syscall.SIGCONT); err == nil {
		t.Error("a process that has ended is signalled")
	}
	if _, err := s.Stop(t.Context(), keeper.ID{Domain: "/shop", Name: "other"}); err != nil {
		t.Error(err)
	}
	if ends, err := s.Exits(t.Context(), "/shop", 0); err != nil || len(ends) < 2 {
		t.Errorf("the ends are %+v, %v", ends, err)
	}
	if err := k.Health().Trouble; !errors.Is(err, journal.ErrSlow) {
		t.Errorf("the journal is not known to be slow: %v", err)
	}

	read, err := os.Open(stalled) // it goes on, and finds that it cannot be synced
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.Copy(io.Discard, read); err != nil {
		t.Error(err)
	}
	read.Close()
	if err := <-waits; err != nil && !errors.Is(err, journal.ErrSlow) && !errors.Is(err, syscall.EINVAL) {
		t.Error(err)
	}
	s.started(t, permanent("next"))
	if before, err := record.Load(dir); err != nil || len(before.Exits) < 2 {
		t.Errorf("the journal has %+v, %v", before, err)
	}
}
