// Package claim decides who decides: one client at a time does, about a domain and all below it.
package claim

import (
	"fmt"
	"iter"
	"maps"
	"time"

	"github.com/divisi-go/divisi/internal/keeper"
)

// Table has the last claim of each domain. The zero value has none. It is not safe for concurrent use.
//
// Invariants:
//   - No domain of a claim that is held is above or below that of another one.
//   - The epochs of a domain grow.
type Table struct {
	last    map[string]*Claim // by domain
	changed chan struct{}     // closed at the next change; nil while nobody waits
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
func (t *Table) Recall(last Claim) {
	if last.State != Over {
		last.State = Lost
	}
	t.put(&last)
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

// Changed returns a channel that is closed at the next change.
func (t *Table) Changed() <-chan struct{} {
	if t.changed == nil {
		t.changed = make(chan struct{})
	}
	return t.changed
}

func (t *Table) change() {
	if t.changed != nil {
		close(t.changed)
		t.changed = nil
	}
}

// Grant gives a client the domain that it wishes, or returns the claim that prevents it. The error is
// [keeper.ErrFenced] if it cannot renew its claim.
func (t *Table) Grant(wish keeper.Claim, now time.Time) (granted, other *Claim, err error) {
	renews := wish.Epoch > 0
	former, epoch, own := t.last[wish.Domain], uint64(0), false
	if former != nil {
		epoch = former.Holder.Epoch
		own = wish.Token != "" && wish.Token == former.Holder.Token
	}
	isOver := epoch > wish.Epoch
	if former != nil && epoch == wish.Epoch { // given twice, if the journal could not be written before the first one's keeper ended
		isOver = former.Holder.Token != wish.Token
	}
	if renews && isOver && !own {
		return nil, nil, fmt.Errorf("cannot decide about %s any more: %w: epoch %d is over, the last one is %d",
			wish.Domain, keeper.ErrFenced, wish.Epoch, epoch)
	}
	other = t.against(wish)
	switch {
	case other != nil && renews:
		return nil, nil, fmt.Errorf("cannot decide about %s any more: %w: %v", wish.Domain, keeper.ErrFenced, other)
	case other != nil:
		return nil, other, nil
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
	t.change()

	return c, nil, nil
}

// against returns a claim that prevents the wish.
func (t *Table) against(wish keeper.Claim) *Claim {
	for _, c := range t.last {
		if c.prevents(wish) {
			return c
		}
	}
	return nil
}

func (c *Claim) prevents(wish keeper.Claim) bool {
	domain := c.Holder.Domain
	switch {
	case domain != wish.Domain:
		return c.State == Held && (keeper.Within(domain, wish.Domain) || keeper.Within(wish.Domain, domain))
	case wish.Epoch > 0:
		return false
	case wish.Take:
		return c.Ends && c.pending()
	}
	return c.State == Held
}

// pending reports whether the claim has a client that decides, or may go on to.
func (c *Claim) pending() bool { return c.State == Held || c.State == Lost }

// Refusal is the error of a wish that the claim prevents.
func (c *Claim) Refusal(domain string) error {
	err := fmt.Errorf("cannot decide about %s: %w: %v", domain, keeper.ErrHeld, c)
	if c.Ends {
		err = fmt.Errorf("%w, and %w", err, keeper.ErrBound)
	}
	return err
}

// String returns "divisi run shop (process 811) has /shop since 2026-01-02T03:04:05Z".
func (c *Claim) String() string {
	return fmt.Sprintf("%s has %s since %s", c.Holder.Who, c.Holder.Domain, c.Holder.Since.Format(time.RFC3339))
}

// Release ends a claim, and reports whether its client has decided until now.
func (t *Table) Release(c *Claim) bool {
	decided := c.State == Held
	c.State = Over
	t.change()
	return decided
}

// Close ends all claims.
func (t *Table) Close() {
	for _, c := range t.last {
		c.State = Over
	}
	t.change()
}

// Forgo ends the claims of an earlier keeper that nobody has renewed, and returns them.
func (t *Table) Forgo() (ended []*Claim) {
	for _, c := range t.last {
		if c.State == Lost {
			c.State = Over
			ended = append(ended, c)
		}
	}
	t.change()
	return ended
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

// Decided reports whether somebody decides about a domain, or may go on to.
func (t *Table) Decided(domain string) bool {
	for above, c := range t.last {
		if c.pending() && keeper.Within(domain, above) {
			return true
		}
	}
	return false
}

// All returns the last claim of each domain.
func (t *Table) All() iter.Seq[*Claim] { return maps.Values(t.last) }

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
