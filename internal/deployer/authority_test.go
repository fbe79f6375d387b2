package deployer

import (
	"crypto/tls"
	"crypto/x509"
	"strings"
	"testing"
	"time"
)

func TestAuthority(t *testing.T) {
	now := time.Date(2030, 1, 2, 3, 4, 5, 0, time.UTC)
	ours, err := newAuthority("d1", now)
	if err != nil {
		t.Fatal(err)
	}
	other, err := newAuthority("d1", now)
	if err != nil {
		t.Fatal(err)
	}
	certPEM, keyPEM, err := ours.issue("cart", now)
	if err != nil {
		t.Fatal(err)
	}
	pair, err := tls.X509KeyPair(certPEM, keyPEM)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		what  string
		a     *authority
		chain [][]byte
		now   time.Time
		want  string // of the error; "" for none
	}{
		{"ours", ours, pair.Certificate, now, ""},
		{"skewed", ours, pair.Certificate, now.Add(-4 * time.Minute), ""},
		{"other authority", other, pair.Certificate, now, "not of this deployment"},
		{"expired", ours, pair.Certificate, now.Add(certificateLife + time.Second), "not of this deployment"},
		{"not yet", ours, pair.Certificate, now.Add(-time.Hour), "not of this deployment"},
		{"none", ours, nil, now, "no certificate"},
		{"noise", ours, [][]byte{[]byte("noise")}, now, "does not parse"},
		{"the root itself", ours, [][]byte{ours.cert.Raw}, now, ""},
	} {
		t.Run(c.what, func(t *testing.T) {
			group, err := c.a.verify(c.chain, x509.ExtKeyUsageClientAuth, c.now)
			switch {
			case c.what == "the root itself":
				if err == nil {
					t.Error("the root passes for a replica")
				}
			case c.want == "" && (err != nil || group != "cart"):
				t.Errorf("verify = %q, %v; want cart", group, err)
			case c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)):
				t.Errorf("verify: %v; want an error with %q", err, c.want)
			}
		})
	}
}
