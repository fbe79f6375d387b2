// Package mtls has the replicas of one version recognise each other: it issues their certificates, tells
// them with each by what to judge those of others, and judges for those that do not do so themselves.
package mtls

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

// Options are about a version.
type Options struct {
	App          string
	Version      string
	Plan         place.Plan
	Certificates identity.Options
	Vault        Vault        // nil: the keys end with this process
	Warn         func(string) // told of what does not end anything; it must not wait
}

// Authority is whom the replicas of a version trust. A nil one has no certificates. It is safe for
// concurrent use.
type Authority struct {
	issuer *identity.Authority
	o      Options
	groups identity.Groups
}

var errNone = errors.New("this deployment has no certificates")

// New returns the authority of a version. It goes on from what is in the vault, so that replicas that run
// are recognised, and recognise new ones. Without it they hear of a new authority as soon as they meet
// this deployer, and trust both. The context is that of all its life: it ends what waits for the vault.
func New(ctx context.Context, o Options) (*Authority, error) {
	a := &Authority{o: o, groups: identity.Groups{}}
	for _, g := range o.Plan.Groups {
		a.groups[g.Name] = identity.Group{Components: g.Components, Callees: o.Plan.Callees(g.Name)}
	}

	options := o.Certificates
	if o.Vault == nil {
		a.issuer = identity.NewAuthority(o.Version, options)
		return a, nil
	}
	options.Uptime = proc.Uptime
	options.Save = func(record []byte) error { return a.save(ctx, record) }
	record, err := a.load(ctx)
	if err != nil {
		return nil, fmt.Errorf("cannot take over the root certificates: %w", err)
	}

	if record != nil {
		a.issuer, err = identity.ResumeAuthority(o.Version, record, options)
		if err == nil {
			return a, nil
		}
		o.Warn(fmt.Sprintf("the root certificates are made again, for those of before are not usable: %v", err))
	}
	a.issuer = identity.NewAuthority(o.Version, options)
	return a, nil
}

func (a *Authority) load(ctx context.Context) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, vaultTime)
	defer cancel()
	return a.o.Vault.Load(ctx, a.o.Version)
}

func (a *Authority) save(ctx context.Context, record []byte) error {
	ctx, cancel := context.WithTimeout(ctx, vaultTime)
	defer cancel()
	err := a.o.Vault.Save(ctx, a.o.Version, record)
	if err != nil {
		a.o.Warn(fmt.Sprintf("a new root certificate is not kept, so it signs nothing: %v", err))
	}
	return err
}

// Forget empties the vault, for the version is gone. It may wait.
func (a *Authority) Forget(ctx context.Context) {
	if a == nil || a.o.Vault == nil {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, vaultTime)
	defer cancel()
	if err := a.o.Vault.Save(ctx, a.o.Version, nil); err != nil {
		a.o.Warn(fmt.Sprintf("the keys of a version that is gone are kept: %v", err))
	}
}

// Certify issues a replica's certificate, and says by what the replica is to judge others.
func (a *Authority) Certify(r place.Replica) (*protos.GetSelfCertificateReply, error) {
	if a == nil {
		return nil, errNone
	}
	cert, key, err := a.issuer.Issue(identity.Subject{Server: name.Replica(a.o.App, r.Group, r.Number), Group: r.Group})
	if err != nil {
		return nil, err
	}

	told := a.issuer.Told(a.groups)
	trust := &protos.Trust{Roots: told.Roots, NowMicros: told.Now.UnixMicro(), Groups: map[string]*protos.Trust_Group{}}
	for name, g := range told.Groups {
		trust.Groups[name] = &protos.Trust_Group{Components: g.Components, Callees: g.Callees}
	}
	return &protos.GetSelfCertificateReply{Cert: cert, Key: key, Trust: trust}, nil
}

// Client returns the components that the owner of a chain of certificates may call.
func (a *Authority) Client(chain [][]byte) ([]string, error) {
	if a == nil {
		return nil, errNone
	}
	client, err := a.issuer.Verify(chain, x509.ExtKeyUsageClientAuth)
	if err != nil {
		return nil, err
	}
	return a.groups[client.Group].Callees, nil
}

// Server returns an error unless the owner of a chain of certificates may host a component.
func (a *Authority) Server(chain [][]byte, component string) error {
	if a == nil {
		return errNone
	}
	server, err := a.issuer.Verify(chain, x509.ExtKeyUsageServerAuth)
	if err != nil {
		return err
	}
	return a.groups.MayHost(server, component)
}
