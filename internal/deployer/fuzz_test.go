package deployer

import (
	"crypto/x509"
	"encoding/pem"
	"testing"
	"time"
)

// FuzzVerify: only the one group that the authority has issued a certificate for is ever recognized.
func FuzzVerify(f *testing.F) {
	now := time.Date(2030, 1, 2, 3, 4, 5, 0, time.UTC)
	ours, err := newAuthority("d1", now)
	if err != nil {
		f.Fatal(err)
	}
	other, err := newAuthority("d1", now)
	if err != nil {
		f.Fatal(err)
	}
	var leafs [][]byte
	for a, group := range map[*authority]string{ours: "cart", other: "main"} {
		certPEM, _, err := a.issue(group, now)
		if err != nil {
			f.Fatal(err)
		}
		block, _ := pem.Decode(certPEM)
		leafs = append(leafs, block.Bytes)
		f.Add(block.Bytes, a.cert.Raw)
		f.Add(a.cert.Raw, block.Bytes)
	}
	f.Add(leafs[0], leafs[1])
	f.Add([]byte{}, []byte("noise"))
	f.Fuzz(func(t *testing.T, leaf, next []byte) {
		for _, usage := range []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth, x509.ExtKeyUsageServerAuth} {
			group, err := ours.verify([][]byte{leaf, next}, usage, now)
			if err == nil && group != "cart" || err != nil && group != "" {
				t.Fatalf("%x is of the group %q, %v", leaf, group, err)
			}
		}
	})
}
