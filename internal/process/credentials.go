package process

import (
	"context"
	"crypto/tls"
	"fmt"
	"log/slog"
	"sync/atomic"
	"time"

	"github.com/divisi-go/divisi/envelope/protos"
	"github.com/divisi-go/divisi/internal/identity"
	"github.com/divisi-go/divisi/internal/session"
)

// authority is the deployer's end of mutual TLS: it knows who is who.
type authority interface {
	GetSelfCertificate(context.Context, *protos.GetSelfCertificateRequest) (
		*protos.GetSelfCertificateReply, error)
	VerifyClientCertificate(context.Context, *protos.VerifyClientCertificateRequest) (
		*protos.VerifyClientCertificateReply, error)
	VerifyServerCertificate(context.Context, *protos.VerifyServerCertificateRequest) (
		*protos.VerifyServerCertificateReply, error)
}

// alone is an authority that knows the first certificate already.
type alone struct {
	authority
	first *protos.GetSelfCertificateReply // nil once it is known
}

// authorityOf returns the deployers, of which none is there if the weavelet starts from a boot record.
func authorityOf(deployers *session.Session, boot *session.Boot) authority {
	if boot == nil || boot.Certificate == nil || deployers.Attended() {
		return deployers
	}
	return &alone{deployers, boot.Certificate}
}

// GetSelfCertificate implements [authority]. It is called once at a time.
func (a *alone) GetSelfCertificate(ctx context.Context, r *protos.GetSelfCertificateRequest) (
	*protos.GetSelfCertificateReply, error) {
	if reply := a.first; reply != nil {
		a.first = nil
		return reply, nil
	}
	return a.authority.GetSelfCertificate(ctx, r)
}

// authorityTime bounds a question to the deployer that a handshake waits for. One that is not
// answered ends the handshake, which is tried again.
const authorityTime = 10 * time.Second

// credentials prove who a weavelet is, and check others: by what the deployer has told with the
// certificate, or, if it has told nothing, by asking it.
type credentials struct {
	authority authority
	leaf      *identity.Leaf
	trust     atomic.Pointer[identity.Trust] // nil if the deployer is to be asked
}

// newCredentials gets the first certificate. It may wait until its context ends.
func newCredentials(ctx context.Context, a authority, logger *slog.Logger) (*credentials, error) {
	c := &credentials{authority: a}
	var err error
	if c.leaf, err = identity.NewLeaf(ctx, logger, c.issue); err != nil {
		return nil, err
	}
	return c, nil
}

// issue gets a certificate from the deployer, or the next one if there is none, and takes what it tells
// with that. The leaf calls it once at a time.
func (c *credentials) issue(ctx context.Context) (cert, key []byte, err error) {
	reply, err := c.authority.GetSelfCertificate(ctx, &protos.GetSelfCertificateRequest{})
	if err != nil {
		return nil, nil, err
	}

	if reply.Trust == nil {
		c.trust.Store(nil)
		return reply.Cert, reply.Key, nil
	}
	trust, err := identity.NewTrust(told(reply.Trust), c.trust.Load())
	if err != nil {
		return nil, nil, fmt.Errorf("what the deployer tells of others is not usable: %w", err)
	}
	c.trust.Store(trust)
	return reply.Cert, reply.Key, nil
}

// told returns what a deployer tells.
func told(t *protos.Trust) identity.Told {
	told := identity.Told{Roots: t.Roots, Groups: make(identity.Groups, len(t.Groups))}
	if t.NowMicros != 0 {
		told.Now = time.UnixMicro(t.NowMicros)
	}
	for name, g := range t.Groups {
		told.Groups[name] = identity.Group{Components: g.Components, Callees: g.Callees}
	}
	return told
}

// authorize returns what a client may call.
func (c *credentials) authorize(state *tls.ConnectionState) (*identity.Rights, error) {
	chain, err := identity.Chain(state.PeerCertificates)
	if err != nil {
		return nil, err
	}
	if trust := c.trust.Load(); trust != nil {
		rights, err := trust.Client(chain)
		if err != nil {
			return nil, fmt.Errorf("the client is refused: %w", err)
		}
		return rights, nil
	}

	ctx, cancel := context.WithTimeout(context.Background(), authorityTime)
	defer cancel()
	reply, err := c.authority.VerifyClientCertificate(ctx,
		&protos.VerifyClientCertificateRequest{CertChain: chain})
	if err != nil {
		return nil, fmt.Errorf("the deployer refuses the client: %w", err)
	}
	return identity.NewRights(reply.Components), nil
}

// client is the configuration for connections to one component: the server is verified for this very
// component.
func (c *credentials) client(component string) *tls.Config {
	return c.leaf.Client(func(chain [][]byte) error {
		if trust := c.trust.Load(); trust != nil {
			if err := trust.Server(chain, component); err != nil {
				return fmt.Errorf("the server for %s is refused: %w", component, err)
			}
			return nil
		}

		ctx, cancel := context.WithTimeout(context.Background(), authorityTime)
		defer cancel()
		_, err := c.authority.VerifyServerCertificate(ctx,
			&protos.VerifyServerCertificateRequest{CertChain: chain, TargetComponent: component})
		if err != nil {
			return fmt.Errorf("the deployer refuses the server for %s: %w", component, err)
		}
		return nil
	})
}
