//go:build unix

package keepertest

import (
	"context"
	"errors"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/divisi-go/divisi/internal/keeper"
	"github.com/divisi-go/divisi/internal/lifecycle"
)

// refused attaches, and returns the error of a claim that somebody else has. It has more patience where
// that did not suffice to reach the keeper.
func (d *desk) refused(t *testing.T, c keeper.Claim, holder string) error {
	t.Helper()
	err := context.DeadlineExceeded
	for patience := 50 * time.Millisecond; errors.Is(err, context.DeadlineExceeded) && patience < time.Minute; patience *= 4 {
		err = d.refuse(t, c, patience)
	}
	if !errors.Is(err, keeper.ErrHeld) || !strings.Contains(err.Error(), holder) {
		t.Errorf("%v, want that %s has it", err, holder)
	}
	return err
}

// refuse returns the error of a claim that somebody else has.
func (d *desk) refuse(t *testing.T, c keeper.Claim, patience time.Duration) error {
	t.Helper()
	ctx, cancel := context.WithTimeout(d.ctx, patience)
	defer cancel()
	s, err := d.Attach(ctx, c)
	if err == nil {
		s.Release()
		t.Fatalf("%s is claimed twice", c.Domain)
	}
	return err
}

func claims(t *testing.T, d *desk) {
	first := d.Holder()
	if first.Domain != domain || first.Epoch == 0 || first.Who != "the test" || first.Since.IsZero() {
		t.Errorf("%+v", first)
	}
	d.refused(t, keeper.Claim{Domain: domain, Who: "another"}, "the test")

	// One who waits gets it as soon as it is free.
	attached := make(chan keeper.Holder, 1)
	go func() {
		s, err := d.Attach(d.ctx, keeper.Claim{Domain: domain, Who: "another"})
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
	if _, err := d.Start(d.ctx, shell("a", "exit 0")); err == nil {
		t.Error("a session that was released starts processes")
	}

	for _, wrong := range []string{"test", "/a//b", "/a/../b", "/" + strings.Repeat("x", 200)} {
		if _, err := d.Attach(d.ctx, keeper.Claim{Domain: wrong}); !errors.Is(err, keeper.ErrInvalid) {
			t.Errorf("the domain %q: %v", wrong, err)
		}
	}
}

func claimsAboveAndBelow(t *testing.T, d *desk) {
	for _, other := range []string{"/", domain + "/below", domain + "/below/more"} {
		d.refused(t, keeper.Claim{Domain: other, Who: "another"}, "the test")
		d.refused(t, keeper.Claim{Domain: other, Who: "another", Take: true}, "the test")
	}
	d.attach(t, keeper.Claim{Domain: domain + "-2", Who: "a neighbour"})

	below := shell("deep", "exit 0")
	below.Domain = domain + "/below"
	if exit := d.wait(t, d.start(t, below).ID); exit.Code != 0 {
		t.Errorf("%+v", exit)
	}
}

func fencedSession(t *testing.T, d *desk) {
	p := d.start(t, shell("a", "sleep 60"))
	next := d.attach(t, keeper.Claim{Domain: domain, Who: "the next", Take: true})
	if next.Holder().Epoch <= d.Holder().Epoch {
		t.Errorf("%+v after %+v", next.Holder(), d.Holder())
	}

	_, err := d.Start(d.ctx, shell("b", "exit 0"))
	if !errors.Is(err, keeper.ErrFenced) || !strings.Contains(err.Error(), "the next since") {
		t.Errorf("a change of the former one: %v", err)
	}
	if _, err := d.Stop(d.ctx, p.ID); !errors.Is(err, keeper.ErrFenced) {
		t.Errorf("a stop by the former one: %v", err)
	}
	if list, err := d.List(d.ctx, domain); err != nil || len(list) != 1 || list[0].ID != p.ID {
		t.Errorf("the former one sees %v, %v", list, err)
	}

	// The former one's end is not that of the claim.
	if err := d.Release(); err != nil {
		t.Fatal(err)
	}
	if _, err := next.Stop(d.ctx, p.ID); err != nil {
		t.Error(err)
	}
}

// fencedAtOnce: who waits for it is told at once that somebody else decides.
func fencedAtOnce(t *testing.T, d *desk) {
	fenced := func(s Session) <-chan error {
		told := make(chan error, 1)
		go func() { told <- s.Fenced(d.ctx) }()
		return told
	}
	told := fenced(d)
	next := d.attach(t, keeper.Claim{Domain: domain, Who: "the next", Take: true})
	err := <-told
	_, change := d.Start(d.ctx, shell("a", "exit 0"))
	if !errors.Is(err, keeper.ErrFenced) || err.Error() != change.Error() || !strings.Contains(err.Error(), "the next since") {
		t.Errorf("%v, and a change: %v", err, change)
	}

	ended, cancel := contextEnded(d.ctx)
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
	if err := d.attach(t, keeper.Claim{}).Fenced(d.ctx); !errors.Is(err, keeper.ErrNoClaim) {
		t.Errorf("of one who only looks: %v", err)
	}

	told = fenced(d.attach(t, keeper.Claim{Domain: domain, Who: "the last"}))
	if err := d.Close(); err != nil {
		t.Fatal(err)
	}
	if err := <-told; !errors.Is(err, keeper.ErrClosed) {
		t.Errorf("after the end of the keeper: %v", err)
	}
}

// boundIsNotTaken: nobody takes a domain where everything ends with the claim of its client.
func boundIsNotTaken(t *testing.T, d *desk) {
	bound := d.attach(t, keeper.Claim{Domain: "/bound", Who: "the one in front", Ends: true})
	for domain, is := range map[string]bool{"/bound": true, "/bound/below": true, "/test/below": false} {
		holder := map[bool]string{true: "the one in front", false: "the test"}[is]
		err := d.refused(t, keeper.Claim{Domain: domain, Who: "another", Take: true}, holder)
		if errors.Is(err, keeper.ErrBound) != is {
			t.Errorf("a claim of %s: %v", domain, err)
		}
	}
	if err := bound.Release(); err != nil {
		t.Fatal(err)
	}
	d.attach(t, keeper.Claim{Domain: "/bound", Who: "another", Take: true})
}

// raceForADomain: however many want it, one has it at any time.
func raceForADomain(t *testing.T, d *desk) {
	const rounds = 200
	var holders, epoch atomic.Int64
	var all sync.WaitGroup
	for range 4 {
		all.Go(func() {
			for range rounds {
				s, err := d.Attach(d.ctx, keeper.Claim{Domain: "/race", Who: "a racer"})
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

func looksWithoutClaim(t *testing.T, d *desk) {
	p := d.start(t, shell("a", "sleep 60"))
	looker := d.attach(t, keeper.Claim{})
	if list, err := looker.List(d.ctx, "/"); err != nil || len(list) != 1 || list[0].ID != p.ID {
		t.Errorf("%v, %v", list, err)
	}
	if _, err := looker.Stop(d.ctx, p.ID); !errors.Is(err, keeper.ErrNoClaim) {
		t.Errorf("a change without a claim: %v", err)
	}
}

// nobodyNeedsToBeThere: what a client has started goes on without it, and the next one has it.
func nobodyNeedsToBeThere(t *testing.T, d *desk) {
	p := d.start(t, shell("a", "exec sleep 60"))
	socket := d.listen(t, "web", "tcp", "127.0.0.1:0")
	if err := d.Release(); err != nil {
		t.Fatal(err)
	}
	next := d.attach(t, keeper.Claim{Domain: domain, Who: "the next"})
	sockets, err := next.Sockets(d.ctx, domain)
	if err != nil || len(sockets) != 1 || sockets[0] != socket {
		t.Errorf("%v, %v", sockets, err)
	}
	exit, err := next.Stop(d.ctx, keeper.ID{Domain: domain, Name: "a"})
	if err != nil {
		t.Fatal(err)
	}
	if again, err := next.Wait(d.ctx, p.ID); err != nil || !again.Time.Equal(exit.Time) {
		t.Errorf("%+v and %+v, %v", exit, again, err)
	}
}

// boundClaim: what is in the domain of a claim that says so ends with it, and what was left there
// before ends when it begins.
func boundClaim(t *testing.T, d *desk) {
	start := func(s Session) keeper.Proc {
		spec := shell("a", "exec sleep 60")
		spec.Domain, spec.Policy = "/bound/below", quick(lifecycle.Permanent)
		p, err := s.Start(d.ctx, spec)
		if err == nil {
			_, err = s.Listen(d.ctx, keeper.Socket{Domain: "/bound", Key: "web", Network: "tcp", Address: "127.0.0.1:0"})
		}
		if err != nil {
			t.Fatal(err)
		}
		return p
	}
	nothingIsLeft := func(p keeper.Proc) {
		t.Helper()
		if exit := d.wait(t, p.ID); exit.Signal != "killed" {
			t.Errorf("%+v", exit)
		}
		sockets, err := d.Sockets(d.ctx, "/bound")
		if err != nil || len(sockets) > 0 {
			t.Errorf("%v, %v", sockets, err)
		}
	}

	former := d.attach(t, keeper.Claim{Domain: "/bound", Who: "the former"})
	p := start(former)
	other := d.start(t, shell("other", "exec sleep 60"))
	if err := former.Release(); err != nil {
		t.Fatal(err)
	}
	bound := d.attach(t, keeper.Claim{Domain: "/bound", Who: "bound", Ends: true})
	nothingIsLeft(p)

	p = start(bound)
	if err := bound.Release(); err != nil {
		t.Fatal(err)
	}
	nothingIsLeft(p)
	if list, err := d.List(d.ctx, "/"); err != nil || len(list) != 1 || list[0].ID != other.ID {
		t.Errorf("%v, %v", list, err)
	}
}
