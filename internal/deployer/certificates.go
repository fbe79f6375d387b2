package deployer

import (
	"context"

	"github.com/divisi-go/divisi/envelope/protos"
	"github.com/divisi-go/divisi/internal/deployer/mtls"
	"github.com/divisi-go/divisi/internal/place"
	"github.com/divisi-go/divisi/internal/replica"
)

// authority returns who issues the certificates of a version, nil without mutual TLS. It belongs to no
// goroutine: keys are made and chains are verified on those of conversations. It may wait.
func (d *Deployer) authority(spec Spec, plan place.Plan) (*mtls.Authority, error) {
	if !spec.Config.Process.MTLS {
		return nil, nil
	}
	return mtls.New(d.ctx, mtls.Options{
		App:          spec.Name,
		Version:      spec.Version,
		Plan:         plan,
		Certificates: d.options.Certificates,
		Vault:        d.options.Vault,
		Warn:         func(text string) { d.warn("%s", text) },
	})
}

// certificates answers one replica.
type certificates struct {
	authority *mtls.Authority // nil without mutual TLS
	id        place.Replica
}

var _ replica.Certificates = certificates{}

func (c certificates) GetSelfCertificate(_ context.Context, _ *protos.GetSelfCertificateRequest) (
	*protos.GetSelfCertificateReply, error) {
	return c.authority.Certify(c.id)
}

func (c certificates) VerifyClientCertificate(_ context.Context, req *protos.VerifyClientCertificateRequest) (
	*protos.VerifyClientCertificateReply, error) {
	callees, err := c.authority.Client(req.CertChain)
	return &protos.VerifyClientCertificateReply{Components: callees}, err
}

func (c certificates) VerifyServerCertificate(_ context.Context, req *protos.VerifyServerCertificateRequest) (
	*protos.VerifyServerCertificateReply, error) {
	return &protos.VerifyServerCertificateReply{}, c.authority.Server(req.CertChain, req.TargetComponent)
}
