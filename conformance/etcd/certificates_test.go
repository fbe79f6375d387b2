package etcd

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// authority signs certificates, which are files in its folder.
type authority struct {
	dir  string
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

func newAuthority(t *testing.T) *authority {
	t.Helper()
	a := &authority{dir: t.TempDir()}
	a.cert, a.key = a.sign(t, "ca", "authority")
	return a
}

// sign makes a certificate for a common name, in name.crt and name.key.
func (a *authority) sign(t *testing.T, name, common string) (*x509.Certificate, *ecdsa.PrivateKey) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: common},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IsCA: a.cert == nil, BasicConstraintsValid: true, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		KeyUsage:    x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}
	parent, signer := a.cert, a.key
	if parent == nil {
		parent, signer = template, key
	}
	der, err := x509.CreateCertificate(rand.Reader, template, parent, &key.PublicKey, signer)
	if err != nil {
		t.Fatal(err)
	}
	secret, err := x509.MarshalECPrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	for file, block := range map[string]*pem.Block{
		a.file(name + ".crt"): {Type: "CERTIFICATE", Bytes: der}, a.file(name + ".key"): {Type: "EC PRIVATE KEY", Bytes: secret},
	} {
		if err := os.WriteFile(file, pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return cert, key
}

func (a *authority) file(name string) string { return filepath.Join(a.dir, name) }

// TestCertificates: the name in a client's certificate is its user, with etcdctl and with the store's own commands; roles hold;
// who has none is not let in.
func TestCertificates(t *testing.T) {
	a := newAuthority(t)
	for _, name := range []string{"server", "root", "ann", "bob"} {
		a.sign(t, name, name)
	}
	p := serve(t, filepath.Join(t.TempDir(), "data"), "--tls-cert", a.file("server.crt"), "--tls-key", a.file("server.key"),
		"--tls-client-ca", a.file("ca.crt"), "--tls-users")
	as := func(name, command string) (string, error) {
		flags := []string{"--cacert", a.file("ca.crt"), "--cert", a.file(name + ".crt"), "--key", a.file(name + ".key")}
		return p.try(t, append(flags, strings.Fields(command)...)...)
	}
	for _, step := range []struct{ who, command, says string }{
		{"root", "user add root --no-password", "created"},
		{"root", "user grant-role root root", "granted"},
		{"root", "role add reader", "created"},
		{"root", "role grant-permission reader read a", "updated"},
		{"root", "user add ann --no-password", "created"},
		{"root", "user grant-role ann reader", "granted"},
		{"root", "user add cleo:pass", "created"},
		{"root", "user grant-role cleo reader", "granted"},
		{"root", "auth enable", "Authentication Enabled"},
		{"root", "put a 1", "OK"},
		{"ann", "get a", "a\n1\n"},
		{"ann", "put a 2", "permission denied"},
		{"ann", "get b", "permission denied"},
		{"ann", "del a", "permission denied"},
		{"ann", "watch a b", "permission denied"},
		{"ann", "user list", "permission denied"},
		{"ann", "--user cleo:pass get a", "a\n1\n"},
		{"bob", "get a", "permission denied"},
		{"root", "get a --print-value-only", "1\n"},
	} {
		out, err := as(step.who, step.command)
		if !strings.Contains(out, step.says) {
			t.Errorf("etcdctl %s of %s says %q and not %q: %v", step.command, step.who, out, step.says, err)
		}
	}

	// The store's own commands, and what they say of what is wrong.
	store := "--store=etcd://" + strings.TrimPrefix(p.url, "https://")
	for _, step := range []struct{ flags, says string }{
		{"--tls-ca CA --tls-cert ann.crt --tls-key ann.key", "1\n"},
		{"--tls-ca CA --tls-cert bob.crt --tls-key bob.key", "permission denied"},
		{"--tls-ca CA", "give one with --tls-cert and --tls-key"},
		{"--tls-cert ann.crt --tls-key ann.key", "say who has signed it with --tls-ca"},
		{"", "say who has signed its certificate with --tls-ca"},
	} {
		flags := strings.Replace(step.flags, "CA", "ca.crt", 1)
		for _, name := range []string{"ca", "ann", "bob"} {
			flags = strings.NewReplacer(name+".crt", a.file(name+".crt"), name+".key", a.file(name+".key")).Replace(flags)
		}
		out, _ := run(t, "divisi-store", append([]string{"get", store, "a"}, strings.Fields(flags)...)...)
		if !strings.Contains(out, step.says) {
			t.Errorf("divisi store get %s says %q and not %q", step.flags, out, step.says)
		}
	}

	// By HTTP, which clients of both versions speak, the user is who has the token.
	pair, err := tls.LoadX509KeyPair(a.file("ann.crt"), a.file("ann.key"))
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AddCert(a.cert)
	p.jsonUser(t, &http.Client{Timeout: time.Minute, Transport: &http.Transport{
		ForceAttemptHTTP2: true,
		TLSClientConfig:   &tls.Config{RootCAs: roots, Certificates: []tls.Certificate{pair}},
	}}, "cleo", "pass")
}
