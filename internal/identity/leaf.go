package identity

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"sync/atomic"
	"time"
)

// Leaf is the certificate of this process, which proves to others who it is.
//
// Serve renews it when two thirds of its life are over, and waits for a deployer if there is none. No
// handshake waits, unless the certificate has ended: then it would be of no use to show it, and a
// process that has stood still renews it first.
//
// Invariants:
//   - current is not nil once NewLeaf has returned;
//   - from then on only the goroutine that has put a token into renewing writes current.
type Leaf struct {
	issue    func(context.Context) (certPEM, keyPEM []byte, err error)
	logger   *slog.Logger
	current  atomic.Pointer[held]
	renewing chan struct{}
	wanted   chan struct{} // has an element when the next one is wanted, however old this one is
}

const (
	// lastHope is how long a handshake waits for a certificate that has not ended.
	lastHope = 10 * time.Second

	// maxPause is how long the next try to renew a certificate waits at most, after one that failed.
	maxPause = time.Minute
)

// held is a certificate with the times, by the monotonic clock, at which it is old and has ended.
type held struct {
	certificate tls.Certificate
	life        time.Duration
	old, end    time.Time
}

// NewLeaf returns a leaf whose certificates, and their keys, come from issue as PEM. It may wait until
// its context ends.
func NewLeaf(ctx context.Context, logger *slog.Logger,
	issue func(context.Context) (certPEM, keyPEM []byte, err error)) (*Leaf, error) {
	l := &Leaf{issue: issue, logger: logger, renewing: make(chan struct{}, 1), wanted: make(chan struct{}, 1)}
	first, err := l.fetch(ctx)
	if err != nil {
		return nil, err
	}
	l.current.Store(first)
	return l, nil
}

func (l *Leaf) fetch(ctx context.Context) (*held, error) {
	asked := time.Now() // the certificate cannot be older than the question
	certPEM, keyPEM, err := l.issue(ctx)
	if err != nil {
		return nil, fmt.Errorf("cannot get a certificate from the deployer: %w", err)
	}
	certificate, err := tls.X509KeyPair(certPEM, keyPEM)
	if err != nil {
		return nil, fmt.Errorf("the deployer's certificate is not usable: %w", err)
	}

	leaf, err := x509.ParseCertificate(certificate.Certificate[0])
	if err != nil {
		return nil, fmt.Errorf("the deployer's certificate is not usable: %w", err)
	}
	life := leaf.NotAfter.Sub(leaf.NotBefore)
	return &held{certificate: certificate, life: life, old: asked.Add(life / 3 * 2), end: asked.Add(life)}, nil
}

// Serve renews the certificate in time, until ctx ends.
func (l *Leaf) Serve(ctx context.Context) {
	for {
		last := l.current.Load()
		select {
		case <-time.After(time.Until(last.old)):
		case <-l.wanted:
		case <-ctx.Done():
			return
		}

		if l.renew(ctx, last) {
			continue
		}
		select {
		case <-time.After(min(last.life/30, maxPause)):
		case <-ctx.Done():
			return
		}
	}
}

// Renew has Serve renew the certificate, however old it is. It does not wait.
func (l *Leaf) Renew() {
	select {
	case l.wanted <- struct{}{}:
	default:
	}
}

// renew replaces a certificate, unless somebody else has. It reports whether the certificate is replaced.
func (l *Leaf) renew(ctx context.Context, last *held) bool {
	select {
	case l.renewing <- struct{}{}:
	case <-ctx.Done():
		return false
	}
	defer func() { <-l.renewing }()

	if l.current.Load() != last {
		return true
	}
	next, err := l.fetch(ctx)
	if err != nil {
		if ctx.Err() == nil {
			l.logger.Warn("the certificate of this process is not renewed", "err", err)
		}
		return false
	}
	l.current.Store(next)
	return true
}

// get returns the certificate to show. If the last one has ended, and there is no next one, that is the
// last one, old as it is: the peer judges.
func (l *Leaf) get(ctx context.Context) *tls.Certificate {
	last := l.current.Load()
	if !time.Now().Before(last.end) {
		ctx, cancel := context.WithTimeout(ctx, lastHope)
		defer cancel()
		if !l.renew(ctx, last) {
			l.logger.Warn("the certificate of this process has ended, and nobody renews it")
		}
	}
	return &l.current.Load().certificate
}

// Server returns the configuration of the accepting side. It takes any certificate: who accepts
// the connection judges it, by [Chain]. No session is resumed, so that every peer is judged.
func (l *Leaf) Server() *tls.Config {
	return &tls.Config{
		GetCertificate: func(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
			return l.get(hello.Context()), nil
		},
		ClientAuth:             tls.RequireAnyClientCert,
		MinVersion:             tls.VersionTLS13,
		SessionTicketsDisabled: true,
	}
}

// Client returns the configuration of the dialling side. Go's own verification is off: verify
// judges the certificates of the server.
func (l *Leaf) Client(verify func(chain [][]byte) error) *tls.Config {
	return &tls.Config{
		GetClientCertificate: func(request *tls.CertificateRequestInfo) (*tls.Certificate, error) {
			return l.get(request.Context()), nil
		},
		InsecureSkipVerify: true,
		MinVersion:         tls.VersionTLS13,
		VerifyConnection: func(state tls.ConnectionState) error {
			chain, err := Chain(state.PeerCertificates)
			if err != nil {
				return err
			}
			return verify(chain)
		},
	}
}

// Chain returns certificates as they came over the network.
func Chain(certificates []*x509.Certificate) ([][]byte, error) {
	if len(certificates) == 0 {
		return nil, errors.New("the peer has no certificate")
	}
	chain := make([][]byte, len(certificates))
	for i, cert := range certificates {
		chain[i] = cert.Raw
	}
	return chain, nil
}
