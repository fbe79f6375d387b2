package deployer

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"slices"

	"github.com/divisi-go/divisi/envelope/protos"
	"github.com/divisi-go/divisi/internal/identity"
	"github.com/divisi-go/divisi/internal/name"
	"github.com/divisi-go/divisi/internal/place"
)

// certificates are what a version's replicas need for mutual TLS. They never change, and are not
// Serve's goroutine's: keys are made and chains are verified on the goroutines of conversations.
type certificates struct {
	authority *identity.Authority // nil without mutual TLS
	plan      place.Plan
	app       string
}

var errNoCertificates = errors.New("this deployment has no certificates")

// subject is whom the certificates of a replica are about.
func (c certificates) subject(r place.Replica) identity.Subject {
	return identity.Subject{
		Server: name.Replica(c.app, r.Group, r.Number),
		Group:  r.Group,
	}
}

func (c certificates) verify(chain [][]byte, usage x509.ExtKeyUsage) (identity.Subject, error) {
	if c.authority == nil {
		return identity.Subject{}, errNoCertificates
	}
	return c.authority.Verify(chain, usage)
}

func (h *handler) GetSelfCertificate(_ context.Context, _ *protos.GetSelfCertificateRequest) (
	*protos.GetSelfCertificateReply, error) {
	c := h.a.certificates
	if c.authority == nil {
		return nil, errNoCertificates
	}
	cert, key, err := c.authority.Issue(c.subject(h.a.r.id))
	return &protos.GetSelfCertificateReply{Cert: cert, Key: key}, err
}

func (h *handler) VerifyClientCertificate(_ context.Context, req *protos.VerifyClientCertificateRequest) (
	*protos.VerifyClientCertificateReply, error) {
	client, err := h.a.certificates.verify(req.CertChain, x509.ExtKeyUsageClientAuth)
	if err != nil {
		return nil, err
	}
	return &protos.VerifyClientCertificateReply{
		Components: h.a.certificates.plan.Callees(client.Group),
	}, nil
}

func (h *handler) VerifyServerCertificate(_ context.Context, req *protos.VerifyServerCertificateRequest) (
	*protos.VerifyServerCertificateReply, error) {
	c := h.a.certificates
	server, err := c.verify(req.CertChain, x509.ExtKeyUsageServerAuth)
	if err != nil {
		return nil, err
	}
	hosts := slices.ContainsFunc(c.plan.Groups, func(g place.Group) bool {
		return g.Name == server.Group && slices.Contains(g.Components, req.TargetComponent)
	})
	if !hosts {
		return nil, fmt.Errorf("%s, a replica of the group %s, may not host %s",
			server.Server, server.Group, req.TargetComponent)
	}
	return &protos.VerifyServerCertificateReply{}, nil
}
