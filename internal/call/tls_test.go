package call

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"math/big"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/divisi-go/divisi/internal/identity"

	"github.com/divisi-go/divisi/codegen"
)

// authority issues certificates to the tests.
type authority struct {
	t    testing.TB
	key  *ecdsa.PrivateKey
	cert *x509.Certificate
	pool *x509.CertPool
}

func newAuthority(t testing.TB) *authority {
	a := &authority{t: t, pool: x509.NewCertPool()}
	a.key, a.cert = a.issue("root", true)
	a.pool.AddCert(a.cert)
	return a
}

func (a *authority) issue(name string, ca bool) (*ecdsa.PrivateKey, *x509.Certificate) {
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

// config is for both ends: each presents a certificate and demands one.
func (a *authority) config(name string) *tls.Config {
	key, cert := a.issue(name, false)
	return &tls.Config{
		Certificates: []tls.Certificate{{Certificate: [][]byte{cert.Raw}, PrivateKey: key}},
		RootCAs:      a.pool, ClientCAs: a.pool, ClientAuth: tls.RequireAndVerifyClientCert, MinVersion: tls.VersionTLS13,
	}
}

func (a *authority) serve(o ServerOptions) *host {
	l, err := Listen("mtls://tcp://localhost:0")
	if err != nil {
		a.t.Fatal(err)
	}
	o.TLS = a.config("server")
	o.Authorize = func(s *tls.ConnectionState) (*identity.Rights, error) {
		name := s.PeerCertificates[0].Subject.CommonName
		if name == "mallory" {
			return nil, errors.New("mallory is not welcome")
		}
		return identity.NewRights([]string{name}), nil
	}
	return serve(a.t, l, o)
}

func TestMutualTLS(t *testing.T) {
	a, stranger := newAuthority(t), newAuthority(t)
	var log lines
	h := a.serve(ServerOptions{Logger: log.logger(), Lookup: func(p Peer, k codegen.Key) Handler {
		return func(_ context.Context, in *Incoming) Reply {
			if !p.Rights.May("alice") || p.Rights.May("bob") {
				return Reply{Status: codegen.StatusPanic}
			}
			return Reply{Body: in.Args}
		}
	}})
	for _, size := range []int{0, 1, 3 << 20} {
		p := newPool(t, PoolOptions{TLS: a.config("alice")}, h)
		if got := mustCall(t, p, &Request{Args: make([]byte, size)}); len(got) != size {
			t.Errorf("%d bytes come back as %d", size, len(got))
		}
	}
	strange := stranger.config("alice")
	strange.RootCAs = a.pool
	for name, config := range map[string]*tls.Config{
		"not authorized": a.config("mallory"), "not certified": strange, "certified by nobody we know": stranger.config("alice"),
	} {
		p := newPool(t, PoolOptions{TLS: config}, h)
		ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
		if _, err := p.Call(ctx, &Request{}); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("%s: %v", name, err)
		}
		cancel()
		p.Close()
	}
	for range 20 { // a plain request to the port
		nc, err := net.Dial("tcp", h.l.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		nc.Write([]byte("GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"))
		for err == nil {
			_, err = nc.Read(make([]byte, 100))
		}
		nc.Close()
	}
	p := newPool(t, PoolOptions{TLS: a.config("bob")}, h)
	if reply, err := p.Call(t.Context(), &Request{}); err != nil || reply.Status != codegen.StatusPanic {
		t.Errorf("bob has the rights of alice: %v, %v", reply.Status, err)
	}
	eventually(t, "the refusals are counted", func() bool { return h.Stats().Refused >= 22 })
	if text := log.String(); strings.Count(text, "\n") != 1 {
		t.Errorf("log: %s", text)
	}
}
