//go:build unix

package hold_test

import (
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/divisi-go/divisi/internal/keeper"
	"github.com/divisi-go/divisi/internal/keeper/hold"
	"github.com/divisi-go/divisi/internal/keeper/record"
	"github.com/divisi-go/divisi/internal/lifecycle"
)

// counted is a server that adds a line to a file each time that it runs.
func counted(t *testing.T, name, more string) (keeper.Spec, func() int) {
	path := filepath.Join(t.TempDir(), "ran")
	s := script(name, "echo ran >> "+path+"; "+more)
	s.Domain, s.Path, s.Token = "/test", "/bin/sh", "token of "+name
	return s, func() int {
		text, _ := os.ReadFile(path) // there is none before it has run
		return strings.Count(string(text), "\n")
	}
}

// again asks the next keeper for a start.
func again(t *testing.T, ctx context.Context, s *hold.Session, spec keeper.Spec) keeper.Proc {
	t.Helper()
	p, err := s.Again(ctx, spec)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// TestAgainBefore: a start that the killed keeper has not noted is one of its successor.
func TestAgainBefore(t *testing.T) {
	f := newFirst(t)
	f.listen("web") // it is there
	_, s, ctx := f.next(func() {})
	spec, ran := counted(t, "a", "exit 3")
	exit, err := s.Wait(ctx, again(t, ctx, s, spec).ID)
	if err != nil || exit.Code != 3 || ran() != 1 {
		t.Errorf("it %v, %v, and ran %d times", exit, err, ran())
	}
}

// TestAgainBetween: where nobody knows whether the process was there, a program that is to run once
// does not run, and its end is unknown; one that would start again does.
func TestAgainBetween(t *testing.T) {
	f := newFirst(t)
	f.listen("web")
	once, ranOnce := counted(t, "once", "exit 3")
	permanent, ranAgain := counted(t, "permanent", "exec sleep 60")
	permanent.Policy = &lifecycle.Policy{Restart: lifecycle.Permanent}
	_, s, ctx := f.next(func() {
		const born = 100
		for n, spec := range []keeper.Spec{once, permanent} {
			id := spec.ID()
			id.Run = born + uint64(n)
			f.add(record.Entry{Event: record.Wanted, Born: id.Run, Spec: &spec})
			f.add(record.Entry{Event: record.Starts, Born: id.Run, ID: id})
		}
	})

	p := again(t, ctx, s, once)
	exit, err := s.Wait(ctx, p.ID)
	if err != nil || exit.How != keeper.Unknown || p.State != lifecycle.Stopped || p.Run != 100 || ranOnce() != 0 {
		t.Errorf("%+v %v, %v, and ran %d times", p, exit, err, ranOnce())
	}
	p = again(t, ctx, s, permanent)
	if p.Pid == 0 || p.Run <= 101 {
		t.Errorf("%+v", p)
	}
	if _, err := s.Stop(ctx, p.ID); err != nil || ranAgain() > 1 {
		t.Errorf("it ran %d times, %v", ranAgain(), err)
	}
}

// add adds to the journal what the killed keeper had noted.
func (f *first) add(e record.Entry) {
	f.t.Helper()
	line, err := json.Marshal(e)
	if err != nil {
		f.t.Fatal(err)
	}
	file, err := os.OpenFile(filepath.Join(f.dir, "state", "journal.ndjson"), os.O_WRONLY|os.O_APPEND, 0)
	if err != nil {
		f.t.Fatal(err)
	}
	defer file.Close()
	if _, err := file.Write(append(line, '\n')); err != nil {
		f.t.Fatal(err)
	}
}

// TestAgainAfter: what the killed keeper had started is not started again, whether it still runs or has
// ended since.
func TestAgainAfter(t *testing.T) {
	f := newFirst(t)
	gate := fifo(t)
	living, ranLiving := counted(t, "living", "exec sleep 60")
	done, ranDone := counted(t, "done", "exit 3")
	later, ranLater := counted(t, "later", "read line < "+gate)
	lives, ended, ends := f.start(living), f.start(done), f.start(later)
	for !strings.Contains(f.journal(), `"event":"exited"`) && ctxAlive(t) {
	}
	_, s, ctx := f.next(func() {
		if err := os.WriteFile(gate, []byte("go\n"), 0); err != nil {
			t.Fatal(err)
		}
	})

	if p := again(t, ctx, s, living); p.ID != lives.ID || p.Pid != lives.Pid || p.State != lifecycle.Ready || ranLiving() > 1 {
		t.Errorf("%+v, after %+v", p, lives)
	}
	if p := again(t, ctx, s, done); p.ID != ended.ID || p.State != lifecycle.Stopped || p.LastExit.Code != 3 || ranDone() != 1 {
		t.Errorf("%+v, after %+v", p, ended)
	}
	if _, err := s.Wait(ctx, ends.ID); err != nil {
		t.Fatal(err)
	}
	if p := again(t, ctx, s, later); p.ID != ends.ID || p.LastExit == nil || ranLater() != 1 {
		t.Errorf("%+v, after %+v", p, ends)
	}
	if _, err := s.Stop(ctx, lives.ID); err != nil {
		t.Error(err)
	}
}

func (f *first) journal() string {
	f.t.Helper()
	text, err := os.ReadFile(filepath.Join(f.dir, "state", "journal.ndjson"))
	if err != nil {
		f.t.Fatal(err)
	}
	return string(text)
}
