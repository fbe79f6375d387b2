//go:build unix

package claimtest

import (
	"errors"
	"path/filepath"
	"sync"
	"syscall"
	"testing"

	"github.com/divisi-go/divisi/internal/keeper"
	"github.com/divisi-go/divisi/internal/keeper/keepertest/desk"
	"github.com/divisi-go/divisi/internal/keeper/keepertest/play"
	"github.com/divisi-go/divisi/internal/lifecycle"
)

// yielding is a server whose client restarts it, as long as there is one.
func yielding(name, digest string) keeper.Spec {
	s := desk.Shell(name, "exec sleep 60")
	s.Policy, s.Yields, s.Digest = desk.Quick(lifecycle.Permanent), true, digest
	return s
}

// looks has the session give its domain up.
func looks(t *testing.T, d *desk.Desk) {
	t.Helper()
	if err := d.Release(); err != nil {
		t.Fatal(err)
	}
	d.Session = d.Join(t, keeper.Claim{})
}

// fell kills a server, and returns the event that it waits.
func fell(t *testing.T, d *desk.Desk, s desk.Session, id keeper.ID) keeper.Event {
	t.Helper()
	events, err := d.Next(d.Ctx, id.Domain, 0)
	if err == nil {
		err = s.Signal(d.Ctx, id, syscall.SIGKILL)
	}
	if err != nil {
		t.Fatal(err)
	}
	return d.Until(t, id.Name, events[len(events)-1].Number, keeper.Waits)
}

// listed returns the servers of a name.
func listed(t *testing.T, d *desk.Desk, name string) (found []keeper.Proc) {
	t.Helper()
	list, err := d.List(d.Ctx, "/")
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range list {
		if p.Name == name {
			found = append(found, p)
		}
	}
	return found
}

// waitsOn checks that a server waits for its client for as long as another one starts ten times by the same
// policy, which the keeper follows.
func waitsOn(t *testing.T, d *desk.Desk, s desk.Session, p keeper.Proc) {
	t.Helper()
	clock := desk.Shell("clock", "exit 1")
	clock.Domain, clock.Policy = p.Domain, desk.Quick(lifecycle.Permanent)
	started, err := s.Start(d.Ctx, clock)
	if err != nil {
		t.Fatal(err)
	}
	for n, after := 0, uint64(0); n < 10; n++ {
		after = d.Until(t, "clock", after, keeper.Started).Number
	}
	if _, err := s.Stop(d.Ctx, started.ID); err != nil {
		t.Fatal(err)
	}

	got := listed(t, d, p.Name)
	if len(got) != 1 || got[0].State != lifecycle.Backoff || got[0].ID != p.ID || got[0].Pid != 0 || got[0].LastExit == nil {
		t.Errorf("it does not wait: %+v", got)
	}
}

// clientRestarts: a start by the client takes the place of a server that waits for it, and no other one.
func clientRestarts(t *testing.T, d *desk.Desk) {
	p := d.Begin(t, yielding("a", "v1"))
	if e := fell(t, d, d, p.ID); e.Text != "its client starts it again" {
		t.Errorf("%+v", e)
	}
	waitsOn(t, d, d, p)

	next := yielding("a", "v1")
	next.Labels = map[string]string{"number": "2"}
	again := d.Begin(t, next)
	if again.Run <= p.Run || again.Born != p.Born || again.Restarts != 1 || again.Labels["number"] != "2" || again.LastExit.Signal != "killed" {
		t.Errorf("it goes on as %+v, after %+v", again, p)
	}
	next.Beside = true
	if _, err := d.Start(d.Ctx, next); !errors.Is(err, keeper.ErrRuns) {
		t.Errorf("it runs twice: %v", err)
	}

	// Another version of the name is another server.
	other := yielding("a", "v2")
	if _, err := d.Start(d.Ctx, other); !errors.Is(err, keeper.ErrRuns) {
		t.Errorf("two versions of the name: %v", err)
	}
	other.Beside = true
	second := d.Begin(t, other)
	fell(t, d, d, again.ID)
	third := d.Begin(t, yielding("a", "v1"))
	if got := listed(t, d, "a"); len(got) != 2 || got[0].ID != third.ID || got[0].Restarts != 2 || got[1].ID != second.ID {
		t.Errorf("there are %+v", got)
	}

	fell(t, d, d, second.ID)
	fell(t, d, d, third.ID)
	if exit, err := d.Stop(d.Ctx, third.ID); err != nil || exit.Signal != "killed" {
		t.Errorf("%+v, %v", exit, err)
	}
	if got := listed(t, d, "a"); len(got) != 1 || got[0].ID != second.ID {
		t.Errorf("after the stop of the third start there are %+v", got)
	}

	broken := other
	broken.Path = "/nowhere"
	if _, err := d.Start(d.Ctx, broken); !errors.Is(err, syscall.ENOENT) {
		t.Errorf("a program that is not there: %v", err)
	}
	if got := listed(t, d, "a"); len(got) != 1 || got[0].State != lifecycle.Backoff || got[0].Restarts != 1 {
		t.Errorf("after a start that failed there are %+v", got)
	}
}

// keeperRestarts: without a client the keeper restarts by the policy, until the next client comes.
func keeperRestarts(t *testing.T, d *desk.Desk) {
	looks(t, d)
	above := d.Join(t, keeper.Claim{Domain: "/", Who: "the one above"})
	spec := yielding("a", "v1")
	p, err := above.Start(d.Ctx, spec)
	if err != nil {
		t.Fatal(err)
	}
	waits := fell(t, d, above, p.ID)
	waitsOn(t, d, above, p)
	if err := above.Release(); err != nil {
		t.Fatal(err)
	}
	started := d.Until(t, "a", waits.Number, keeper.Started)

	own := d.Join(t, keeper.Claim{Domain: domain, Who: "the next"})
	waits = fell(t, d, own, started.ID)
	next := d.Join(t, keeper.Claim{Domain: domain, Who: "the one after it", Take: true})
	if err := own.Release(); err != nil { // which decides no more
		t.Fatal(err)
	}
	p.ID = started.ID
	waitsOn(t, d, next, p)
	if _, err := next.Stop(d.Ctx, p.ID); err != nil || len(listed(t, d, "a")) > 0 {
		t.Errorf("it is stopped: %v", err)
	}

	done := yielding("done", "v1")
	done.Policy.Restart, done.Args[1] = lifecycle.Transient, "exit 0"
	if _, err := next.Start(d.Ctx, done); err != nil {
		t.Fatal(err)
	}
	d.Until(t, "done", 0, keeper.Stopped)
}

// neverTwice: however clients and the keeper race for the next start of a server, there is one.
func neverTwice(t *testing.T, d *desk.Desk) {
	spec := yielding("singleton", "v1")
	exe, pipes := desk.Role(t, "singleton", "alone "+filepath.Join(t.TempDir(), "lock"))
	for _, f := range exe.Files {
		f.File.Close()
	}
	pipes.Life.Close()
	spec.Path, spec.Args, spec.Env, spec.Beside = exe.Path, nil, exe.Env, true
	looks(t, d)
	s := d.Join(t, keeper.Claim{Domain: domain, Who: "the first"})
	if _, err := s.Start(d.Ctx, spec); err != nil {
		t.Fatal(err)
	}

	last := d.Until(t, spec.Name, 0, keeper.Started)
	for round := range 20 {
		last = fell(t, d, s, last.ID)
		var next desk.Session
		var all sync.WaitGroup
		all.Go(func() {
			if _, err := s.Start(d.Ctx, spec); err != nil && !errors.Is(err, keeper.ErrClosed) && !errors.Is(err, keeper.ErrFenced) &&
				!errors.Is(err, keeper.ErrRuns) {
				t.Error(err)
			}
		})
		all.Go(func() {
			if err := s.Release(); err != nil {
				t.Error(err)
			}
		})
		all.Go(func() {
			var err error
			next, err = d.Attach(d.Ctx, keeper.Claim{Domain: domain, Who: "the next", Take: true})
			if err == nil {
				_, err = next.Start(d.Ctx, spec)
			}
			if err != nil && !errors.Is(err, keeper.ErrRuns) {
				t.Error(err)
			}
		})
		all.Wait()
		if s = next; s == nil {
			t.FailNow()
		}
		t.Cleanup(func() { next.Release() })

		last = d.Until(t, spec.Name, last.Number, keeper.Started)
		if got := listed(t, d, spec.Name); len(got) != 1 || got[0].ID != last.ID || got[0].Restarts != round+1 {
			t.Errorf("round %d: there are %+v after %+v", round, got, last)
		}
	}
	exits, err := d.Exits(d.Ctx, domain, 0)
	if err != nil || len(exits) != 20 {
		t.Errorf("%d ends, %v", len(exits), err)
	}
	for _, r := range exits {
		if r.Exit.Code == play.NotAlone {
			t.Errorf("it ran twice: %+v", r)
		}
	}
}
