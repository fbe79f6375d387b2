package main

import (
	"context"
	"errors"
	"log/slog"
	"os"

	"github.com/ServiceWeaver/weaver/runtime"
	"github.com/ServiceWeaver/weaver/runtime/envelope"
	"github.com/ServiceWeaver/weaver/runtime/protos"

	"github.com/divisi-go/divisi/bench/load"
)

const calledComponent = "github.com/divisi-go/divisi/bench/serviceweaver/Echo"

// deployer runs the two weavelets. What it embeds are the methods for listeners, of which there are none.
type deployer struct {
	envelope.EnvelopeHandler
	client, server *envelope.Envelope
	identity       []byte // certificate and key
}

// deploy starts the main component and the other one, in a process each, and stays until they have ended.
func deploy(ctx context.Context, name string) (err error) {
	d := new(deployer)
	encrypted := os.Getenv(load.NetworkVariable) == "tls"
	if encrypted {
		if d.identity, err = os.ReadFile(os.Getenv(load.IdentityVariable)); err != nil {
			return err
		}
	}
	if d.server, err = newWeavelet(ctx, name, "server", encrypted); err != nil {
		return err
	}
	if d.client, err = newWeavelet(ctx, name, "client", encrypted); err != nil {
		return err
	}
	ended := make(chan error, 2)
	go func() { ended <- d.server.Serve(d) }()
	go func() { ended <- d.client.Serve(d) }()
	err = errors.Join(d.server.UpdateComponents([]string{calledComponent}),
		d.client.UpdateComponents([]string{runtime.Main}))
	if err != nil {
		return err
	}
	<-ended
	return nil
}

func newWeavelet(ctx context.Context, name, side string, encrypted bool) (*envelope.Envelope, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	return envelope.NewEnvelope(ctx, &protos.WeaveletArgs{
		App: "bench", DeploymentId: "00000000-0000-0000-0000-000000000001", Id: side,
		RunMain: side == "client", InternalAddress: "127.0.0.1:0", Mtls: encrypted,
	}, &protos.AppConfig{
		Name: "bench", Binary: self, Env: []string{load.RoleVariable + "=" + name + "/" + side},
	}, envelope.Options{Logger: slog.New(slog.DiscardHandler)})
}

// ActivateComponent says that the component is in the other process.
func (d *deployer) ActivateComponent(_ context.Context, r *protos.ActivateComponentRequest) (*protos.ActivateComponentReply, error) {
	return &protos.ActivateComponentReply{}, d.client.UpdateRoutingInfo(&protos.RoutingInfo{
		Component: r.Component, Replicas: []string{d.server.WeaveletAddress()},
	})
}

// GetSelfCertificate returns what both sides have.
func (d *deployer) GetSelfCertificate(context.Context, *protos.GetSelfCertificateRequest) (*protos.GetSelfCertificateReply, error) {
	return &protos.GetSelfCertificateReply{Cert: d.identity, Key: d.identity}, nil
}

// VerifyClientCertificate lets the caller call the other one.
func (d *deployer) VerifyClientCertificate(context.Context, *protos.VerifyClientCertificateRequest) (*protos.VerifyClientCertificateReply, error) {
	return &protos.VerifyClientCertificateReply{Components: []string{calledComponent}}, nil
}

// VerifyServerCertificate believes everybody.
func (d *deployer) VerifyServerCertificate(context.Context, *protos.VerifyServerCertificateRequest) (*protos.VerifyServerCertificateReply, error) {
	return &protos.VerifyServerCertificateReply{}, nil
}

// LogBatch drops what weavelets say: they dial before the other side listens, and call that errors.
func (d *deployer) LogBatch(context.Context, *protos.LogEntryBatch) error { return nil }

// HandleTraceSpans drops spans.
func (d *deployer) HandleTraceSpans(context.Context, *protos.TraceSpans) error { return nil }
