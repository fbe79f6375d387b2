//go:build unix

package hold_test

import (
	"context"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/divisi-go/divisi/internal/keeper"
	"github.com/divisi-go/divisi/internal/keeper/claim"
	"github.com/divisi-go/divisi/internal/keeper/hold"
	"github.com/divisi-go/divisi/internal/keeper/record"
	"github.com/divisi-go/divisi/internal/lifecycle"
)

// yielding is a counted server whose client restarts it, as long as there is one.
func yielding(t *testing.T, name, more string) (keeper.Spec, func() int) {
	s, ran := counted(t, name, more)
	s.Policy = &lifecycle.Policy{Restart: lifecycle.Permanent, Backoff: time.Millisecond}
	s.Yields, s.Digest = true, "v1"
	return s, ran
}

// until returns the first event of a kind behind a number.
func until(t *testing.T, ctx context.Context, s *hold.Session, name string, after uint64, kind keeper.Kind) keeper.Event {
	t.Helper()
	for {
		events, err := s.Next(ctx, "/test", after)
		if err != nil {
			t.Fatalf("no event %s of %s: %v", kind, name, err)
		}
		for _, e := range events {
			after = e.Number
			if e.Name == name && e.Kind == kind {
				return e
			}
		}
	}
}

// TestKilledKeeperYields: what waits for its client waits for it under the next keeper as well.
func TestKilledKeeperYields(t *testing.T) {
	f := newFirst(t)
	waiting, ran := yielding(t, "waiting", "exit 3")
	living, _ := yielding(t, "living", "exec sleep 60")
	waits, lives := f.start(waiting), f.start(living)
	for !strings.Contains(f.journal(), `"event":"exited"`) && ctxAlive(t) {
	}
	_, s, ctx := f.next(func() {})

	if err := s.Signal(ctx, lives.ID, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	last := until(t, ctx, s, "living", 0, keeper.Waits)
	list, err := s.List(ctx, "/test")
	if err != nil || len(list) != 2 || list[0].State != lifecycle.Backoff || list[1].State != lifecycle.Backoff ||
		list[1].ID != waits.ID || list[1].LastExit.Code != 3 || ran() != 1 {
		t.Fatalf("%+v, %v, and it ran %d times", list, err, ran())
	}

	waiting.Token = "another token"
	for range 2 { // the client asks for the start, and asks again
		p := again(t, ctx, s, waiting)
		exit, err := s.Wait(ctx, p.ID)
		if p.Born != waits.Born || p.Run <= waits.Run || err != nil || exit.Code != 3 || ran() != 2 {
			t.Errorf("%+v after %+v: %v, %v, and it ran %d times", p, waits, exit, err, ran())
		}
	}

	if err := s.Release(); err != nil {
		t.Fatal(err)
	}
	if next := until(t, ctx, s, "living", last.Number, keeper.Started); next.Run <= lives.Run {
		t.Errorf("%+v", next)
	}
}

// TestKilledKeeperForgo: a server whose client has ended with the keeper starts again by its policy, and
// one that has finished does not.
func TestKilledKeeperForgo(t *testing.T) {
	f := newFirst(t)
	waiting, _ := yielding(t, "waiting", "exit 3")
	waits := f.start(waiting)
	for !strings.Contains(f.journal(), `"event":"exited"`) && ctxAlive(t) {
	}
	f.kill()
	done, ran := yielding(t, "done", "exit 0")
	done.Policy.Restart = lifecycle.Transient
	id := keeper.ID{Domain: "/test", Name: "done", Run: 100}
	f.add(record.Want(id.Run, 0, &done))
	f.add(record.Entry{Event: record.Starts, Born: id.Run, ID: id})
	ended := record.End(keeper.ExitRecord{Number: 50, ID: id, Exit: keeper.Exit{How: keeper.Waited}})
	ended.Born = id.Run
	f.add(ended) // and the keeper ended before it could note that the server has left

	k, err := hold.Open(filepath.Join(f.dir, "state"), filepath.Join(f.dir, "logs"), "")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { k.Close() })
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	s, err := k.Attach(ctx, keeper.Claim{})
	if err != nil {
		t.Fatal(err)
	}
	if next := until(t, ctx, s, "waiting", 0, keeper.Started); next.Run <= waits.Run || ran() != 0 {
		t.Errorf("%+v; what has finished ran %d times", next, ran())
	}
	if past, err := record.Load(filepath.Join(f.dir, "state")); err != nil || past.Claims["/test"].State != claim.Over {
		t.Errorf("the next keeper waits for the client again: %+v, %v", past, err)
	}
}

// TestAgainYields: a start for which a server had waited is not done twice either, wherever the keeper was
// killed.
func TestAgainYields(t *testing.T) {
	f := newFirst(t)
	f.listen("web")
	noted, ranNoted := yielding(t, "noted", "exit 3")
	begun, ranBegun := yielding(t, "begun", "exit 3")
	_, s, ctx := f.next(func() {
		f.add(record.Want(100, 0, &noted))
		f.add(record.Want(101, 0, &begun))
		id := begun.ID()
		id.Run = 101
		f.add(record.Entry{Event: record.Starts, Born: 101, ID: id})
	})

	p := again(t, ctx, s, noted)
	if exit, err := s.Wait(ctx, p.ID); err != nil || exit.Code != 3 || p.Born != 100 || ranNoted() != 1 {
		t.Errorf("%+v %v, %v, and ran %d times", p, exit, err, ranNoted())
	}
	p = again(t, ctx, s, begun)
	if p.Run != 101 || p.State != lifecycle.Backoff || p.LastExit.How != keeper.Unknown || ranBegun() != 0 {
		t.Errorf("%+v ran %d times", p, ranBegun())
	}
	begun.Token = "another token"
	if p, err := s.Start(ctx, begun); err != nil || p.Born != 101 || p.Run <= 101 {
		t.Errorf("%+v, %v", p, err)
	}
}
