package process

import (
	"context"
	"crypto/tls"
	"fmt"
	"log/slog"
	"time"

	"github.com/divisi-go/divisi/envelope/protos"
	"github.com/divisi-go/divisi/internal/identity"
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

// authorityTime bounds a question to the deployer that a handshake waits for. One that is not
// answered ends the handshake, which is tried again.
const authorityTime = 10 * time.Second

// credentials prove who a weavelet is, and check others by asking the deployer.
type credentials struct {
	authority authority
	leaf      *identity.Leaf
}

func newCredentials(ctx context.Context, a authority, logger *slog.Logger) (*credentials, error) {
	leaf, err := identity.NewLeaf(ctx, logger, func(ctx context.Context) (cert, key []byte, err error) {
		ctx, cancel := context.WithTimeout(ctx, authorityTime)
		defer cancel()
		reply, err := a.GetSelfCertificate(ctx, &protos.GetSelfCertificateRequest{})
		if err != nil {
			return nil, nil, err
		}
		return reply.Cert, reply.Key, nil
	})
	if err != nil {
		return nil, err
	}
	return &credentials{authority: a, leaf: leaf}, nil
}

// authorize returns what a client may call.
func (c *credentials) authorize(state *tls.ConnectionState) (*identity.Rights, error) {
	chain, err := identity.Chain(state.PeerCertificates)
	if err != nil {
		return nil, err
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

// client is the configuration for connections to one component: names and roots are the
// deployer's, so it verifies the server for this very component.
func (c *credentials) client(component string) *tls.Config {
	return c.leaf.Client(func(chain [][]byte) error {
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
