package identity

import (
	"crypto/x509"
	"encoding/pem"
	"net/url"
	"testing"
	"time"
)

// The certificates of a root and of a replica of the group cart, issued at fuzzTime. They are kept,
// as the processes that fuzz have to agree about them.
const (
	fuzzRoot = `-----BEGIN CERTIFICATE-----
MIIBXDCCAQKgAwIBAgIBATAKBggqhkjOPQQDAjAUMRIwEAYDVQQDEwlkaXZpc2kg
ZDEwHhcNMzAwMTAyMDMwNDA1WhcNMzAwMjAxMDMwNDA1WjAUMRIwEAYDVQQDEwlk
aXZpc2kgZDEwWTATBgcqhkjOPQIBBggqhkjOPQMBBwNCAAQwZS/TXfgI1Zam1TMY
rfUoNmFcdG3tJiRp8EMGj61mEeTRZkAYSpj0YPHRK/4xbS0QFJFi3w3ZoHsf8qib
/cUlo0UwQzAOBgNVHQ8BAf8EBAMCAgQwEgYDVR0TAQH/BAgwBgEB/wIBADAdBgNV
HQ4EFgQUiphGoWdgOH/dTGbmQFphAqCMUfkwCgYIKoZIzj0EAwIDSAAwRQIhAL1U
dHEZhylnPY9qnSgUWbNQ8nvWc1bPjZA12mAiLT1MAiBhie+zrTAEVSmnBBAWbPwm
A+vS3NboWU5QjyCLdjpFBQ==
-----END CERTIFICATE-----`
	fuzzCart = `-----BEGIN CERTIFICATE-----
MIIBmzCCAUGgAwIBAgIQAIt+57q2OegRCMXZdLF4yzAKBggqhkjOPQQDAjAUMRIw
EAYDVQQDEwlkaXZpc2kgZDEwHhcNMzAwMTAyMDMwNDA1WhcNMzAwMTAzMDMwNDA1
WjAPMQ0wCwYDVQQDEwRjYXJ0MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEPXy+
PsWy4XmKwATl3Jm7rnAdC4bJR1gZ8cVA269P3yhWknallue1IsLUOOej75BXA7at
9QHycJRwr3HdW/K6vKN6MHgwDgYDVR0PAQH/BAQDAgeAMB0GA1UdJQQWMBQGCCsG
AQUFBwMCBggrBgEFBQcDATAfBgNVHSMEGDAWgBSKmEahZ2A4f91MZuZAWmECoIxR
+TAmBgNVHREEHzAdhhtzcGlmZmU6Ly9kaXZpc2kvc2hvcC9jYXJ0LTAwCgYIKoZI
zj0EAwIDSAAwRQIgB3HK+lWfJuBbQBOSqn4yEPfmTMSoDIflb0go/QpR1B0CIQDs
gtq226o8/cpCaZgtImgz8PF+B6vNoC1TPBtwrbz7ZQ==
-----END CERTIFICATE-----`
)

var fuzzTime = time.Date(2030, 1, 2, 3, 4, 5, 0, time.UTC)

// FuzzVerify: nothing is ever taken for a server that the authority has not certified.
func FuzzVerify(f *testing.F) {
	der := func(text string) []byte {
		block, _ := pem.Decode([]byte(text))
		return block.Bytes
	}
	cert, err := x509.ParseCertificate(der(fuzzRoot))
	if err != nil {
		f.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AddCert(cert)
	if got, err := verify([][]byte{der(fuzzCart)}, x509.ExtKeyUsageClientAuth, roots, fuzzTime); got != cart || err != nil {
		f.Fatalf("the replica of cart is %v, %v", got, err)
	}

	f.Add(der(fuzzCart), der(fuzzRoot))
	f.Add(der(fuzzRoot), der(fuzzCart))
	f.Add([]byte("noise"), []byte{})
	f.Fuzz(func(t *testing.T, leaf, next []byte) {
		for _, usage := range []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth, x509.ExtKeyUsageServerAuth} {
			got, err := verify([][]byte{leaf, next}, usage, roots, fuzzTime)
			if err == nil && got != cart || err != nil && got != (Subject{}) {
				t.Fatalf("%x is %v, %v", leaf, got, err)
			}
		}
	})
}

// A root and its key, which nobody uses, as a record has them.
const (
	fuzzKeptCert = "MIIBXDCCAQKgAwIBAgIBATAKBggqhkjOPQQDAjAUMRIwEAYDVQQDEwlkaXZpc2kgZDEwHhcNMzAwMTAyMDMwNDA1Wh" +
		"cNMzUwMTAxMDMwNDA1WjAUMRIwEAYDVQQDEwlkaXZpc2kgZDEwWTATBgcqhkjOPQIBBggqhkjOPQMBBwNCAAS+qPJn" +
		"vetYQdWCpP1DODEKloh6PFo1HAu3oDTKRFfXx5jEnRKJLfOkKVMnp8RJQo5itbU6NTeHOt//FQzazOQzo0UwQzAOBg" +
		"NVHQ8BAf8EBAMCAgQwEgYDVR0TAQH/BAgwBgEB/wIBADAdBgNVHQ4EFgQUV86NTeLlsewN8HMziadyt4qikt8wCgYI" +
		"KoZIzj0EAwIDSAAwRQIhAJXl0ShoSwaECvNx2eNsDCgDlcD9Ov0ZZUukb4/UfYtyAiADnvpRz4IEO8kyseRMtvo1mR" +
		"mCj6Iu+fn4bppt1/SDIQ=="
	fuzzKeptKey = "MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQgtv4ePm/gMfnEnPzAL2AxgZMghnEV9ydycYs40JHLxj" +
		"qhRANCAAS+qPJnvetYQdWCpP1DODEKloh6PFo1HAu3oDTKRFfXx5jEnRKJLfOkKVMnp8RJQo5itbU6NTeHOt//FQza" +
		"zOQz"
)

// FuzzRecord: whatever an authority goes on from, it issues certificates that it recognises.
func FuzzRecord(f *testing.F) {
	f.Add([]byte(`{"deployment":"d1","leaf":2592000000000000,"now":"2030-01-02T03:04:05Z","start":"","up":0,"roots":[{"cert":"` +
		fuzzKeptCert + `","key":"` + fuzzKeptKey + `","from":"0001-01-01T00:00:00Z"}]}`))
	f.Add([]byte(`{"deployment":"d1","leaf":1,"roots":[{}]}`))
	f.Add([]byte("noise"))
	f.Fuzz(func(t *testing.T, data []byte) {
		a, err := ResumeAuthority("d1", data, Options{Wall: func() time.Time { return fuzzTime }})
		if err != nil {
			return
		}
		again, err := a.Record()
		if err != nil {
			t.Fatal(err)
		}
		if _, err := ResumeAuthority("d1", again, Options{}); err != nil {
			t.Errorf("%s became %s: %v", data, again, err)
		}
		if _, _, err := a.Issue(cart); err != nil {
			t.Errorf("%s issues nothing: %v", data, err)
		}
		if _, err := NewTrust(a.Told(nil), nil); err != nil {
			t.Error(err)
		}
	})
}

// FuzzParseURI: every identity is written in one way.
func FuzzParseURI(f *testing.F) {
	f.Add("spiffe://divisi/shop/cart-0")
	f.Add("spiffe://divisi/a/b/c/d")
	f.Add("spiffe://divisi//")
	f.Fuzz(func(t *testing.T, text string) {
		uri, err := url.Parse(text)
		if err != nil {
			return
		}
		server, err := ParseURI(uri)
		if err == nil && URI(server).String() != uri.String() {
			t.Errorf("%q is the identity of %v, which is %q", text, server, URI(server))
		}
	})
}
