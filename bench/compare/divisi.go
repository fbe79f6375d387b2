package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/divisi-go/divisi"
	"github.com/divisi-go/divisi/bench/echo"
	"github.com/divisi-go/divisi/bench/load"
	"github.com/divisi-go/divisi/envelope"
	"github.com/divisi-go/divisi/envelope/protos"
	"github.com/divisi-go/divisi/envelope/runtime"
)

// app calls.
type app struct {
	divisi.Implements[divisi.Main]
	echo divisi.Ref[echo.Echo]
}

// divisiRival is Divisi. A deployer in this process starts the weavelets of both components.
type divisiRival struct{}

var _ rival = divisiRival{}

func (divisiRival) play(role, side string, _ endpoint) error {
	if side == "server" {
		go func() { load.Exit(load.Obey(role, nil)) }()
	}
	return divisi.Run(context.Background(), func(_ context.Context, a *app) error { return load.Obey(role, a.caller) })
}

func (a *app) caller() (load.Caller, error) {
	m := load.NewMessage()
	return func(ctx context.Context, p load.Payload) (err error) {
		switch p {
		case load.Nothing:
			return a.echo.Get().Null(ctx)
		case load.Struct:
			_, err = a.echo.Get().Message(ctx, m)
		default:
			_, err = a.echo.Get().Bytes(ctx, p.Bytes())
		}
		return err
	}, nil
}

func (divisiRival) lacks(measurement) string { return "" }

const calledComponent = "github.com/divisi-go/divisi/bench/echo/Echo"

// deployer runs the two weavelets. What it embeds are the methods for listeners, of which there are none.
type deployer struct {
	envelope.EnvelopeHandler
	client, server *envelope.Envelope
	addresses      []string // of the server
	identity       []byte   // certificate and key
}

func (divisiRival) start(ctx context.Context, name string, e endpoint) (err error) {
	d := new(deployer)
	if e.network == "tls" {
		if d.identity, err = os.ReadFile(e.identity()); err != nil {
			return err
		}
	}
	if d.server, err = newWeavelet(ctx, name, "server", e); err != nil {
		return err
	}
	if d.addresses, err = load.Reach(d.server.WeaveletInfo().DialAddr); err != nil {
		return err
	}
	if d.client, err = newWeavelet(ctx, name, "client", e); err != nil {
		return err
	}
	go d.server.Serve(d)
	go d.client.Serve(d)
	return errors.Join(d.server.UpdateComponents([]string{calledComponent}),
		d.client.UpdateComponents([]string{runtime.Main}))
}

func newWeavelet(ctx context.Context, name, side string, e endpoint) (*envelope.Envelope, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	listen := load.Anywhere()
	if e.network == "unix" {
		listen = "unix://" + filepath.Join(e.dir, side)
	}
	return envelope.NewEnvelope(ctx, &protos.EnvelopeInfo{
		App: "bench", DeploymentId: "bench", Id: side, RunMain: side == "client",
		InternalAddress: listen, Mtls: e.network == "tls",
	}, &protos.AppConfig{Name: "bench", Binary: self, Env: e.environment(name + "/" + side)})
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

// ActivateComponent says that the component is in the other process.
func (d *deployer) ActivateComponent(_ context.Context, r *protos.ActivateComponentRequest) (*protos.ActivateComponentReply, error) {
	return &protos.ActivateComponentReply{}, d.client.UpdateRoutingInfo(&protos.RoutingInfo{
		Component: r.Component, Replicas: d.addresses,
	})
}

// HandleLogEntry shows what weavelets say.
func (d *deployer) HandleLogEntry(_ context.Context, entry *protos.LogEntry) error {
	fmt.Fprintln(os.Stderr, entry.Msg, entry.Attrs)
	return nil
}

// HandleTraceSpans drops spans.
func (d *deployer) HandleTraceSpans(context.Context, *protos.TraceSpans) error { return nil }
