package deployer

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"time"

	"github.com/divisi-go/divisi/envelope/protos"
	"github.com/divisi-go/divisi/internal/identity"
	"github.com/divisi-go/divisi/internal/name"
	"github.com/divisi-go/divisi/internal/place"
	"github.com/divisi-go/divisi/internal/proc"
)

// Vault keeps what must not be lost with a deployer, and is secret: the keys by which the replicas of
// versions recognise each other.
type Vault interface {
	// Load returns what is kept of a version, nil if that is nothing.
	Load(ctx context.Context, version string) ([]byte, error)

	// Save keeps something of a version, in the place of what is kept. Nil is nothing.
	Save(ctx context.Context, version string, secret []byte) error
}

// vaultTime bounds the time for a key to be kept, for which a certificate waits.
const vaultTime = 10 * time.Second

// certificates are what a version's replicas need for mutual TLS. They never change, and are not
// Serve's goroutine's: keys are made and chains are verified on the goroutines of conversations.
type certificates struct {
	authority *identity.Authority // nil without mutual TLS
	groups    identity.Groups
	app       string
}

var errNoCertificates = errors.New("this deployment has no certificates")

// certificates returns those of a version. Its authority goes on from what is in the vault, so that
// replicas that run are recognised, and recognise new ones. Without it they hear of a new authority as
// soon as they meet this deployer, and trust both. It runs aside.
func (d *Deployer) certificates(spec Spec, plan place.Plan) (certificates, error) {
	c := certificates{app: spec.Name, groups: identity.Groups{}}
	if !spec.Config.Process.MTLS {
		return c, nil
	}
	for _, g := range plan.Groups {
		c.groups[g.Name] = identity.Group{Components: g.Components, Callees: plan.Callees(g.Name)}
	}

	options, vault := d.options.Certificates, d.options.Vault
	if vault == nil {
		c.authority = identity.NewAuthority(spec.Version, options)
		return c, nil
	}
	options.Uptime = proc.Uptime
	options.Save = func(record []byte) error {
		ctx, cancel := context.WithTimeout(d.ctx, vaultTime)
		defer cancel()
		err := vault.Save(ctx, spec.Version, record)
		if err != nil {
			d.warn("a new root certificate is not kept, so it signs nothing: %v", err)
		}
		return err
	}

	ctx, cancel := context.WithTimeout(d.ctx, vaultTime)
	defer cancel()
	record, err := vault.Load(ctx, spec.Version)
	if err != nil {
		return certificates{}, fmt.Errorf("cannot take over the root certificates: %w", err)
	}
	if record != nil {
		c.authority, err = identity.ResumeAuthority(spec.Version, record, options)
		if err == nil {
			return c, nil
		}
		d.warn("the root certificates are made again, for those of before are not usable: %v", err)
	}
	c.authority = identity.NewAuthority(spec.Version, options)
	return c, nil
}

// forgetCertificates empties the vault of a version that is gone. It may wait.
func (d *Deployer) forgetCertificates(v version) {
	vault := d.options.Vault
	if vault == nil || v.certificates.authority == nil {
		return
	}
	ctx, cancel := context.WithTimeout(d.ctx, vaultTime)
	defer cancel()
	if err := vault.Save(ctx, v.spec.Version, nil); err != nil {
		d.warn("the root certificates of a version that is gone are kept: %v", err)
	}
}

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

// trust is what a replica is told with its certificate.
func (c certificates) trust() *protos.Trust {
	told := c.authority.Told(c.groups)
	trust := &protos.Trust{Roots: told.Roots, NowMicros: told.Now.UnixMicro(), Groups: map[string]*protos.Trust_Group{}}
	for name, g := range told.Groups {
		trust.Groups[name] = &protos.Trust_Group{Components: g.Components, Callees: g.Callees}
	}
	return trust
}

func (h *handler) GetSelfCertificate(_ context.Context, _ *protos.GetSelfCertificateRequest) (
	*protos.GetSelfCertificateReply, error) {
	c := h.a.certificates
	if c.authority == nil {
		return nil, errNoCertificates
	}
	cert, key, err := c.authority.Issue(c.subject(h.a.r.id))
	if err != nil {
		return nil, err
	}
	return &protos.GetSelfCertificateReply{Cert: cert, Key: key, Trust: c.trust()}, nil
}

func (h *handler) VerifyClientCertificate(_ context.Context, req *protos.VerifyClientCertificateRequest) (
	*protos.VerifyClientCertificateReply, error) {
	c := h.a.certificates
	client, err := c.verify(req.CertChain, x509.ExtKeyUsageClientAuth)
	if err != nil {
		return nil, err
	}
	return &protos.VerifyClientCertificateReply{Components: c.groups[client.Group].Callees}, nil
}

func (h *handler) VerifyServerCertificate(_ context.Context, req *protos.VerifyServerCertificateRequest) (
	*protos.VerifyServerCertificateReply, error) {
	c := h.a.certificates
	server, err := c.verify(req.CertChain, x509.ExtKeyUsageServerAuth)
	if err != nil {
		return nil, err
	}
	return &protos.VerifyServerCertificateReply{}, c.groups.MayHost(server, req.TargetComponent)
}
