package identity

import (
	"crypto/ecdsa"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"time"
)

// What a record may have.
const (
	maxRecord = 64 << 10 // bytes
	maxRoots  = 16
)

// record is an authority as the next process goes on with it. It has private keys.
type record struct {
	Deployment string        `json:"deployment"`
	Leaf       time.Duration `json:"leaf"`  // no certificate that was issued lives longer
	Now        time.Time     `json:"now"`   // the authority's time when this was written
	Start      string        `json:"start"` // of the machine; "" if nobody knew
	Up         time.Duration `json:"up"`    // how long ago that was
	Roots      []keptRoot    `json:"roots"`
}

type keptRoot struct {
	Cert []byte    `json:"cert"` // DER
	Key  []byte    `json:"key"`  // PKCS #8
	From time.Time `json:"from"` // when it may sign
}

// Record returns what [ResumeAuthority] goes on with. It has private keys.
func (a *Authority) Record() ([]byte, error) {
	a.mu.Lock()
	roots := a.roots
	a.mu.Unlock()
	return a.record(roots)
}

func (a *Authority) record(roots []root) ([]byte, error) {
	r := record{Deployment: a.deployment, Leaf: a.o.Leaf, Now: a.now()}
	r.Start, r.Up = a.o.Uptime()
	for _, kept := range roots {
		key, err := x509.MarshalPKCS8PrivateKey(kept.key)
		if err != nil {
			return nil, err
		}
		r.Roots = append(r.Roots, keptRoot{Cert: kept.cert.Raw, Key: key, From: kept.from})
	}
	return json.Marshal(r)
}

// ResumeAuthority returns an authority that goes on where another process has left it: with the same
// roots, and at the time that it is there by now. On the same start of the machine that is the one of
// the monotonic clock; otherwise it is the wall clock's, or the record's if that is later.
func ResumeAuthority(deployment string, data []byte, o Options) (*Authority, error) {
	r, roots, err := parseRecord(data)
	if err != nil {
		return nil, err
	}
	if r.Deployment != deployment {
		return nil, fmt.Errorf("the record of an authority is of the deployment %q, not %q", r.Deployment, deployment)
	}

	a := NewAuthority(deployment, o)
	start, up := a.o.Uptime()
	switch {
	case start != "" && start == r.Start && up >= r.Up:
		a.wall = r.Now.Add(up - r.Up)
	case a.wall.Before(r.Now):
		a.wall = r.Now
	}

	a.trust(roots)
	a.last = a.wall.Add(r.Leaf)
	if end := roots[len(roots)-1].cert.NotAfter; end.Before(a.last) {
		a.last = end
	}
	return a, nil
}

// parseRecord reads a record.
func parseRecord(data []byte) (r record, roots []root, err error) {
	if len(data) > maxRecord {
		return record{}, nil, fmt.Errorf("the record of an authority has %d bytes, and may have %d", len(data), maxRecord)
	}
	if err := json.Unmarshal(data, &r); err != nil {
		return record{}, nil, fmt.Errorf("the record of an authority does not parse: %w", err)
	}
	if n := len(r.Roots); n == 0 || n > maxRoots {
		return record{}, nil, fmt.Errorf("the record of an authority has %d roots, and must have 1 to %d", n, maxRoots)
	}
	if r.Leaf <= 0 || r.Up < 0 {
		return record{}, nil, errors.New("the record of an authority has a time that is less than none")
	}

	for i, kept := range r.Roots {
		one, err := kept.parse()
		if err != nil {
			return record{}, nil, fmt.Errorf("root %d in the record of an authority: %w", i, err)
		}
		roots = append(roots, one)
	}
	return r, roots, nil
}

func (k keptRoot) parse() (root, error) {
	cert, err := x509.ParseCertificate(k.Cert)
	if err != nil {
		return root{}, err
	}
	parsed, err := x509.ParsePKCS8PrivateKey(k.Key)
	if err != nil {
		return root{}, err
	}
	key, ok := parsed.(*ecdsa.PrivateKey)
	switch {
	case !cert.IsCA:
		return root{}, errors.New("it may not sign")
	case !ok || !key.PublicKey.Equal(cert.PublicKey):
		return root{}, errors.New("the key is not that of the certificate")
	}
	return root{cert, key, k.From}, nil
}
