package identity

import (
	"cmp"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"net/url"
	"slices"
	"sync"
	"time"

	"github.com/divisi-go/divisi/internal/clock"
	"github.com/divisi-go/divisi/internal/name"
)

// The lives of certificates, unless [Options] say otherwise. Processes are to go on without a deployer
// for longer than anybody leaves it away: what a leaf has left when it is renewed, ten days, is the least
// that it lasts. A key never leaves the memory of its process, so that a shorter life would gain little.
const (
	leafLife = 30 * 24 * time.Hour
	rootLife = 365 * 24 * time.Hour
)

// A root has a successor when it has so many lives of a leaf left: one until the successor may sign,
// one for the last leaf, and one to spare, as a successor comes with the next leaf that is asked for.
const overlap = 3

// Options configure an [Authority]. The zero value is the default.
type Options struct {
	Leaf time.Duration    // life of a process's certificate, two seconds at least; default 30 days
	Root time.Duration    // life of a root, at least four times that of a leaf; default a year
	Wall func() time.Time // the wall clock, which is read once; default [clock.Now]

	// Uptime returns which start of the machine this is, and the time since then as monotonic clocks
	// have it: by it the time goes on in the next process. "" is that nobody knows, the default.
	Uptime func() (start string, up time.Duration)

	// Save keeps the authority's keys for its successor. It is called before anybody hears of a new
	// root; if it fails, nobody does. By default nothing is kept.
	Save func(record []byte) error
}

func (o Options) withDefaults() Options {
	o.Leaf = cmp.Or(o.Leaf, leafLife)
	o.Root = max(cmp.Or(o.Root, rootLife), (overlap+1)*o.Leaf)
	if o.Wall == nil {
		o.Wall = clock.Now
	}
	if o.Uptime == nil {
		o.Uptime = func() (string, time.Duration) { return "", 0 }
	}
	if o.Save == nil {
		o.Save = func([]byte) error { return nil }
	}
	return o
}

// Subject is whom a certificate is about.
type Subject struct {
	Server name.Server
	Group  string // of components that the server hosts; it decides about the server's rights
}

// Authority issues the certificates of one deployment. It is safe for concurrent use.
//
// Its roots overlap, so that whoever has a certificate that has not ended knows every root that signs:
//   - a certificate comes with all roots that there are;
//   - a root signs nothing before all certificates have ended that were issued before it was there;
//   - no certificate outlives the root that has signed it.
type Authority struct {
	deployment string
	o          Options
	began      time.Time // by the monotonic clock
	wall       time.Time // the authority's time when it began

	making sync.Mutex // held while a root is made and kept

	mu    sync.Mutex // guards what follows
	roots []root     // that are trusted, the oldest first
	pool  *x509.CertPool
	last  time.Time // when the last one ends of the certificates that were issued
}

type root struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
	from time.Time // when it may sign
}

// NewAuthority returns the authority of a deployment. Its keys are made when they are needed.
func NewAuthority(deployment string, o Options) *Authority {
	o = o.withDefaults()
	return &Authority{deployment: deployment, o: o, began: time.Now(), wall: o.Wall(), pool: x509.NewCertPool()}
}

// now is the time by which certificates are issued and judged. It begins as the wall clock's and
// goes on as the monotonic clock does: setting the wall clock makes no certificate older.
func (a *Authority) now() time.Time { return a.wall.Add(time.Since(a.began)) }

// Told returns what the authority tells a process with a certificate that it has just issued.
func (a *Authority) Told(groups Groups) Told {
	a.mu.Lock()
	defer a.mu.Unlock()
	told := Told{Now: a.now(), Groups: groups}
	for _, r := range a.roots {
		told.Roots = append(told.Roots, r.cert.Raw)
	}
	return told
}

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
	by, end, err := a.signer(now)
	if err != nil {
		return nil, nil, err
	}
	template := &x509.Certificate{
		SerialNumber: serial,
		Subject:      pkix.Name{CommonName: s.Group},
		URIs:         []*url.URL{URI(s.Server)},
		NotBefore:    now,
		NotAfter:     end,
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

// signer returns the root that signs a certificate now, and when that is to end. A new root that cannot
// be kept is no error as long as another one signs: the next certificate tries again.
func (a *Authority) signer(now time.Time) (by root, end time.Time, err error) {
	a.making.Lock()
	defer a.making.Unlock()
	err = a.succeed(now)

	a.mu.Lock()
	defer a.mu.Unlock()
	for _, r := range slices.Backward(a.roots) {
		if r.from.After(now) || !r.cert.NotAfter.After(now) {
			continue
		}
		end := now.Add(a.o.Leaf + time.Second - 1).Truncate(time.Second) // certificates count seconds
		if end.After(r.cert.NotAfter) {
			end = r.cert.NotAfter
		}
		if end.After(a.last) {
			a.last = end
		}
		return r, end, nil
	}
	return root{}, time.Time{}, fmt.Errorf("there is no root certificate: %w", err)
}

// succeed makes the successor of a root in time, and forgets roots that have ended.
func (a *Authority) succeed(now time.Time) error {
	a.mu.Lock()
	roots, from := slices.Clone(a.roots), a.last
	a.mu.Unlock()
	if n := len(roots); n > 0 && roots[n-1].cert.NotAfter.After(now.Add(overlap*a.o.Leaf)) {
		return nil
	}

	next, err := a.newRoot(now, from)
	if err != nil {
		return fmt.Errorf("cannot make one: %w", err)
	}
	roots = append(slices.DeleteFunc(roots, func(r root) bool { return r.cert.NotAfter.Before(now) }), next)
	record, err := a.record(roots)
	if err != nil {
		return err
	}
	if err := a.o.Save(record); err != nil {
		return fmt.Errorf("cannot keep one: %w", err)
	}
	a.trust(roots)
	return nil
}

// trust takes roots as those that are trusted.
func (a *Authority) trust(roots []root) {
	pool := x509.NewCertPool()
	for _, r := range roots {
		pool.AddCert(r.cert)
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	a.roots, a.pool = roots, pool
}

func (a *Authority) newRoot(now, from time.Time) (root, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return root{}, err
	}
	template := &x509.Certificate{
		SerialNumber:          big.NewInt(1),
		Subject:               pkix.Name{CommonName: "divisi " + a.deployment},
		NotBefore:             now,
		NotAfter:              now.Add(a.o.Root),
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
	return root{cert, key, from}, err
}

// Verify returns whom a chain of certificates is about.
func (a *Authority) Verify(chain [][]byte, usage x509.ExtKeyUsage) (Subject, error) {
	a.mu.Lock()
	pool := a.pool
	a.mu.Unlock()
	return verify(chain, usage, pool, a.now())
}
