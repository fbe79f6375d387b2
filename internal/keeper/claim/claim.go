// Package claim decides who decides: one client at a time does, about a domain and all below it.
package claim

import (
	"fmt"
	"iter"
	"time"

	"github.com/divisi-go/divisi/internal/keeper"
)

// Table has the last claim of each domain. The zero value has none. It is not safe for concurrent use.
//
// Invariants:
//   - No domain of a claim that is held is above or below that of another one.
//   - The epochs of a domain grow.
type Table struct {
	last map[string]*Claim // by domain
}

// Claim is a domain that somebody decides about, or did. The zero value is that of a client that looks
// only.
type Claim struct {
	Holder keeper.Holder  `json:"holder"`
	Ends   bool           `json:"ends,omitempty"` // everything in the domain ends with it
	Left   []*keeper.Spec `json:"left,omitempty"` // servers that have left meanwhile, and what they inherited is yet to be closed
	State  State          `json:"state,omitempty"`
	Next   *keeper.Holder `json:"next,omitempty"` // who has taken the domain, of a claim that is fenced
}

// State says what became of a claim.
type State string

// The states.
const (
	Held   State = "held"   // its client decides
	Fenced State = "fenced" // somebody else has taken the domain
	Lost   State = "lost"   // it is of an earlier keeper; its client may renew it
	Over   State = "over"   // its client has gone
)

// Recall takes over the last claim of a domain that an earlier keeper has known.
func (t *Table) Recall(last keeper.Holder, ends bool) {
	t.put(&Claim{Holder: last, Ends: ends, State: Lost})
}

// Restore takes over a claim from another program of this process.
func (t *Table) Restore(c *Claim) {
	if c.State == Held {
		t.put(c)
	}
}

func (t *Table) put(c *Claim) {
	if t.last == nil {
		t.last = map[string]*Claim{}
	}
	t.last[c.Holder.Domain] = c
}

// Grant gives a client the domain that it wishes, or returns who has it. The error is
// [keeper.ErrFenced] if it cannot renew its claim.
func (t *Table) Grant(wish keeper.Claim, now time.Time) (*Claim, *keeper.Holder, error) {
	renews := wish.Epoch > 0
	former, epoch, own := t.last[wish.Domain], uint64(0), false
	if former != nil {
		epoch = former.Holder.Epoch
		own = wish.Token != "" && wish.Token == former.Holder.Token
	}
	if renews && epoch > wish.Epoch && !own {
		return nil, nil, fmt.Errorf("cannot decide about %s any more: %w: epoch %d is over, the last one is %d",
			wish.Domain, keeper.ErrFenced, wish.Epoch, epoch)
	}
	holder := t.against(wish)
	switch {
	case holder != nil && renews:
		return nil, nil, fmt.Errorf("cannot decide about %s any more: %w: %s has %s since %s", wish.Domain, keeper.ErrFenced,
			holder.Who, holder.Domain, holder.Since.Format(time.RFC3339))
	case holder != nil:
		return nil, holder, nil
	}

	c := &Claim{Ends: wish.Ends, State: Held}
	// A journal that could not be written may not have the epoch that is renewed.
	c.Holder = keeper.Holder{Domain: wish.Domain, Epoch: max(epoch, wish.Epoch) + 1, Who: wish.Who, Since: now, Token: wish.Token}
	if former != nil && former.State == Held {
		former.State, former.Next = Fenced, &c.Holder
	}
	if former != nil {
		c.Left, former.Left = former.Left, nil
	}
	t.put(c)

	return c, nil, nil
}

// against returns who has a domain that the wish cannot be granted beside.
func (t *Table) against(wish keeper.Claim) *keeper.Holder {
	for domain, c := range t.last {
		takes := domain == wish.Domain && (wish.Take || wish.Epoch > 0)
		if c.State == Held && !takes && (keeper.Within(domain, wish.Domain) || keeper.Within(wish.Domain, domain)) {
			holder := c.Holder
			return &holder
		}
	}
	return nil
}

// Release ends a claim, and reports whether its client has decided until now.
func (t *Table) Release(c *Claim) bool {
	decided := c.State == Held
	c.State = Over
	return decided
}

// Forgo ends the claims of an earlier keeper that nobody has renewed. It returns the domains in which
// everything ends with them.
func (t *Table) Forgo() []string {
	var ends []string
	for domain, c := range t.last {
		if c.State != Lost {
			continue
		}
		c.State = Over
		if c.Ends {
			ends = append(ends, domain)
		}
	}
	return ends
}

// Of returns the claim of whoever decides about a domain, nil if nobody does.
func (t *Table) Of(domain string) *Claim {
	for above, c := range t.last {
		if c.State == Held && keeper.Within(domain, above) {
			return c
		}
	}
	return nil
}

// All returns the last claim of each domain, and whether everything there is still to end with it.
func (t *Table) All() iter.Seq2[keeper.Holder, bool] {
	return func(yield func(keeper.Holder, bool) bool) {
		for _, c := range t.last {
			if !yield(c.Holder, c.Ends && c.State != Over) {
				return
			}
		}
	}
}

// May says why the client may not change something of a domain.
func (c *Claim) May(domain string) error {
	switch {
	case c.State == Over:
		return keeper.ErrClosed
	case c.Holder.Domain == "" || !keeper.Within(domain, c.Holder.Domain):
		return fmt.Errorf("cannot change %s: %w: this client has %q", domain, keeper.ErrNoClaim, c.Holder.Domain)
	case c.State == Fenced:
		return fmt.Errorf("cannot change %s: %w: %s since %s (epoch %d, this one is %d)", domain, keeper.ErrFenced,
			c.Next.Who, c.Next.Since.Format(time.RFC3339), c.Next.Epoch, c.Holder.Epoch)
	}
	return nil
}
