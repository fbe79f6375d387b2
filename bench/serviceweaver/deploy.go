package main

import (
	"context"
	"log/slog"
	"os"

	"github.com/ServiceWeaver/weaver/runtime"
	"github.com/ServiceWeaver/weaver/runtime/envelope"
	"github.com/ServiceWeaver/weaver/runtime/protos"

	"github.com/divisi-go/divisi/bench/load"
)

// called are the components that the main one calls: it starts when both of them are there.
var called = []string{
	"github.com/divisi-go/divisi/bench/serviceweaver/Echo",
	"github.com/divisi-go/divisi/bench/serviceweaver/Work",
}

// deployer runs a weavelet with the main component, and some with those that it calls. What it embeds are
// the methods for listeners, of which there are none.
type deployer struct {
	envelope.EnvelopeHandler
	servers []string              // sides of processes that answer
	env     func(string) []string // of a side

	client    *envelope.Envelope
	addresses []string // of servers
	identity  []byte   // certificate and key
}

// run starts the weavelets, and stays until they have ended.
func (d *deployer) run(ctx context.Context) (err error) {
	encrypted := os.Getenv(load.NetworkVariable) == "tls"
	if encrypted {
		if d.identity, err = os.ReadFile(os.Getenv(load.IdentityVariable)); err != nil {
			return err
		}
	}
	ended := make(chan error, len(d.servers)+1)
	for _, side := range d.servers {
		server, err := d.newWeavelet(ctx, side, encrypted)
		if err != nil {
			return err
		}
		addresses, err := load.Reach(server.WeaveletAddress())
		if err != nil {
			return err
		}
		d.addresses = append(d.addresses, addresses...)
		go func() { ended <- server.Serve(d) }()
		if err := server.UpdateComponents(called); err != nil {
			return err
		}
	}
	if d.client, err = d.newWeavelet(ctx, "client", encrypted); err != nil {
		return err
	}
	go func() { ended <- d.client.Serve(d) }()
	if err := d.client.UpdateComponents([]string{runtime.Main}); err != nil {
		return err
	}
	<-ended // and the others do
	return nil
}

func (d *deployer) newWeavelet(ctx context.Context, side string, encrypted bool) (*envelope.Envelope, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	return envelope.NewEnvelope(ctx, &protos.WeaveletArgs{
		App: "bench", DeploymentId: "00000000-0000-0000-0000-000000000001", Id: side,
		RunMain: side == "client", InternalAddress: load.Anywhere(), Mtls: encrypted,
	}, &protos.AppConfig{Name: "bench", Binary: self, Env: d.env(side)},
		envelope.Options{Logger: slog.New(slog.DiscardHandler)})
}

// ActivateComponent says that the component is in the other processes.
func (d *deployer) ActivateComponent(_ context.Context, r *protos.ActivateComponentRequest) (*protos.ActivateComponentReply, error) {
	return &protos.ActivateComponentReply{}, d.client.UpdateRoutingInfo(&protos.RoutingInfo{
		Component: r.Component, Replicas: d.addresses,
	})
}

// GetSelfCertificate returns what both sides have.
func (d *deployer) GetSelfCertificate(context.Context, *protos.GetSelfCertificateRequest) (*protos.GetSelfCertificateReply, error) {
	return &protos.GetSelfCertificateReply{Cert: d.identity, Key: d.identity}, nil
}

// VerifyClientCertificate lets the caller call the other one.
func (d *deployer) VerifyClientCertificate(context.Context, *protos.VerifyClientCertificateRequest) (*protos.VerifyClientCertificateReply, error) {
	return &protos.VerifyClientCertificateReply{Components: called}, nil
}

// VerifyServerCertificate believes everybody.
func (d *deployer) VerifyServerCertificate(context.Context, *protos.VerifyServerCertificateRequest) (*protos.VerifyServerCertificateReply, error) {
	return &protos.VerifyServerCertificateReply{}, nil
}

// LogBatch drops what weavelets say: they dial before the other side listens, and call that errors.
func (d *deployer) LogBatch(context.Context, *protos.LogEntryBatch) error { return nil }

// HandleTraceSpans drops spans.
func (d *deployer) HandleTraceSpans(context.Context, *protos.TraceSpans) error { return nil }
