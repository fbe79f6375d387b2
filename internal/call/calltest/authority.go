package calltest

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"math/big"
	"net"
	"testing"
	"time"

	"github.com/divisi-go/divisi/internal/call"
	"github.com/divisi-go/divisi/internal/call/link"
	"github.com/divisi-go/divisi/internal/identity"
)

// Authority issues certificates to the tests.
type Authority struct {
	t     testing.TB
	key   *ecdsa.PrivateKey
	cert  *x509.Certificate
	Roots *x509.CertPool
}

// NewAuthority returns one that nobody else trusts.
func NewAuthority(t testing.TB) *Authority {
	a := &Authority{t: t, Roots: x509.NewCertPool()}
	a.key, a.cert = a.issue("root", true)
	a.Roots.AddCert(a.cert)
	return a
}

func (a *Authority) issue(name string, ca bool) (*ecdsa.PrivateKey, *x509.Certificate) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		a.t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: name}, DNSNames: []string{"localhost"},
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1), net.IPv6loopback},
		NotBefore:   time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), IsCA: ca, BasicConstraintsValid: true,
	}
	parent, signer := template, key
	if a.cert != nil {
		parent, signer = a.cert, a.key
	}
	der, err := x509.CreateCertificate(rand.Reader, template, parent, &key.PublicKey, signer)
	if err != nil {
		a.t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		a.t.Fatal(err)
	}
	return key, cert
}

// Config is for both ends: each presents a certificate and demands one.
func (a *Authority) Config(name string) *tls.Config {
	key, cert := a.issue(name, false)
	return &tls.Config{
		Certificates: []tls.Certificate{{Certificate: [][]byte{cert.Raw}, PrivateKey: key}},
		RootCAs:      a.Roots, ClientCAs: a.Roots, ClientAuth: tls.RequireAndVerifyClientCert, MinVersion: tls.VersionTLS13,
	}
}

// Serve starts a server that knows its callers by their certificates, whose only right is the
// caller's name. mallory is turned away.
func (a *Authority) Serve(o call.ServerOptions) *Host {
	l, err := link.Listen("mtls://tcp://localhost:0")
	if err != nil {
		a.t.Fatal(err)
	}
	o.TLS = a.Config("server")
	o.Authorize = func(s *tls.ConnectionState) (*identity.Rights, error) {
		name := s.PeerCertificates[0].Subject.CommonName
		if name == "mallory" {
			return nil, errors.New("mallory is not welcome")
		}
		return identity.NewRights([]string{name}), nil
	}
	return Serve(a.t, l, o)
}
