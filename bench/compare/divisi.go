package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/divisi-go/divisi"
	"github.com/divisi-go/divisi/bench/echo"
	"github.com/divisi-go/divisi/envelope"
	"github.com/divisi-go/divisi/envelope/protos"
	"github.com/divisi-go/divisi/envelope/runtime"
)

// app calls.
type app struct {
	divisi.Implements[divisi.Main]
	echo divisi.Ref[echo.Echo]
}

// playDivisi is a process of Divisi: the weavelet of either component.
func playDivisi(side string) error {
	role := "Divisi " + side
	if side == "server" {
		go func() { exit(obey(role, nil)) }()
	}
	return divisi.Run(context.Background(), func(_ context.Context, a *app) error { return obey(role, a.caller) })
}

func (a *app) caller() (caller, error) {
	m := echo.NewMessage()
	blob := make([]byte, huge.size())
	return func(ctx context.Context, p payload) (err error) {
		switch p {
		case null:
			return a.echo.Get().Null(ctx)
		case message:
			_, err = a.echo.Get().Message(ctx, m)
		default:
			_, err = a.echo.Get().Bytes(ctx, blob[:p.size()])
		}
		return err
	}, nil
}

// deployer runs the two weavelets. What it embeds are the methods for certificates and listeners, of
// which there are none.
type deployer struct {
	envelope.EnvelopeHandler
	client, server *envelope.Envelope
}

// deployDivisi starts the main component and the other one, in a process each.
func deployDivisi(ctx context.Context, dir string, env func(side string) string) error {
	self, err := os.Executable()
	if err != nil {
		return err
	}
	start := func(side string) (*envelope.Envelope, error) {
		return envelope.NewEnvelope(ctx, &protos.EnvelopeInfo{
			App: "bench", DeploymentId: "bench", Id: side, RunMain: side == "client",
			InternalAddress: "unix://" + filepath.Join(dir, side),
		}, &protos.AppConfig{Name: "bench", Binary: self, Env: strings.Split(env(side), "\n")})
	}

	d := &deployer{}
	if d.server, err = start("server"); err != nil {
		return err
	}
	if d.client, err = start("client"); err != nil {
		return err
	}
	go d.server.Serve(d)
	go d.client.Serve(d)
	return errors.Join(d.server.UpdateComponents([]string{"github.com/divisi-go/divisi/bench/echo/Echo"}),
		d.client.UpdateComponents([]string{runtime.Main}))
}

// ActivateComponent says that the component is in the other process.
func (d *deployer) ActivateComponent(_ context.Context, r *protos.ActivateComponentRequest) (*protos.ActivateComponentReply, error) {
	return &protos.ActivateComponentReply{}, d.client.UpdateRoutingInfo(&protos.RoutingInfo{
		Component: r.Component, Replicas: []string{d.server.WeaveletInfo().DialAddr},
	})
}

// HandleLogEntry shows what weavelets say.
func (d *deployer) HandleLogEntry(_ context.Context, entry *protos.LogEntry) error {
	fmt.Fprintln(os.Stderr, entry.Msg, entry.Attrs)
	return nil
}

// HandleTraceSpans drops spans.
func (d *deployer) HandleTraceSpans(context.Context, *protos.TraceSpans) error { return nil }
