//go:build unix

package keepertest

import (
	"errors"
	"path/filepath"
	"sync"
	"syscall"
	"testing"

	"github.com/divisi-go/divisi/internal/keeper"
	"github.com/divisi-go/divisi/internal/keeper/keepertest/play"
	"github.com/divisi-go/divisi/internal/lifecycle"
)

// yielding is a server whose client restarts it, as long as there is one.
func yielding(name, digest string) keeper.Spec {
	s := shell(name, "exec sleep 60")
	s.Policy, s.Yields, s.Digest = quick(lifecycle.Permanent), true, digest
	return s
}

// looks has the session give its domain up.
func (d *desk) looks(t *testing.T) {
	t.Helper()
	if err := d.Release(); err != nil {
		t.Fatal(err)
	}
	d.Session = d.attach(t, keeper.Claim{})
}

// fell kills a server, and returns the event that it waits.
func (d *desk) fell(t *testing.T, s Session, id keeper.ID) keeper.Event {
	t.Helper()
	events, err := d.Next(d.ctx, id.Domain, 0)
	if err == nil {
		err = s.Signal(d.ctx, id, syscall.SIGKILL)
	}
	if err != nil {
		t.Fatal(err)
	}
	return d.until(t, id.Name, events[len(events)-1].Number, keeper.Waits)
}

// listed returns the servers of a name.
func (d *desk) listed(t *testing.T, name string) (found []keeper.Proc) {
	t.Helper()
	list, err := d.List(d.ctx, "/")
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

// waits checks that a server waits for its client for as long as another one starts ten times by the same
// policy, which the keeper follows.
func (d *desk) waits(t *testing.T, s Session, p keeper.Proc) {
	t.Helper()
	clock := shell("clock", "exit 1")
	clock.Domain, clock.Policy = p.Domain, quick(lifecycle.Permanent)
	started, err := s.Start(d.ctx, clock)
	if err != nil {
		t.Fatal(err)
	}
	for n, after := 0, uint64(0); n < 10; n++ {
		after = d.until(t, "clock", after, keeper.Started).Number
	}
	if _, err := s.Stop(d.ctx, started.ID); err != nil {
		t.Fatal(err)
	}

	got := d.listed(t, p.Name)
	if len(got) != 1 || got[0].State != lifecycle.Backoff || got[0].ID != p.ID || got[0].Pid != 0 || got[0].LastExit == nil {
		t.Errorf("it does not wait: %+v", got)
	}
}

// clientRestarts: a start by the client takes the place of a server that waits for it, and no other one.
func clientRestarts(t *testing.T, d *desk) {
	p := d.start(t, yielding("a", "v1"))
	if e := d.fell(t, d, p.ID); e.Text != "its client starts it again" {
		t.Errorf("%+v", e)
	}
	d.waits(t, d, p)

	next := yielding("a", "v1")
	next.Labels = map[string]string{"number": "2"}
	again := d.start(t, next)
	if again.Run <= p.Run || again.Born != p.Born || again.Restarts != 1 || again.Labels["number"] != "2" || again.LastExit.Signal != "killed" {
		t.Errorf("it goes on as %+v, after %+v", again, p)
	}
	next.Beside = true
	if _, err := d.Start(d.ctx, next); !errors.Is(err, keeper.ErrRuns) {
		t.Errorf("it runs twice: %v", err)
	}

	// Another version of the name is another server.
	other := yielding("a", "v2")
	if _, err := d.Start(d.ctx, other); !errors.Is(err, keeper.ErrRuns) {
		t.Errorf("two versions of the name: %v", err)
	}
	other.Beside = true
	second := d.start(t, other)
	d.fell(t, d, again.ID)
	third := d.start(t, yielding("a", "v1"))
	if got := d.listed(t, "a"); len(got) != 2 || got[0].ID != third.ID || got[0].Restarts != 2 || got[1].ID != second.ID {
		t.Errorf("there are %+v", got)
	}

	d.fell(t, d, second.ID)
	d.fell(t, d, third.ID)
	if exit, err := d.Stop(d.ctx, third.ID); err != nil || exit.Signal != "killed" {
		t.Errorf("%+v, %v", exit, err)
	}
	if got := d.listed(t, "a"); len(got) != 1 || got[0].ID != second.ID {
		t.Errorf("after the stop of the third start there are %+v", got)
	}

	broken := other
	broken.Path = "/nowhere"
	if _, err := d.Start(d.ctx, broken); !errors.Is(err, syscall.ENOENT) {
		t.Errorf("a program that is not there: %v", err)
	}
	if got := d.listed(t, "a"); len(got) != 1 || got[0].State != lifecycle.Backoff || got[0].Restarts != 1 {
		t.Errorf("after a start that failed there are %+v", got)
	}
}

// keeperRestarts: without a client the keeper restarts by the policy, until the next client comes.
func keeperRestarts(t *testing.T, d *desk) {
	d.looks(t)
	above := d.attach(t, keeper.Claim{Domain: "/", Who: "the one above"})
	spec := yielding("a", "v1")
	p, err := above.Start(d.ctx, spec)
	if err != nil {
		t.Fatal(err)
	}
	waits := d.fell(t, above, p.ID)
	d.waits(t, above, p)
	if err := above.Release(); err != nil {
		t.Fatal(err)
	}
	started := d.until(t, "a", waits.Number, keeper.Started)

	own := d.attach(t, keeper.Claim{Domain: domain, Who: "the next"})
	waits = d.fell(t, own, started.ID)
	next := d.attach(t, keeper.Claim{Domain: domain, Who: "the one after it", Take: true})
	if err := own.Release(); err != nil { // which decides no more
		t.Fatal(err)
	}
	p.ID = started.ID
	d.waits(t, next, p)
	if _, err := next.Stop(d.ctx, p.ID); err != nil || len(d.listed(t, "a")) > 0 {
		t.Errorf("it is stopped: %v", err)
	}

	done := yielding("done", "v1")
	done.Policy.Restart, done.Args[1] = lifecycle.Transient, "exit 0"
	if _, err := next.Start(d.ctx, done); err != nil {
		t.Fatal(err)
	}
	d.until(t, "done", 0, keeper.Stopped)
}

// neverTwice: however clients and the keeper race for the next start of a server, there is one.
func neverTwice(t *testing.T, d *desk) {
	spec := yielding("singleton", "v1")
	exe, pipes := role(t, "singleton", "alone "+filepath.Join(t.TempDir(), "lock"))
	for _, f := range exe.Files {
		f.File.Close()
	}
	pipes.Life.Close()
	spec.Path, spec.Args, spec.Env, spec.Beside = exe.Path, nil, exe.Env, true
	d.looks(t)
	s := d.attach(t, keeper.Claim{Domain: domain, Who: "the first"})
	if _, err := s.Start(d.ctx, spec); err != nil {
		t.Fatal(err)
	}

	last := d.until(t, spec.Name, 0, keeper.Started)
	for round := range 20 {
		last = d.fell(t, s, last.ID)
		var next Session
		var all sync.WaitGroup
		all.Go(func() {
			if _, err := s.Start(d.ctx, spec); err != nil && !errors.Is(err, keeper.ErrClosed) && !errors.Is(err, keeper.ErrFenced) &&
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
			next, err = d.Attach(d.ctx, keeper.Claim{Domain: domain, Who: "the next", Take: true})
			if err == nil {
				_, err = next.Start(d.ctx, spec)
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

		last = d.until(t, spec.Name, last.Number, keeper.Started)
		if got := d.listed(t, spec.Name); len(got) != 1 || got[0].ID != last.ID || got[0].Restarts != round+1 {
			t.Errorf("round %d: there are %+v after %+v", round, got, last)
		}
	}
	exits, err := d.Exits(d.ctx, domain, 0)
	if err != nil || len(exits) != 20 {
		t.Errorf("%d ends, %v", len(exits), err)
	}
	for _, r := range exits {
		if r.Exit.Code == play.NotAlone {
			t.Errorf("it ran twice: %+v", r)
		}
	}
}
