package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strconv"

	"github.com/divisi-go/divisi"
	"github.com/divisi-go/divisi/bench/overload/work"
	"github.com/divisi-go/divisi/envelope"
	"github.com/divisi-go/divisi/envelope/protos"
	"github.com/divisi-go/divisi/envelope/runtime"
)

// app calls.
type app struct {
	divisi.Implements[divisi.Main]
	work divisi.Ref[Work]
}

// Work does what it is told.
type Work interface {
	Do(context.Context, work.Task) ([]byte, error)
}

type worker struct{ divisi.Implements[Work] }

func (worker) Do(_ context.Context, t work.Task) ([]byte, error) { return work.Do(t), nil }

// playDivisi is a weavelet: with the component, or with main, which calls it.
func playDivisi(string) error {
	return divisi.Run(context.Background(), func(_ context.Context, a *app) error {
		return work.Obey(func(ctx context.Context, t work.Task) ([]byte, error) { return a.work.Get().Do(ctx, t) })
	})
}

// deployer runs the weavelets. What it embeds are the methods for certificates and listeners, of which
// there are none.
type deployer struct {
	envelope.EnvelopeHandler
	client  *envelope.Envelope
	servers []string // addresses
}

// deployDivisi starts the weavelets.
func deployDivisi(ctx context.Context, dir string, with work.Setting) error {
	self, err := os.Executable()
	if err != nil {
		return err
	}
	start := func(side string) (*envelope.Envelope, error) {
		return envelope.NewEnvelope(ctx, &protos.EnvelopeInfo{
			App: "bench", DeploymentId: "bench", Id: side, RunMain: side == "client",
			InternalAddress: "unix://" + filepath.Join(dir, side),
		}, &protos.AppConfig{Name: "bench", Binary: self, Env: with.Env("Divisi", side, dir)})
	}

	d := &deployer{}
	for i := range with.Servers {
		server, err := start(strconv.Itoa(i))
		if err != nil {
			return err
		}
		d.servers = append(d.servers, server.WeaveletInfo().DialAddr)
		go server.Serve(d)
		if err := server.UpdateComponents([]string{"github.com/divisi-go/divisi/bench/overload/Work"}); err != nil {
			return err
		}
	}
	if d.client, err = start("client"); err != nil {
		return err
	}
	go d.client.Serve(d)
	return d.client.UpdateComponents([]string{runtime.Main})
}

// ActivateComponent says that the component is in the other processes.
func (d *deployer) ActivateComponent(_ context.Context, r *protos.ActivateComponentRequest) (*protos.ActivateComponentReply, error) {
	return &protos.ActivateComponentReply{}, d.client.UpdateRoutingInfo(&protos.RoutingInfo{
		Component: r.Component, Replicas: d.servers,
	})
}

// HandleLogEntry shows what weavelets say.
func (d *deployer) HandleLogEntry(_ context.Context, entry *protos.LogEntry) error {
	fmt.Fprintln(os.Stderr, entry.Msg, entry.Attrs)
	return nil
}

// HandleTraceSpans drops spans.
func (d *deployer) HandleTraceSpans(context.Context, *protos.TraceSpans) error { return nil }
