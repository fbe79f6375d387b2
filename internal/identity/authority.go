package identity

import (
	"cmp"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"net/url"
	"slices"
	"sync"
	"time"

	"github.com/divisi-go/divisi/internal/name"
)

// The lives of certificates, unless [Options] say otherwise.
const (
	leafLife = 24 * time.Hour
	rootLife = 30 * 24 * time.Hour
)

// Options configure an [Authority]. The zero value is the default.
type Options struct {
	Leaf time.Duration    // life of a process's certificate; default a day
	Root time.Duration    // life of a root, at least twice that of a leaf; default 30 days
	Wall func() time.Time // the wall clock, which is read once; default [time.Now]
}

// Subject is whom a certificate is about.
type Subject struct {
	Server name.Server
	Group  string // of components that the server hosts; it decides about the server's rights
}

// Authority issues the certificates of one deployment. Its keys are made when they are needed, are
// only in memory, and end with it. It is safe for concurrent use.
type Authority struct {
	deployment string
	leaf, root time.Duration
	wall       time.Time // when the authority began, as the wall clock had it
	began      time.Time // the same, by the monotonic clock

	mu    sync.Mutex // guards what follows
	roots []root     // that are trusted; the last one signs
	pool  *x509.CertPool
}

type root struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

// NewAuthority returns the authority of a deployment.
func NewAuthority(deployment string, o Options) *Authority {
	wall := time.Now
	if o.Wall != nil {
		wall = o.Wall
	}
	a := &Authority{
		deployment: deployment,
		leaf:       cmp.Or(o.Leaf, leafLife),
		wall:       wall(),
		began:      time.Now(),
		pool:       x509.NewCertPool(),
	}
	a.root = max(cmp.Or(o.Root, rootLife), 2*a.leaf)
	return a
}

// now is the time by which certificates are issued and judged. It begins as the wall clock's and
// goes on as the monotonic clock does: setting the wall clock makes no certificate older.
func (a *Authority) now() time.Time { return a.wall.Add(time.Since(a.began)) }

// Issue returns a new certificate and its key, both as PEM.
func (a *Authority) Issue(s Subject) (certPEM, keyPEM []byte, err error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, nil, err
	}
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 120))
	if err != nil {
		return nil, nil, err
	}

	now := a.now()
	by, err := a.signer(now)
	if err != nil {
		return nil, nil, err
	}
	template := &x509.Certificate{
		SerialNumber: serial,
		Subject:      pkix.Name{CommonName: s.Group},
		URIs:         []*url.URL{URI(s.Server)},
		NotBefore:    now,
		NotAfter:     now.Add(a.leaf),
		KeyUsage:     x509.KeyUsageDigitalSignature,
		ExtKeyUsage:  []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth, x509.ExtKeyUsageServerAuth},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, by.cert, &key.PublicKey, by.key)
	if err != nil {
		return nil, nil, err
	}
	keyDER, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, nil, err
	}
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}),
		pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: keyDER}), nil
}

// signer returns the root that signs: the last one if it outlives a leaf of now, else a new one.
// Roots whose last leaf has ended are forgotten.
func (a *Authority) signer(now time.Time) (root, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if n := len(a.roots); n > 0 && !a.roots[n-1].cert.NotAfter.Before(now.Add(a.leaf)) {
		return a.roots[n-1], nil
	}

	next, err := a.newRoot(now)
	if err != nil {
		return root{}, fmt.Errorf("cannot make a root certificate: %w", err)
	}
	a.roots = append(slices.DeleteFunc(a.roots, func(r root) bool { return r.cert.NotAfter.Before(now) }), next)
	pool := x509.NewCertPool()
	for _, r := range a.roots {
		pool.AddCert(r.cert)
	}
	a.pool = pool
	return next, nil
}

func (a *Authority) newRoot(now time.Time) (root, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return root{}, err
	}
	template := &x509.Certificate{
		SerialNumber:          big.NewInt(1),
		Subject:               pkix.Name{CommonName: "divisi " + a.deployment},
		NotBefore:             now,
		NotAfter:              now.Add(a.root),
		IsCA:                  true,
		BasicConstraintsValid: true,
		MaxPathLenZero:        true,
		KeyUsage:              x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		return root{}, err
	}
	cert, err := x509.ParseCertificate(der)
	return root{cert, key}, err
}

// Verify returns whom a chain of certificates is about.
func (a *Authority) Verify(chain [][]byte, usage x509.ExtKeyUsage) (Subject, error) {
	a.mu.Lock()
	pool := a.pool
	a.mu.Unlock()
	return verify(chain, usage, pool, a.now())
}

// verify judges a chain by the roots and the time of an authority.
func verify(chain [][]byte, usage x509.ExtKeyUsage, roots *x509.CertPool, now time.Time) (Subject, error) {
	if len(chain) == 0 {
		return Subject{}, errors.New("no certificate")
	}
	cert, err := x509.ParseCertificate(chain[0])
	if err != nil {
		return Subject{}, fmt.Errorf("the certificate does not parse: %w", err)
	}
	if _, err := cert.Verify(x509.VerifyOptions{
		Roots: roots, CurrentTime: now, KeyUsages: []x509.ExtKeyUsage{usage},
	}); err != nil {
		return Subject{}, fmt.Errorf("the certificate is not of this deployment: %w", err)
	}

	if len(cert.URIs) != 1 {
		return Subject{}, errors.New("the certificate names no server")
	}
	server, err := ParseURI(cert.URIs[0])
	if err != nil {
		return Subject{}, err
	}
	return Subject{Server: server, Group: cert.Subject.CommonName}, nil
}
