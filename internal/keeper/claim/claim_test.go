package claim

import (
	"errors"
	"testing"
	"time"

	"github.com/divisi-go/divisi/internal/keeper"
)

var now = time.Unix(1_000_000, 0)

// grant has a wish granted.
func (t *Table) grant(tb testing.TB, wish keeper.Claim) *Claim {
	tb.Helper()
	c, holder, err := t.Grant(wish, now)
	if err != nil || holder != nil {
		tb.Fatalf("%+v: %+v has it, %v", wish, holder, err)
	}
	return c
}

// deny checks who has what is wished.
func (t *Table) deny(tb testing.TB, wish keeper.Claim, who string) {
	tb.Helper()
	c, holder, err := t.Grant(wish, now)
	if c != nil || err != nil || holder == nil || holder.Holder.Who != who {
		tb.Fatalf("%+v: %+v, %+v, %v; want that %s has it", wish, c, holder, err, who)
	}
}

// fence checks that a claim cannot be renewed.
func (t *Table) fence(tb testing.TB, wish keeper.Claim) {
	tb.Helper()
	if c, _, err := t.Grant(wish, now); c != nil || !errors.Is(err, keeper.ErrFenced) {
		tb.Fatalf("%+v: %+v, %v; want that it is fenced", wish, c, err)
	}
}

func TestGrant(t *testing.T) {
	var table Table
	one := table.grant(t, keeper.Claim{Domain: "/shop", Who: "one"})
	if want := (keeper.Holder{Domain: "/shop", Epoch: 1, Who: "one", Since: now}); one.Holder != want {
		t.Errorf("%+v, want %+v", one.Holder, want)
	}
	for _, near := range []string{"/", "/shop", "/shop/eu"} {
		table.deny(t, keeper.Claim{Domain: near, Who: "two"}, "one")
	}
	for _, above := range []string{"/", "/shop/eu"} {
		table.deny(t, keeper.Claim{Domain: above, Who: "two", Take: true}, "one")
	}
	table.grant(t, keeper.Claim{Domain: "/shop-2", Who: "a neighbour"})
	if table.Of("/shop/eu/x") != one || table.Of("/other") != nil {
		t.Error("somebody else decides")
	}

	if !table.Release(one) || table.Release(one) {
		t.Error("it is released twice, or never")
	}
	if err := one.May("/shop"); !errors.Is(err, keeper.ErrClosed) {
		t.Errorf("a change after the release: %v", err)
	}
	two := table.grant(t, keeper.Claim{Domain: "/shop", Who: "two"})
	if two.Holder.Epoch != 2 {
		t.Errorf("the second epoch is %d", two.Holder.Epoch)
	}
	table.fence(t, keeper.Claim{Domain: "/shop", Who: "one", Epoch: 1})
}

// TestEpochTwice: where an epoch was forgotten and given to somebody else, whoever had it first cannot renew it.
func TestEpochTwice(t *testing.T) {
	var table Table
	table.Recall(Claim{Holder: keeper.Holder{Domain: "/shop", Epoch: 5, Token: "zero"}, State: Over})
	two := table.grant(t, keeper.Claim{Domain: "/shop", Who: "two", Token: "two"})
	table.fence(t, keeper.Claim{Domain: "/shop", Who: "one", Epoch: two.Holder.Epoch, Token: "one"})
	table.grant(t, keeper.Claim{Domain: "/shop", Who: "two", Epoch: two.Holder.Epoch, Token: "two"})
}

func TestTake(t *testing.T) {
	var table Table
	one := table.grant(t, keeper.Claim{Domain: "/shop", Who: "one"})
	one.Left = []*keeper.Spec{{Name: "a"}}
	two := table.grant(t, keeper.Claim{Domain: "/shop", Who: "two", Take: true})
	if len(one.Left) != 0 || len(two.Left) != 1 {
		t.Errorf("what had left is with %+v and %+v", one.Left, two.Left)
	}
	if err := one.May("/shop/eu"); !errors.Is(err, keeper.ErrFenced) {
		t.Errorf("a change of the former one: %v", err)
	}
	if err := two.May("/shop/eu"); err != nil {
		t.Error(err)
	}
	if err := two.May("/other"); !errors.Is(err, keeper.ErrNoClaim) {
		t.Errorf("a change elsewhere: %v", err)
	}
	if table.Release(one) {
		t.Error("the end of the former one is that of the claim")
	}
	table.deny(t, keeper.Claim{Domain: "/shop", Who: "three"}, "two")
	if err := new(Claim).May("/shop"); !errors.Is(err, keeper.ErrNoClaim) {
		t.Errorf("a change of one who only looks: %v", err)
	}
}

// TestRenew: who has the last epoch goes on, also with another keeper.
func TestRenew(t *testing.T) {
	var table Table
	table.Recall(Claim{Holder: keeper.Holder{Domain: "/shop", Epoch: 7}, Ends: true, State: Held})
	table.Recall(Claim{Holder: keeper.Holder{Domain: "/bank", Epoch: 3}, Ends: true, State: Held})
	table.Recall(Claim{Holder: keeper.Holder{Domain: "/mill", Epoch: 4}, State: Held})

	one := table.grant(t, keeper.Claim{Domain: "/shop", Who: "one", Epoch: 7, Ends: true})
	again := table.grant(t, keeper.Claim{Domain: "/shop", Who: "one", Epoch: 8, Ends: true})
	if one.Holder.Epoch != 8 || again.Holder.Epoch != 9 || one.May("/shop") == nil {
		t.Errorf("renewed as %+v, %+v", one.Holder, again.Holder)
	}
	if ahead := table.grant(t, keeper.Claim{Domain: "/mill", Who: "miller", Epoch: 6}); ahead.Holder.Epoch != 7 {
		t.Errorf("an epoch that the journal has lost is renewed as %+v", ahead.Holder)
	}
	if got := table.Forgo(); len(got) != 1 || got[0].Holder.Domain != "/bank" || !got[0].Ends {
		t.Errorf("what was not renewed is %v", got)
	}
	for c := range table.All() {
		if ends := c.Ends && c.State != Over; ends != (c.Holder.Domain == "/shop") {
			t.Errorf("what is in %s ends with the claim: %v", c.Holder.Domain, ends)
		}
	}

	table.Release(again)
	below := table.grant(t, keeper.Claim{Domain: "/shop/eu", Who: "two"})
	table.fence(t, keeper.Claim{Domain: "/shop", Who: "one", Epoch: 9})
	table.Release(below)
	table.grant(t, keeper.Claim{Domain: "/shop", Who: "one", Epoch: 9})
}

// TestLostAnswer: a client whose claim was renewed, and which was not told so, renews it again.
func TestLostAnswer(t *testing.T) {
	var table Table
	table.Recall(Claim{Holder: keeper.Holder{Domain: "/shop", Epoch: 7, Who: "one", Token: "x"}})
	wish := keeper.Claim{Domain: "/shop", Who: "one", Epoch: 6, Token: "x"}
	if c := table.grant(t, wish); c.Holder.Epoch != 8 {
		t.Errorf("%+v", c.Holder)
	}
	table.fence(t, keeper.Claim{Domain: "/shop", Who: "one", Epoch: 7, Token: "y"})
	table.grant(t, keeper.Claim{Domain: "/shop", Who: "two", Take: true})
	table.fence(t, wish)
}

// TestTakeBound: nobody takes a domain where everything ends with the claim, nor that of a client which may
// be about to renew such a claim.
func TestTakeBound(t *testing.T) {
	take := keeper.Claim{Domain: "/shop", Who: "two", Take: true}
	var table Table
	one := table.grant(t, keeper.Claim{Domain: "/shop", Who: "one", Ends: true})
	table.deny(t, take, "one")
	if err := one.Refusal("/shop"); !errors.Is(err, keeper.ErrHeld) || !errors.Is(err, keeper.ErrBound) {
		t.Error(err)
	}
	one = table.grant(t, keeper.Claim{Domain: "/shop", Who: "one", Ends: true, Epoch: 1})

	var next Table
	next.Recall(*one)
	next.deny(t, take, "one")
	next.Forgo()
	two := next.grant(t, take)
	if err := two.Refusal("/shop"); !errors.Is(err, keeper.ErrHeld) || errors.Is(err, keeper.ErrBound) {
		t.Error(err)
	}
}

// TestDecided: a domain is decided about as long as a client does, or may go on to.
func TestDecided(t *testing.T) {
	var table Table
	decided := func(want bool) {
		t.Helper()
		if got := table.Decided("/shop/eu"); got != want {
			t.Errorf("it is decided: %v, want %v", got, want)
		}
	}
	decided(false)
	one := table.grant(t, keeper.Claim{Domain: "/shop", Who: "one"})
	decided(true)
	two := table.grant(t, keeper.Claim{Domain: "/shop", Who: "two", Take: true})
	table.Release(one)
	decided(true)

	var next Table
	for c := range table.All() {
		next.Recall(*c)
	}
	table.Release(two)
	decided(false)
	table.grant(t, keeper.Claim{Domain: "/shop/eu/x", Who: "three"})
	decided(false)

	table = next
	changed := table.Changed()
	decided(true)
	table.Forgo()
	decided(false)
	<-changed
	table.Recall(Claim{Holder: keeper.Holder{Domain: "/"}, State: Over})
	decided(false)
}
