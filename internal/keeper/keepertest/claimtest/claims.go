//go:build unix

// Package claimtest shows that one client decides about a domain at a time, and what that means for the
// others, and for servers.
package claimtest

import (
	"context"
	"errors"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/divisi-go/divisi/internal/keeper"
	"github.com/divisi-go/divisi/internal/keeper/keepertest/desk"
	"github.com/divisi-go/divisi/internal/lifecycle"
)

// Tests are the tests by name.
var Tests = map[string]func(*testing.T, *desk.Desk){
	"Claims":               claims,
	"ClaimsAboveAndBelow":  claimsAboveAndBelow,
	"FencedSession":        fencedSession,
	"RaceForADomain":       raceForADomain,
	"BoundClaim":           boundClaim,
	"FencedAtOnce":         fencedAtOnce,
	"BoundIsNotTaken":      boundIsNotTaken,
	"ClientRestarts":       clientRestarts,
	"KeeperRestarts":       keeperRestarts,
	"NeverTwice":           neverTwice,
	"LooksWithoutClaim":    looksWithoutClaim,
	"NobodyNeedsToBeThere": nobodyNeedsToBeThere,
}

const domain = desk.Domain

// refused attaches, and returns the error of a claim that somebody else has. It has more patience where
// that did not suffice to reach the keeper.
func refused(t *testing.T, d *desk.Desk, c keeper.Claim, holder string) error {
	t.Helper()
	err := context.DeadlineExceeded
	for patience := 50 * time.Millisecond; errors.Is(err, context.DeadlineExceeded) && patience < time.Minute; patience *= 4 {
		err = refuse(t, d, c, patience)
	}
	if !errors.Is(err, keeper.ErrHeld) || !strings.Contains(err.Error(), holder) {
		t.Errorf("%v, want that %s has it", err, holder)
	}
	return err
}

// refuse returns the error of a claim that somebody else has.
func refuse(t *testing.T, d *desk.Desk, c keeper.Claim, patience time.Duration) error {
	t.Helper()
	ctx, cancel := context.WithTimeout(d.Ctx, patience)
	defer cancel()
	s, err := d.Attach(ctx, c)
	if err == nil {
		s.Release()
		t.Fatalf("%s is claimed twice", c.Domain)
	}
	return err
}

func claims(t *testing.T, d *desk.Desk) {
	first := d.Holder()
	if first.Domain != domain || first.Epoch == 0 || first.Who != "the test" || first.Since.IsZero() {
		t.Errorf("%+v", first)
	}
	refused(t, d, keeper.Claim{Domain: domain, Who: "another"}, "the test")

	// One who waits gets it as soon as it is free.
	attached := make(chan keeper.Holder, 1)
	go func() {
		s, err := d.Attach(d.Ctx, keeper.Claim{Domain: domain, Who: "another"})
		if err != nil {
			attached <- keeper.Holder{}
			return
		}
		attached <- s.Holder()
		s.Release()
	}()
	if err := d.Release(); err != nil {
		t.Fatal(err)
	}
	if next := <-attached; next.Epoch <= first.Epoch || next.Who != "another" {
		t.Errorf("%+v after %+v", next, first)
	}
	if _, err := d.Start(d.Ctx, desk.Shell("a", "exit 0")); err == nil {
		t.Error("a session that was released starts processes")
	}

	for _, wrong := range []string{"test", "/a//b", "/a/../b", "/" + strings.Repeat("x", 200)} {
		if _, err := d.Attach(d.Ctx, keeper.Claim{Domain: wrong}); !errors.Is(err, keeper.ErrInvalid) {
			t.Errorf("the domain %q: %v", wrong, err)
		}
	}
}

func claimsAboveAndBelow(t *testing.T, d *desk.Desk) {
	for _, other := range []string{"/", domain + "/below", domain + "/below/more"} {
		refused(t, d, keeper.Claim{Domain: other, Who: "another"}, "the test")
		refused(t, d, keeper.Claim{Domain: other, Who: "another", Take: true}, "the test")
	}
	d.Join(t, keeper.Claim{Domain: domain + "-2", Who: "a neighbour"})

	below := desk.Shell("deep", "exit 0")
	below.Domain = domain + "/below"
	if exit := d.Await(t, d.Begin(t, below).ID); exit.Code != 0 {
		t.Errorf("%+v", exit)
	}
}

func fencedSession(t *testing.T, d *desk.Desk) {
	p := d.Begin(t, desk.Shell("a", "sleep 60"))
	next := d.Join(t, keeper.Claim{Domain: domain, Who: "the next", Take: true})
	if next.Holder().Epoch <= d.Holder().Epoch {
		t.Errorf("%+v after %+v", next.Holder(), d.Holder())
	}

	_, err := d.Start(d.Ctx, desk.Shell("b", "exit 0"))
	if !errors.Is(err, keeper.ErrFenced) || !strings.Contains(err.Error(), "the next since") {
		t.Errorf("a change of the former one: %v", err)
	}
	if _, err := d.Stop(d.Ctx, p.ID); !errors.Is(err, keeper.ErrFenced) {
		t.Errorf("a stop by the former one: %v", err)
	}
	if list, err := d.List(d.Ctx, domain); err != nil || len(list) != 1 || list[0].ID != p.ID {
		t.Errorf("the former one sees %v, %v", list, err)
	}

	// The former one's end is not that of the claim.
	if err := d.Release(); err != nil {
		t.Fatal(err)
	}
	if _, err := next.Stop(d.Ctx, p.ID); err != nil {
		t.Error(err)
	}
}

// fencedAtOnce: who waits for it is told at once that somebody else decides.
func fencedAtOnce(t *testing.T, d *desk.Desk) {
	fenced := func(s desk.Session) <-chan error {
		told := make(chan error, 1)
		go func() { told <- s.Fenced(d.Ctx) }()
		return told
	}
	told := fenced(d)
	next := d.Join(t, keeper.Claim{Domain: domain, Who: "the next", Take: true})
	err := <-told
	_, change := d.Start(d.Ctx, desk.Shell("a", "exit 0"))
	if !errors.Is(err, keeper.ErrFenced) || err.Error() != change.Error() || !strings.Contains(err.Error(), "the next since") {
		t.Errorf("%v, and a change: %v", err, change)
	}

	ended, cancel := desk.Ended(d.Ctx)
	defer cancel()
	if err := next.Fenced(ended); !errors.Is(err, context.Canceled) {
		t.Errorf("of one who does not wait: %v", err)
	}
	told = fenced(next)
	if err := next.Release(); err != nil {
		t.Fatal(err)
	}
	if err := <-told; !errors.Is(err, keeper.ErrClosed) {
		t.Errorf("after the release: %v", err)
	}
	if err := d.Join(t, keeper.Claim{}).Fenced(d.Ctx); !errors.Is(err, keeper.ErrNoClaim) {
		t.Errorf("of one who only looks: %v", err)
	}

	told = fenced(d.Join(t, keeper.Claim{Domain: domain, Who: "the last"}))
	if err := d.Close(); err != nil {
		t.Fatal(err)
	}
	if err := <-told; !errors.Is(err, keeper.ErrClosed) {
		t.Errorf("after the end of the keeper: %v", err)
	}
}

// boundIsNotTaken: nobody takes a domain where everything ends with the claim of its client.
func boundIsNotTaken(t *testing.T, d *desk.Desk) {
	bound := d.Join(t, keeper.Claim{Domain: "/bound", Who: "the one in front", Ends: true})
	for domain, is := range map[string]bool{"/bound": true, "/bound/below": true, "/test/below": false} {
		holder := map[bool]string{true: "the one in front", false: "the test"}[is]
		err := refused(t, d, keeper.Claim{Domain: domain, Who: "another", Take: true}, holder)
		if errors.Is(err, keeper.ErrBound) != is {
			t.Errorf("a claim of %s: %v", domain, err)
		}
	}
	if err := bound.Release(); err != nil {
		t.Fatal(err)
	}
	d.Join(t, keeper.Claim{Domain: "/bound", Who: "another", Take: true})
}

// raceForADomain: however many want it, one has it at any time.
func raceForADomain(t *testing.T, d *desk.Desk) {
	const rounds = 200
	var holders, epoch atomic.Int64
	var all sync.WaitGroup
	for range 4 {
		all.Go(func() {
			for range rounds {
				s, err := d.Attach(d.Ctx, keeper.Claim{Domain: "/race", Who: "a racer"})
				if err != nil {
					t.Error(err)
					return
				}
				if n := holders.Add(1); n != 1 {
					t.Errorf("%d have it", n)
				}
				if before := epoch.Swap(int64(s.Holder().Epoch)); before >= int64(s.Holder().Epoch) {
					t.Errorf("epoch %d after %d", s.Holder().Epoch, before)
				}
				holders.Add(-1)
				if err := s.Release(); err != nil {
					t.Error(err)
				}
			}
		})
	}
	all.Wait()
}

func looksWithoutClaim(t *testing.T, d *desk.Desk) {
	p := d.Begin(t, desk.Shell("a", "sleep 60"))
	looker := d.Join(t, keeper.Claim{})
	if list, err := looker.List(d.Ctx, "/"); err != nil || len(list) != 1 || list[0].ID != p.ID {
		t.Errorf("%v, %v", list, err)
	}
	if _, err := looker.Stop(d.Ctx, p.ID); !errors.Is(err, keeper.ErrNoClaim) {
		t.Errorf("a change without a claim: %v", err)
	}
}

// nobodyNeedsToBeThere: what a client has started goes on without it, and the next one has it.
func nobodyNeedsToBeThere(t *testing.T, d *desk.Desk) {
	p := d.Begin(t, desk.Shell("a", "exec sleep 60"))
	socket := d.Open(t, "web", "tcp", "127.0.0.1:0")
	if err := d.Release(); err != nil {
		t.Fatal(err)
	}
	next := d.Join(t, keeper.Claim{Domain: domain, Who: "the next"})
	sockets, err := next.Sockets(d.Ctx, domain)
	if err != nil || len(sockets) != 1 || sockets[0] != socket {
		t.Errorf("%v, %v", sockets, err)
	}
	exit, err := next.Stop(d.Ctx, keeper.ID{Domain: domain, Name: "a"})
	if err != nil {
		t.Fatal(err)
	}
	if again, err := next.Wait(d.Ctx, p.ID); err != nil || !again.Time.Equal(exit.Time) {
		t.Errorf("%+v and %+v, %v", exit, again, err)
	}
}

// boundClaim: what is in the domain of a claim that says so ends with it, and what was left there
// before ends when it begins.
func boundClaim(t *testing.T, d *desk.Desk) {
	start := func(s desk.Session) keeper.Proc {
		spec := desk.Shell("a", "exec sleep 60")
		spec.Domain, spec.Policy = "/bound/below", desk.Quick(lifecycle.Permanent)
		p, err := s.Start(d.Ctx, spec)
		if err == nil {
			_, err = s.Listen(d.Ctx, keeper.Socket{Domain: "/bound", Key: "web", Network: "tcp", Address: "127.0.0.1:0"})
		}
		if err != nil {
			t.Fatal(err)
		}
		return p
	}
	nothingIsLeft := func(p keeper.Proc) {
		t.Helper()
		if exit := d.Await(t, p.ID); exit.Signal != "killed" {
			t.Errorf("%+v", exit)
		}
		sockets, err := d.Sockets(d.Ctx, "/bound")
		if err != nil || len(sockets) > 0 {
			t.Errorf("%v, %v", sockets, err)
		}
	}

	former := d.Join(t, keeper.Claim{Domain: "/bound", Who: "the former"})
	p := start(former)
	other := d.Begin(t, desk.Shell("other", "exec sleep 60"))
	if err := former.Release(); err != nil {
		t.Fatal(err)
	}
	bound := d.Join(t, keeper.Claim{Domain: "/bound", Who: "bound", Ends: true})
	nothingIsLeft(p)

	p = start(bound)
	if err := bound.Release(); err != nil {
		t.Fatal(err)
	}
	nothingIsLeft(p)
	if list, err := d.List(d.Ctx, "/"); err != nil || len(list) != 1 || list[0].ID != other.ID {
		t.Errorf("%v, %v", list, err)
	}
}
