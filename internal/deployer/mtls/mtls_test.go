package mtls

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/divisi-go/divisi/internal/identity"
	"github.com/divisi-go/divisi/internal/place"
)

// safe is a vault in memory.
type safe struct {
	kept map[string][]byte
	err  error
}

var _ Vault = (*safe)(nil)

func (s *safe) Load(_ context.Context, version string) ([]byte, error) { return s.kept[version], s.err }

func (s *safe) Save(_ context.Context, version string, secret []byte) error {
	if s.err == nil {
		s.kept[version] = secret
	}
	return s.err
}

// office is a deployer that takes over from another: what it warns of is noted.
type office struct {
	*Authority
	warnings []string
}

func open(t *testing.T, vault Vault, wall time.Time) *office {
	t.Helper()
	plan, err := place.NewPlan([]place.Component{
		{Name: "Main", Main: true, Refs: []string{"Cart"}}, {Name: "Cart", Refs: []string{"Stock"}}, {Name: "Stock"},
	}, []place.Group{
		{Name: "main", Components: []string{"Main"}}, {Name: "cart", Components: []string{"Cart"}},
		{Name: "stock", Components: []string{"Stock"}},
	}, nil)
	if err != nil {
		t.Fatal(err)
	}
	o := &office{}
	o.Authority, err = New(t.Context(), Options{
		App: "shop", Version: "v1", Plan: plan, Vault: vault,
		Certificates: identity.Options{Wall: func() time.Time { return wall }},
		Warn:         func(text string) { o.warnings = append(o.warnings, text) },
	})
	if err != nil {
		t.Fatal(err)
	}
	return o
}

// certified returns the certificate of a replica, and by what it judges others.
func certified(t *testing.T, o *office, group string) (chain [][]byte, trust *identity.Trust) {
	t.Helper()
	reply, err := o.Certify(place.Replica{Group: group})
	if err != nil {
		t.Fatal(err)
	}
	pair, err := tls.X509KeyPair(reply.Cert, reply.Key)
	if err != nil {
		t.Fatal(err)
	}
	told := identity.Told{Roots: reply.Trust.Roots, Now: time.UnixMicro(reply.Trust.NowMicros), Groups: identity.Groups{}}
	for name, g := range reply.Trust.Groups {
		told.Groups[name] = identity.Group{Components: g.Components, Callees: g.Callees}
	}
	if trust, err = identity.NewTrust(told, nil); err != nil {
		t.Fatal(err)
	}
	return pair.Certificate, trust
}

func wantError(t *testing.T, err error, want string) {
	t.Helper()
	if err == nil || !strings.Contains(err.Error(), want) {
		t.Errorf("got %v, want %q", err, want)
	}
}

// TestJudgement: the authority judges as those do that it has told by what to judge.
func TestJudgement(t *testing.T) {
	o := open(t, nil, time.Now())
	chain, trust := certified(t, o, "cart")
	callees, err := o.Client(chain)
	if err != nil || !slices.Equal(callees, []string{"Stock"}) {
		t.Errorf("cart may call %q, %v", callees, err)
	}
	rights, err := trust.Client(chain)
	if err != nil || !rights.May("Stock") || rights.May("Cart") {
		t.Errorf("cart has the rights %v, %v", rights, err)
	}
	if err := errors.Join(o.Server(chain, "Cart"), trust.Server(chain, "Cart")); err != nil {
		t.Error(err)
	}
	const refusal = "cart-0@/shop, a replica of the group cart, may not host Stock"
	wantError(t, o.Server(chain, "Stock"), refusal)
	wantError(t, trust.Server(chain, "Stock"), refusal)

	var none *Authority
	_, err = none.Certify(place.Replica{})
	wantError(t, err, "no certificates")
	_, err = none.Client(chain)
	wantError(t, err, "no certificates")
	wantError(t, none.Server(chain, "Cart"), "no certificates")
	none.Forget(t.Context())
	o.Forget(t.Context())
}

// TestVault: a deployer that finds the keys of the one before goes on with them, wherever the wall clock
// stands; one that finds nothing, or nothing of use, makes its own.
func TestVault(t *testing.T) {
	vault := &safe{kept: map[string][]byte{}}
	first := open(t, vault, time.Now())
	chain, trust := certified(t, first, "cart")
	for _, wall := range []time.Time{time.Now().AddDate(0, 0, 31), time.Now().AddDate(0, 0, 400), time.Now().AddDate(-10, 0, 0)} {
		next := open(t, vault, wall)
		if _, err := next.Client(chain); err != nil {
			t.Errorf("at %v the certificate of before is refused: %v", wall, err)
		}
		later, laterTrust := certified(t, next, "stock")
		if _, err := trust.Client(later); err != nil {
			t.Errorf("at %v a new certificate is refused: %v", wall, err)
		}
		if _, err := laterTrust.Client(chain); err != nil {
			t.Errorf("at %v the certificate of before is refused by a new replica: %v", wall, err)
		}
		if len(next.warnings) > 0 {
			t.Errorf("warned of %q", next.warnings)
		}
	}

	vault.kept["v1"] = bytes.Repeat([]byte("x"), 10)
	other := open(t, vault, time.Now())
	_, err := other.Client(chain)
	wantError(t, err, "not of this deployment")
	if len(other.warnings) != 1 || !strings.Contains(other.warnings[0], "made again") {
		t.Errorf("warned of %q", other.warnings)
	}
	certified(t, other, "cart")
	other.Forget(t.Context())
	if vault.kept["v1"] != nil {
		t.Error("the version is not forgotten")
	}

	fresh := open(t, vault, time.Now())
	vault.err = errors.New("no vault")
	_, err = fresh.Certify(place.Replica{Group: "cart"})
	wantError(t, err, "no vault")
	fresh.Forget(t.Context())
	if len(fresh.warnings) != 2 {
		t.Errorf("warned of %q", fresh.warnings)
	}
	_, err = New(t.Context(), Options{Vault: vault})
	wantError(t, err, "cannot take over the root certificates: no vault")
}
