// Deployer is a small deployer for applications: one process for every component, started when
// the component is first used. It shows what a deployer has to do, and all of it.
package main

import (
	"context"
	"crypto/rand"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"sync"

	"github.com/divisi-go/divisi/envelope"
	"github.com/divisi-go/divisi/envelope/colors"
	"github.com/divisi-go/divisi/envelope/logging"
	"github.com/divisi-go/divisi/envelope/protos"
	"github.com/divisi-go/divisi/envelope/runtime"
)

// deployer runs one application.
type deployer struct {
	ctx     context.Context
	id      string // of the deployment
	config  *protos.AppConfig
	printer *logging.PrettyPrinter
	ended   chan error

	mu        sync.Mutex // guards weavelets
	weavelets map[string]*weavelet
}

// weavelet hosts one component. It implements envelope.EnvelopeHandler.
type weavelet struct {
	deployer  *deployer
	component string
	envelope  *envelope.Envelope
}

var _ envelope.EnvelopeHandler = &weavelet{}

// start starts the weavelet of a component, unless it runs.
func (d *deployer) start(component string) (*weavelet, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if w, ok := d.weavelets[component]; ok {
		return w, nil
	}
	info := &protos.EnvelopeInfo{
		App:             d.config.Name,
		DeploymentId:    d.id,
		Id:              rand.Text(),
		Sections:        d.config.Sections,
		RunMain:         component == runtime.Main,
		InternalAddress: "localhost:0",
	}
	e, err := envelope.NewEnvelope(d.ctx, info, d.config)
	if err != nil {
		return nil, err
	}
	w := &weavelet{deployer: d, component: component, envelope: e}
	d.weavelets[component] = w
	go func() {
		if err := e.UpdateComponents([]string{component}); err != nil {
			d.ended <- fmt.Errorf("%s: %w", component, err)
		}
	}()
	go func() { d.ended <- e.Serve(w) }()
	return w, nil
}

// ActivateComponent starts a component that is used, and says where it is.
func (w *weavelet) ActivateComponent(_ context.Context, req *protos.ActivateComponentRequest) (
	*protos.ActivateComponentReply, error) {
	host, err := w.deployer.start(req.Component)
	if err != nil {
		return nil, err
	}
	return &protos.ActivateComponentReply{}, w.envelope.UpdateRoutingInfo(&protos.RoutingInfo{
		Component: req.Component,
		Replicas:  []string{host.envelope.WeaveletInfo().DialAddr},
	})
}

// GetListenerAddress lets every listener take any free port.
func (w *weavelet) GetListenerAddress(context.Context, *protos.GetListenerAddressRequest) (
	*protos.GetListenerAddressReply, error) {
	return &protos.GetListenerAddressReply{Address: "localhost:0"}, nil
}

// ExportListener shows where clients find a listener.
func (w *weavelet) ExportListener(_ context.Context, req *protos.ExportListenerRequest) (
	*protos.ExportListenerReply, error) {
	fmt.Printf("%s: http://%s\n", req.Listener, req.Address)
	return &protos.ExportListenerReply{}, nil
}

// HandleLogEntry prints the logs of all weavelets.
func (w *weavelet) HandleLogEntry(_ context.Context, entry *protos.LogEntry) error {
	fmt.Fprintln(os.Stderr, w.deployer.printer.Format(entry))
	return nil
}

// HandleTraceSpans drops spans.
func (w *weavelet) HandleTraceSpans(context.Context, *protos.TraceSpans) error { return nil }

// errNoTLS is the answer to what weavelets do not ask, as Mtls is not set.
var errNoTLS = errors.New("this deployer has no certificates")

// GetSelfCertificate is not called.
func (w *weavelet) GetSelfCertificate(context.Context, *protos.GetSelfCertificateRequest) (
	*protos.GetSelfCertificateReply, error) {
	return nil, errNoTLS
}

// VerifyClientCertificate is not called.
func (w *weavelet) VerifyClientCertificate(context.Context, *protos.VerifyClientCertificateRequest) (
	*protos.VerifyClientCertificateReply, error) {
	return nil, errNoTLS
}

// VerifyServerCertificate is not called.
func (w *weavelet) VerifyServerCertificate(context.Context, *protos.VerifyServerCertificateRequest) (
	*protos.VerifyServerCertificateReply, error) {
	return nil, errNoTLS
}

func main() {
	flag.Parse()
	if flag.NArg() != 1 {
		fmt.Fprintln(os.Stderr, "usage: deployer PROGRAM")
		os.Exit(2)
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	d := &deployer{
		ctx:       ctx,
		id:        rand.Text(),
		config:    &protos.AppConfig{Name: "app", Binary: flag.Arg(0)},
		printer:   logging.NewPrettyPrinter(colors.Enabled()),
		ended:     make(chan error),
		weavelets: map[string]*weavelet{},
	}
	if _, err := d.start(runtime.Main); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	// The first weavelet to end ends the application; the others end with this process.
	if err := <-d.ended; err != nil && ctx.Err() == nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}
