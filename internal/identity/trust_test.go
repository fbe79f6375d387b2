package identity

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/divisi-go/divisi/internal/name"
)

var shop = Groups{
	"cart":  {Components: []string{"Cart"}, Callees: []string{"Stock"}},
	"stock": {Components: []string{"Stock", "Price"}},
}

// member is a process of the shop.
type member struct {
	subject Subject
	leaf    *Leaf
	trust   atomic.Pointer[Trust]
}

// office is where members get their certificates. It may be closed, and then they wait.
type office struct {
	mu   sync.Mutex // guards what follows
	a    *Authority
	open chan struct{} // closed when it is open
}

func newOffice(a *Authority) *office {
	o := &office{a: a, open: make(chan struct{})}
	close(o.open)
	return o
}

func (o *office) close() {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.open = make(chan struct{})
}

// reopen opens it with an authority that takes over.
func (o *office) reopen(a *Authority) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.a = a
	close(o.open)
}

func (o *office) wait(ctx context.Context) (*Authority, error) {
	o.mu.Lock()
	open := o.open
	o.mu.Unlock()
	select {
	case <-open:
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.a, nil
}

// join starts a process of a group.
func (o *office) join(t *testing.T, group string, number int) *member {
	t.Helper()
	m := &member{subject: Subject{Server: name.Server{Name: fmt.Sprint(group, "-", number), Domain: "/shop"}, Group: group}}
	var err error
	m.leaf, err = NewLeaf(t.Context(), slog.New(slog.DiscardHandler), func(ctx context.Context) (cert, key []byte, err error) {
		a, err := o.wait(ctx)
		if err != nil {
			return nil, nil, err
		}
		if cert, key, err = a.Issue(m.subject); err != nil {
			return nil, nil, err
		}
		trust, err := NewTrust(a.Told(shop), m.trust.Load())
		m.trust.Store(trust)
		return cert, key, err
	})
	if err != nil {
		t.Fatal(err)
	}
	serve(t, m.leaf)
	return m
}

// meets verifies what a process shows to another, in both roles.
func (m *member) meets(other *member) error {
	chain := m.leaf.current.Load().certificate.Certificate
	rights, err := other.trust.Load().Client(chain)
	if err == nil && rights.May("Stock") != (m.subject.Group == "cart") {
		err = errors.New("it has the wrong rights")
	}
	if err == nil {
		err = other.trust.Load().Server(chain, shop[m.subject.Group].Components[0])
	}
	if err != nil {
		return fmt.Errorf("%s to %s: %w", m.subject.Server, other.subject.Server, err)
	}
	return nil
}

// allMeet fails unless every process recognises every other one.
func allMeet(t *testing.T, members []*member) {
	t.Helper()
	synctest.Wait()
	for _, a := range members {
		for _, b := range members {
			if a == b {
				continue
			}
			if err := a.meets(b); err != nil {
				t.Fatalf("after %v: %v", time.Since(time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC)), err)
			}
		}
	}
}

// TestMembers lets 430 days pass, in which there is no deployer for nine days in every two weeks, and
// processes start at any time: each recognises all others, at day 31 and day 400 as at any other.
func TestMembers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := newOffice(NewAuthority("d1", Options{}))
		var members []*member
		for day := range 430 {
			if day%14 == 0 && len(members) < 3 {
				members = append(members, o.join(t, []string{"cart", "stock"}[len(members)%2], day))
			}
			allMeet(t, members)
			switch day % 14 {
			case 4:
				o.close()
			case 13:
				o.reopen(o.a)
			}
			time.Sleep(24 * time.Hour)
		}
	})
}

// TestRandomRoots has certificates of all lengths, and deployers that go for any time, in which certificates
// and even roots may end. As long as certificates have not ended, their owners recognise each other; and once
// there is a deployer, all do.
func TestRandomRoots(t *testing.T) {
	for seed := range uint64(6) {
		synctest.Test(t, func(t *testing.T) {
			r := rand.New(rand.NewPCG(seed, 0))
			options := Options{Leaf: time.Duration(1+r.IntN(60)) * time.Minute}
			options.Root = options.Leaf * time.Duration(1+r.IntN(12))
			within := func(leaves float64) time.Duration { return time.Duration(leaves * float64(options.Leaf) * r.Float64()) }
			o := newOffice(NewAuthority("d1", options))
			var members []*member
			for round := range 30 {
				if len(members) < 3 {
					members = append(members, o.join(t, "cart", round))
				}
				for range 3 {
					time.Sleep(within(1))
					allMeet(t, members)
				}

				o.close()
				time.Sleep(within(5))
				living := members[:0:0]
				for _, m := range members {
					if now := o.a.now(); now.Before(m.leaf.current.Load().end) {
						living = append(living, m)
					}
				}
				allMeet(t, living)
				o.reopen(o.a)
				allMeet(t, members)
			}
			if n := len(o.a.roots); n > maxRoots {
				t.Errorf("there are %d roots", n)
			}
		})
	}
}

// TestTrust: what a process may do is what its group may do, and nobody is believed to be of a group
// without a certificate of the authority.
func TestTrust(t *testing.T) {
	a := NewAuthority("d1", Options{})
	chain := issued(t, a)
	trust, err := NewTrust(a.Told(shop), nil)
	if err != nil {
		t.Fatal(err)
	}
	rights, err := trust.Client(chain)
	if err != nil || !rights.May("Stock") || rights.May("Price") || rights.May("Cart") {
		t.Errorf("cart has the rights %v, %v", rights, err)
	}
	if err := trust.Server(chain, "Cart"); err != nil {
		t.Error(err)
	}
	wantText(t, trust.Server(chain, "Stock"), "cart-0@/shop, a replica of the group cart, may not host Stock")

	stranger := issued(t, NewAuthority("d1", Options{}))
	_, err = trust.Client(stranger)
	wantText(t, err, "not of this deployment")
	wantText(t, trust.Server(stranger, "Cart"), "not of this deployment")

	nobody, err := NewTrust(a.Told(nil), nil)
	if err != nil {
		t.Fatal(err)
	}
	if rights, err = nobody.Client(chain); err != nil || rights.May("Stock") {
		t.Errorf("of a group that nobody knows, cart has the rights %v, %v", rights, err)
	}
	wantText(t, nobody.Server(chain, "Cart"), "may not host Cart")

	_, err = NewTrust(Told{}, nil)
	wantText(t, err, "no root is trusted")
	_, err = NewTrust(Told{Roots: [][]byte{[]byte("x")}}, nil)
	wantText(t, err, "the time is not told")
	_, err = NewTrust(Told{Roots: [][]byte{[]byte("x")}, Now: time.Now()}, nil)
	wantText(t, err, "a root does not parse")
}

func wantText(t *testing.T, err error, want string) {
	t.Helper()
	if err == nil || !strings.Contains(err.Error(), want) {
		t.Errorf("got %v, want %q", err, want)
	}
}

// TestClockBehind has a process that was told the time, and then stood still before it read it: new
// certificates are not of the future for it.
func TestClockBehind(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := NewAuthority("d1", Options{})
		issued(t, a)
		told := a.Told(shop)
		time.Sleep(20 * 24 * time.Hour)
		trust, err := NewTrust(told, nil)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := trust.Client(issued(t, a)); err != nil {
			t.Error(err)
		}
	})
}

// TestLost has deployers take over that do not have the keys of those before, and whose wall clocks have
// been set: who has been told by the next one recognises all, and once all have been told, all do. What
// the lost authorities have issued ends when it would have ended.
func TestLost(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var jump time.Duration
		options := Options{Wall: func() time.Time { return time.Now().Add(jump) }}
		o := newOffice(NewAuthority("d1", options))
		members := []*member{o.join(t, "cart", 0), o.join(t, "cart", 1), o.join(t, "stock", 0)}
		for _, jump = range []time.Duration{400 * 24 * time.Hour, -10 * 365 * 24 * time.Hour, 0} {
			time.Sleep(10 * 24 * time.Hour)
			o.close()
			o.reopen(NewAuthority("d1", options))
			members[0].leaf.Renew()
			synctest.Wait()
			for _, m := range members {
				if err := m.meets(members[0]); err != nil {
					t.Errorf("set by %v: %v", jump, err)
				}
			}
			for _, m := range members[1:] {
				m.leaf.Renew()
			}
			allMeet(t, members)
		}
		if n := len(members[0].trust.Load().before); n != 3 {
			t.Errorf("%d authorities of before are trusted", n)
		}

		old := members[0].trust.Load()
		for range maxAuthorities + 5 {
			o.close()
			o.reopen(NewAuthority("d1", options))
			members[0].leaf.Renew()
			synctest.Wait()
		}
		if n := len(members[0].trust.Load().before); n != maxAuthorities {
			t.Errorf("%d authorities of before are trusted", n)
		}
		time.Sleep(400 * 24 * time.Hour)
		if n := len(members[0].trust.Load().before); n != 0 {
			t.Errorf("%d authorities of before are trusted after 400 days", n)
		}
		_, err := old.Client(members[0].leaf.current.Load().certificate.Certificate)
		wantText(t, err, "not of this deployment")
	})
}
