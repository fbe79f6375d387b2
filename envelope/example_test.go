//go:build unix

package envelope_test

import (
	"context"
	"fmt"
	"io"
	"log"
	"net/http"
	"syscall"

	"github.com/divisi-go/divisi/envelope"
	"github.com/divisi-go/divisi/envelope/protos"
	"github.com/divisi-go/divisi/envelope/runtime"
)

// onlyOne deploys an application as one process. What it embeds are the methods for certificates,
// which are called only if EnvelopeInfo.Mtls is set.
type onlyOne struct {
	envelope.EnvelopeHandler
	weavelet  *envelope.Envelope
	listeners chan string // their addresses
}

// ActivateComponent has every component run in the process that asks for it.
func (d *onlyOne) ActivateComponent(_ context.Context, r *protos.ActivateComponentRequest) (*protos.ActivateComponentReply, error) {
	go func() {
		if err := d.weavelet.UpdateComponents([]string{runtime.Main, r.Component}); err != nil {
			log.Print(err)
		}
	}()
	return &protos.ActivateComponentReply{}, d.weavelet.UpdateRoutingInfo(
		&protos.RoutingInfo{Component: r.Component, Local: true})
}

func (d *onlyOne) GetListenerAddress(context.Context, *protos.GetListenerAddressRequest) (*protos.GetListenerAddressReply, error) {
	return &protos.GetListenerAddressReply{Address: "localhost:0"}, nil
}

func (d *onlyOne) ExportListener(_ context.Context, r *protos.ExportListenerRequest) (*protos.ExportListenerReply, error) {
	d.listeners <- r.Address
	return &protos.ExportListenerReply{}, nil
}

func (d *onlyOne) HandleLogEntry(context.Context, *protos.LogEntry) error     { return nil }
func (d *onlyOne) HandleTraceSpans(context.Context, *protos.TraceSpans) error { return nil }

// A deployer of one process, which runs examples/hello. The one in examples/deployer starts a
// process for every component.
func ExampleNewEnvelope() {
	e, err := envelope.NewEnvelope(context.Background(), &protos.EnvelopeInfo{
		App: "hello", DeploymentId: "d1", Id: "w1", RunMain: true, InternalAddress: "localhost:0",
	}, &protos.AppConfig{Name: "hello", Binary: hello})
	if err != nil {
		log.Fatal(err)
	}
	d := &onlyOne{weavelet: e, listeners: make(chan string, 1)}
	ended := make(chan error)
	go func() { ended <- e.Serve(d) }()
	if err := e.UpdateComponents([]string{runtime.Main}); err != nil {
		log.Fatal(err)
	}

	resp, err := http.Get("http://" + <-d.listeners + "/?name=gopher")
	if err != nil {
		log.Fatal(err)
	}
	defer resp.Body.Close()
	page, err := io.ReadAll(resp.Body)
	fmt.Printf("%s%v\n", page, err)
	fmt.Println(e.GetHealth())

	if err := syscall.Kill(e.Pid(), syscall.SIGTERM); err != nil { // it ends in order
		log.Fatal(err)
	}
	fmt.Println(<-ended, e.GetHealth())
	// Output:
	// Hello, rehpog!
	// <nil>
	// HEALTHY
	// <nil> TERMINATED
}
