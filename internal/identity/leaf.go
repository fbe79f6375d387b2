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
// The first handshake after two thirds of its life renews it. There is no timer that could be late:
// a process that stood still until its certificate had ended renews it before it shows it.
//
// Invariants:
//   - current is not nil once NewLeaf has returned;
//   - from then on only the goroutine that has put a token into renewing writes current.
type Leaf struct {
	issue    func(context.Context) (certPEM, keyPEM []byte, err error)
	logger   *slog.Logger
	current  atomic.Pointer[held]
	renewing chan struct{}
}

// held is a certificate with the times, by the monotonic clock, at which it is old and has ended.
type held struct {
	certificate tls.Certificate
	old, end    time.Time
}

// NewLeaf returns a leaf whose certificates, and their keys, come from issue as PEM.
func NewLeaf(ctx context.Context, logger *slog.Logger,
	issue func(context.Context) (certPEM, keyPEM []byte, err error)) (*Leaf, error) {
	l := &Leaf{issue: issue, logger: logger, renewing: make(chan struct{}, 1)}
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
	return &held{certificate: certificate, old: asked.Add(life / 3 * 2), end: asked.Add(life)}, nil
}

// get returns the certificate to show. One handshake at a time renews it; meanwhile others show
// the last one, or wait if that has ended. If there is no next certificate the last one is shown,
// old as it is: the peer judges.
func (l *Leaf) get(ctx context.Context) *tls.Certificate {
	last := l.current.Load()
	now := time.Now()
	if now.Before(last.old) {
		return &last.certificate
	}
	if now.Before(last.end) {
		select {
		case l.renewing <- struct{}{}:
		default:
			return &last.certificate
		}
	} else {
		select {
		case l.renewing <- struct{}{}:
		case <-ctx.Done():
			return &last.certificate
		}
	}
	defer func() { <-l.renewing }()

	if latest := l.current.Load(); latest != last {
		return &latest.certificate
	}
	next, err := l.fetch(ctx)
	if err != nil {
		l.logger.Warn("the certificate of this process is not renewed", "err", err)
		return &last.certificate
	}
	l.current.Store(next)
	return &next.certificate
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
