package weavelet

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"

	"github.com/divisi-go/divisi/envelope/protos"
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

// credentials prove who a weavelet is, and check others by asking the deployer.
type credentials struct {
	authority   authority
	certificate tls.Certificate
}

func newCredentials(ctx context.Context, a authority) (*credentials, error) {
	reply, err := a.GetSelfCertificate(ctx, &protos.GetSelfCertificateRequest{})
	if err != nil {
		return nil, fmt.Errorf("cannot get a certificate from the deployer: %w", err)
	}
	certificate, err := tls.X509KeyPair(reply.Cert, reply.Key)
	if err != nil {
		return nil, fmt.Errorf("the deployer's certificate is not usable: %w", err)
	}
	return &credentials{authority: a, certificate: certificate}, nil
}

// server is the configuration of the accepting side. It takes any certificate: authorize judges.
func (c *credentials) server() *tls.Config {
	return &tls.Config{
		Certificates: []tls.Certificate{c.certificate},
		ClientAuth:   tls.RequireAnyClientCert,
		MinVersion:   tls.VersionTLS13,
	}
}

// authorize returns the set of components that a client may call.
func (c *credentials) authorize(state *tls.ConnectionState) (any, error) {
	chain, err := rawChain(state.PeerCertificates)
	if err != nil {
		return nil, err
	}
	reply, err := c.authority.VerifyClientCertificate(context.Background(),
		&protos.VerifyClientCertificateRequest{CertChain: chain})
	if err != nil {
		return nil, fmt.Errorf("the deployer refuses the client: %w", err)
	}
	allowed := map[string]bool{}
	for _, component := range reply.Components {
		allowed[component] = true
	}
	return allowed, nil
}

// client is the configuration for connections to one component. Go's own verification is off
// because names and roots are the deployer's: it verifies the chain for this very component.
func (c *credentials) client(component string) *tls.Config {
	return &tls.Config{
		Certificates:       []tls.Certificate{c.certificate},
		InsecureSkipVerify: true,
		MinVersion:         tls.VersionTLS13,
		VerifyConnection: func(state tls.ConnectionState) error {
			chain, err := rawChain(state.PeerCertificates)
			if err != nil {
				return err
			}
			_, err = c.authority.VerifyServerCertificate(context.Background(),
				&protos.VerifyServerCertificateRequest{CertChain: chain, TargetComponent: component})
			if err != nil {
				return fmt.Errorf("the deployer refuses the server for %s: %w", component, err)
			}
			return nil
		},
	}
}

func rawChain(certificates []*x509.Certificate) ([][]byte, error) {
	if len(certificates) == 0 {
		return nil, errors.New("the peer has no certificate")
	}
	var chain [][]byte
	for _, cert := range certificates {
		chain = append(chain, cert.Raw)
	}
	return chain, nil
}
