package identity

import (
	"crypto/tls"
	"crypto/x509"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/divisi-go/divisi/internal/name"
)

var cart = Subject{Server: name.Server{Name: "cart-0", Domain: "/shop"}, Group: "cart"}

// issued returns a new certificate.
func issued(t *testing.T, a *Authority) [][]byte {
	t.Helper()
	certPEM, keyPEM, err := a.Issue(cart)
	if err != nil {
		t.Fatal(err)
	}
	pair, err := tls.X509KeyPair(certPEM, keyPEM)
	if err != nil {
		t.Fatal(err)
	}
	return pair.Certificate
}

// checkVerify verifies a chain in both roles; want is a part of the error, "" for none.
func checkVerify(t *testing.T, what string, a *Authority, chain [][]byte, want string) {
	t.Helper()
	for _, usage := range []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth, x509.ExtKeyUsageServerAuth} {
		got, err := a.Verify(chain, usage)
		switch {
		case want == "" && (err != nil || got != cart):
			t.Errorf("%s is taken for %v, %v; want %v", what, got, err, cart)
		case want != "" && (err == nil || !strings.Contains(err.Error(), want) || got != Subject{}):
			t.Errorf("%s is taken for %v, %v; want an error with %q", what, got, err, want)
		}
	}
}

func TestAuthority(t *testing.T) {
	ours, other := NewAuthority("d1", Options{}), NewAuthority("d1", Options{})
	chain := issued(t, ours)
	issued(t, other)
	checkVerify(t, "ours", ours, chain, "")
	checkVerify(t, "another deployment's", other, chain, "not of this deployment")
	checkVerify(t, "the first one", NewAuthority("d1", Options{}), chain, "not of this deployment")
	checkVerify(t, "none", ours, nil, "no certificate")
	checkVerify(t, "noise", ours, [][]byte{[]byte("noise")}, "does not parse")
	checkVerify(t, "the root itself", ours, [][]byte{ours.roots[0].cert.Raw}, "the certificate")
}

// TestYears lets thirty years pass: a new certificate is good at any time and until its life is over,
// whichever root has signed it, and the authority keeps no more roots than it needs.
func TestYears(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := NewAuthority("d1", Options{})
		type leaf struct {
			chain [][]byte
			end   time.Time
		}
		var leaves []leaf
		roots := map[string]bool{}
		for range 30 * 365 / 10 {
			leaves = append(leaves, leaf{issued(t, a), time.Now().Add(leafLife)})
			for len(leaves) > 0 && !time.Now().Before(leaves[0].end) {
				leaves = leaves[1:]
			}
			checkVerify(t, "the oldest living leaf", a, leaves[0].chain, "")
			checkVerify(t, "the newest leaf", a, leaves[len(leaves)-1].chain, "")
			if n := len(a.roots); n > 2 {
				t.Fatalf("%d roots are trusted at once", n)
			}
			roots[string(a.roots[len(a.roots)-1].cert.Raw)] = true
			time.Sleep(10 * 24 * time.Hour)
		}
		if n := len(roots); n < 30 || n > 30*365/(365-overlap*30)+1 {
			t.Errorf("there were %d roots in thirty years", n)
		}

		last := issued(t, a)
		time.Sleep(leafLife - time.Second)
		checkVerify(t, "the last leaf, a second before its end,", a, last, "")
		time.Sleep(3 * time.Second)
		checkVerify(t, "the last leaf, after its end,", a, last, "not of this deployment")
	})
}

// TestWallClock sets the wall clock: the authority goes on, whatever it says.
func TestWallClock(t *testing.T) {
	for _, start := range []string{"1970-01-01T00:00:09Z", "1999-12-31T23:59:59Z", "2049-12-31T23:59:50Z", "2500-01-01T00:00:00Z"} {
		at, err := time.Parse(time.RFC3339, start)
		if err != nil {
			t.Fatal(err)
		}
		jumps := []time.Duration{0, 400 * 24 * time.Hour, -6 * time.Minute, -10 * 365 * 24 * time.Hour}
		read := 0
		a := NewAuthority("d1", Options{Wall: func() time.Time {
			read++
			return at.Add(jumps[(read-1)%len(jumps)])
		}})
		for range jumps {
			checkVerify(t, start, a, issued(t, a), "")
		}
	}
}
