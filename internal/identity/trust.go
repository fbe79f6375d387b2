package identity

import (
	"crypto/x509"
	"errors"
	"fmt"
	"slices"
	"time"
)

// Groups are what the replicas of the groups of a deployment may do, by the name of the group.
type Groups map[string]Group

// Group is what the replicas of one group may do.
type Group struct {
	Components []string // that they host
	Callees    []string // components that they may call
}

// MayHost returns an error unless a server may host a component.
func (g Groups) MayHost(server Subject, component string) error {
	if slices.Contains(g[server.Group].Components, component) {
		return nil
	}
	return fmt.Errorf("%s, a replica of the group %s, may not host %s", server.Server, server.Group, component)
}

// Told is what an authority tells a process with its certificate, so that the process needs nobody to
// recognise others.
type Told struct {
	Roots  [][]byte  // certificates that the authority signs with, and those whose leaves may not have ended
	Now    time.Time // the authority's
	Groups Groups
}

// maxAuthorities is how many authorities a process trusts at most that it has been told of before.
const maxAuthorities = 16

// Trust is by what a process recognises others. It never changes.
//
// Its time is the authority's, which goes on as the monotonic clock does. It may be behind, by what the
// message took or the process stood still, so a certificate from the future is no older than it says.
type Trust struct {
	Told
	pool   *x509.CertPool
	ends   time.Time // when the last root does
	at     time.Time // when it was told
	before []*Trust  // what other authorities have told, who have lost their keys since
}

// NewTrust returns the trust of a process that is told something, and was told something before, or
// nil. An authority that does not name the roots of the one before has not taken its keys over: both
// are trusted, each by its own time, for the certificates of others may still be of the one before.
func NewTrust(told Told, before *Trust) (*Trust, error) {
	switch {
	case len(told.Roots) == 0:
		return nil, errors.New("no root is trusted")
	case told.Now.IsZero():
		return nil, errors.New("the time is not told")
	}

	t := &Trust{Told: told, pool: x509.NewCertPool(), at: time.Now()}
	for _, der := range told.Roots {
		root, err := x509.ParseCertificate(der)
		if err != nil {
			return nil, fmt.Errorf("a root does not parse: %w", err)
		}
		t.pool.AddCert(root)
		if root.NotAfter.After(t.ends) {
			t.ends = root.NotAfter
		}
	}

	if before == nil {
		return t, nil
	}
	for _, other := range append([]*Trust{before}, before.before...) {
		if !t.succeeds(other) && other.now().Before(other.ends) && len(t.before) < maxAuthorities {
			t.before = append(t.before, other.alone())
		}
	}
	return t, nil
}

// succeeds reports whether the authority has the keys of another: it names its last root.
func (t *Trust) succeeds(other *Trust) bool {
	last := other.Roots[len(other.Roots)-1]
	return slices.ContainsFunc(t.Roots, func(root []byte) bool { return slices.Equal(root, last) })
}

// alone is what one authority has told.
func (t *Trust) alone() *Trust {
	alone := *t
	alone.before = nil
	return &alone
}

func (t *Trust) now() time.Time { return t.Now.Add(time.Since(t.at)) }

// Client returns what the owner of a chain of certificates may call.
func (t *Trust) Client(chain [][]byte) (*Rights, error) {
	client, err := t.verify(chain, x509.ExtKeyUsageClientAuth)
	if err != nil {
		return nil, err
	}
	return NewRights(t.Groups[client.Group].Callees), nil
}

// Server returns an error unless the owner of a chain of certificates may host a component.
func (t *Trust) Server(chain [][]byte, component string) error {
	server, err := t.verify(chain, x509.ExtKeyUsageServerAuth)
	if err != nil {
		return err
	}
	return t.Groups.MayHost(server, component)
}

func (t *Trust) verify(chain [][]byte, usage x509.ExtKeyUsage) (Subject, error) {
	subject, err := verify(chain, usage, t.pool, t.now())
	if err == nil {
		return subject, nil
	}

	for _, other := range t.before {
		if subject, err := verify(chain, usage, other.pool, other.now()); err == nil {
			return subject, nil
		}
	}
	return Subject{}, err
}

// verify judges a chain by the roots and the time of an authority. The authority has signed nothing
// that it dated after its own time: who takes a certificate to be from the future has a clock that is
// behind.
func verify(chain [][]byte, usage x509.ExtKeyUsage, roots *x509.CertPool, now time.Time) (Subject, error) {
	if len(chain) == 0 {
		return Subject{}, errors.New("no certificate")
	}
	cert, err := x509.ParseCertificate(chain[0])
	if err != nil {
		return Subject{}, fmt.Errorf("the certificate does not parse: %w", err)
	}
	if now.Before(cert.NotBefore) {
		now = cert.NotBefore
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
