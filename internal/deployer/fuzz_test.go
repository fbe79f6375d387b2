package deployer

import (
	"crypto/x509"
	"encoding/pem"
	"testing"
	"time"
)

// The certificates of an authority and of a replica of the group cart, issued in fuzzTime. They are
// kept, as the processes that fuzz have to agree about them.
const (
	fuzzAuthority = `-----BEGIN CERTIFICATE-----
MIIBXTCCAQKgAwIBAgIBATAKBggqhkjOPQQDAjAUMRIwEAYDVQQDEwlkaXZpc2kg
ZDEwHhcNMzAwMTAyMDI1OTA1WhcNMzAwMjAxMDMwNDA1WjAUMRIwEAYDVQQDEwlk
aXZpc2kgZDEwWTATBgcqhkjOPQIBBggqhkjOPQMBBwNCAAT/sdCIm/WCmsgIVLUv
ZlXfCOEQY+1C67vfhLMdhkIx8/3gR4mSeQFXFOgYnSzg87bzRq7Pp7t7j+D9+tjZ
zd82o0UwQzAOBgNVHQ8BAf8EBAMCAgQwEgYDVR0TAQH/BAgwBgEB/wIBADAdBgNV
HQ4EFgQUdprkNGLnqHFlNcS4w/oBqlY5iMwwCgYIKoZIzj0EAwIDSQAwRgIhAP33
zxEH/TcRvwNfJ1qfbeYSSnqfJvqM8JQYPauChB+hAiEA8UDbFe7XXy0guLD0/WYf
YMzgdp00tdz1aew5RML7Tso=
-----END CERTIFICATE-----`
	fuzzCart = `-----BEGIN CERTIFICATE-----
MIIBmTCCAUCgAwIBAgIQAIQK2iDWuU7eiYFGiGenrzAKBggqhkjOPQQDAjAUMRIw
EAYDVQQDEwlkaXZpc2kgZDEwHhcNMzAwMTAyMDI1OTA1WhcNMzAwMjAxMDMwNDA1
WjAPMQ0wCwYDVQQDEwRjYXJ0MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEmhjy
31vp8DOmeYvwK9c604Oac7fD7amczOEj0fiNVVcms8/H6vxsQjqmqKJhDfmotKEV
Ttp3Qw+EXxd/xbqSXaN5MHcwDgYDVR0PAQH/BAQDAgeAMB0GA1UdJQQWMBQGCCsG
AQUFBwMCBggrBgEFBQcDATAfBgNVHSMEGDAWgBR2muQ0YueocWU1xLjD+gGqVjmI
zDAlBgNVHREEHjAchhpzcGlmZmU6Ly9kaXZpc2kvZ3JvdXAvY2FydDAKBggqhkjO
PQQDAgNHADBEAiApwSsBa54SerUWK0ZwmT7Ho+soC8dpkvjHxpvGht3paAIgfCi2
IXRsfjNZh/in6aLEchSvyRvYc1lbIk8QvftPF0s=
-----END CERTIFICATE-----`
)

var fuzzTime = time.Date(2030, 1, 2, 3, 4, 5, 0, time.UTC)

// FuzzVerify: nothing is ever taken for a replica of a group that the authority has not certified.
func FuzzVerify(f *testing.F) {
	der := func(text string) []byte {
		block, _ := pem.Decode([]byte(text))
		return block.Bytes
	}
	cert, err := x509.ParseCertificate(der(fuzzAuthority))
	if err != nil {
		f.Fatal(err)
	}
	a := &authority{cert: cert, pool: x509.NewCertPool()}
	a.pool.AddCert(cert)
	if group, err := a.verify([][]byte{der(fuzzCart)}, x509.ExtKeyUsageClientAuth, fuzzTime); group != "cart" || err != nil {
		f.Fatalf("the replica of cart is of %q, %v", group, err)
	}
	f.Add(der(fuzzCart), der(fuzzAuthority))
	f.Add(der(fuzzAuthority), der(fuzzCart))
	f.Add([]byte("noise"), []byte{})
	f.Fuzz(func(t *testing.T, leaf, next []byte) {
		for _, usage := range []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth, x509.ExtKeyUsageServerAuth} {
			group, err := a.verify([][]byte{leaf, next}, usage, fuzzTime)
			if err == nil && group != "cart" || err != nil && group != "" {
				t.Fatalf("%x is of the group %q, %v", leaf, group, err)
			}
		}
	})
}
