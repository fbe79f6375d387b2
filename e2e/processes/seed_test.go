//go:build linux || darwin

package processes_test

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"regexp"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/divisi-go/divisi/envelope"
	"github.com/divisi-go/divisi/envelope/colors"
	"github.com/divisi-go/divisi/envelope/logging"
	"github.com/divisi-go/divisi/envelope/metrics"
	"github.com/divisi-go/divisi/envelope/protomsg"
	"github.com/divisi-go/divisi/envelope/protos"
	"github.com/divisi-go/divisi/envelope/prototext"
	"github.com/divisi-go/divisi/envelope/runtime"
)

// seedDeployer runs every component in a process of its own. It is what a deployer for Service
// Weaver v0.20 is: the same types, signatures and order of calls, and nothing of our own.
type seedDeployer struct {
	t         *testing.T
	ctx       context.Context // ends with the test
	id        string
	config    *protos.AppConfig
	listening chan string // addresses
	spans     spanLog
	ordered   atomic.Bool // the shop has logged an order
	serving   sync.WaitGroup

	mu       sync.Mutex // guards handlers
	handlers map[string]*seedHandler
}

// seedHandler answers the weavelet of one component.
type seedHandler struct {
	deployer *seedDeployer
	envelope *envelope.Envelope
	address  string
}

var _ envelope.EnvelopeHandler = &seedHandler{}

// What such deployers call.
var _ interface {
	UpdateRoutingInfo(routing *protos.RoutingInfo) error
	UpdateComponents(components []string) error
	GetHealth() protos.HealthStatus
	GetMetrics() ([]*metrics.MetricSnapshot, error)
	GetLoad() (*protos.LoadReport, error)
	GetProfile(req *protos.GetProfileRequest) ([]byte, error)
} = &envelope.Envelope{}

// seed runs a program until the test ends, and returns the address of its pages.
func seed(t *testing.T, program, toml string) (d *seedDeployer, url string) {
	t.Helper()
	config, err := runtime.ParseConfig("test.toml", toml, nil)
	if err != nil {
		t.Fatal(err)
	}
	config.Name, config.Binary = program, binary(t, program)
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	d = &seedDeployer{t: t, ctx: ctx, id: rand.Text(), config: config,
		listening: make(chan string, 1), handlers: map[string]*seedHandler{}}
	t.Cleanup(func() {
		d.mu.Lock()
		cancel() // whoever waits for the lock starts nothing
		d.mu.Unlock()
		d.serving.Wait()
	})
	if _, err := d.spawn(runtime.Main); err != nil {
		t.Fatal(err)
	}
	select {
	case address := <-d.listening:
		return d, "http://" + address
	case <-time.After(patience):
		t.Fatalf("%s has no listener", program)
	}
	return nil, ""
}

// spawn starts the process of a component, unless there is one.
func (d *seedDeployer) spawn(component string) (*seedHandler, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if h, ok := d.handlers[component]; ok {
		return h, nil
	}
	if d.ctx.Err() != nil {
		return nil, d.ctx.Err()
	}
	info := &protos.EnvelopeInfo{
		App:             d.config.Name,
		DeploymentId:    d.id,
		Id:              rand.Text(),
		Sections:        d.config.Sections,
		SingleProcess:   false,
		SingleMachine:   true,
		RunMain:         component == runtime.Main,
		Mtls:            false,
		InternalAddress: "localhost:0",
	}
	envelope, err := envelope.NewEnvelope(d.ctx, info, d.config)
	if err != nil {
		return nil, err
	}
	h := &seedHandler{deployer: d, envelope: envelope, address: envelope.WeaveletInfo().DialAddr}
	d.serving.Go(func() {
		// In this order: the first has an answer before anybody answers the weavelet.
		err := envelope.UpdateComponents([]string{component})
		err = errors.Join(err, envelope.Serve(h))
		if d.ctx.Err() == nil {
			d.t.Errorf("the process of %s has ended: %v", component, err)
		}
	})
	d.handlers[component] = h
	return h, nil
}

func (h *seedHandler) ActivateComponent(_ context.Context, req *protos.ActivateComponentRequest) (*protos.ActivateComponentReply, error) {
	host, err := h.deployer.spawn(req.Component)
	if err != nil {
		return nil, err
	}
	return &protos.ActivateComponentReply{}, h.envelope.UpdateRoutingInfo(&protos.RoutingInfo{
		Component: req.Component,
		Replicas:  []string{host.address},
	})
}

func (h *seedHandler) GetListenerAddress(context.Context, *protos.GetListenerAddressRequest) (*protos.GetListenerAddressReply, error) {
	return &protos.GetListenerAddressReply{Address: "localhost:0"}, nil
}

func (h *seedHandler) ExportListener(_ context.Context, req *protos.ExportListenerRequest) (*protos.ExportListenerReply, error) {
	h.deployer.listening <- req.Address
	return &protos.ExportListenerReply{}, nil
}

func (h *seedHandler) HandleLogEntry(_ context.Context, entry *protos.LogEntry) error {
	text := logging.NewPrettyPrinter(colors.Enabled()).Format(entry)
	if strings.Contains(text, "] order placed ") {
		h.deployer.ordered.Store(true)
	}
	_, err := fmt.Fprintln(h.deployer.t.Output(), text)
	return err
}

func (h *seedHandler) HandleTraceSpans(_ context.Context, spans *protos.TraceSpans) error {
	h.deployer.spans.add(spans)
	return nil
}

func (h *seedHandler) GetSelfCertificate(context.Context, *protos.GetSelfCertificateRequest) (*protos.GetSelfCertificateReply, error) {
	return nil, h.noTLS()
}

func (h *seedHandler) VerifyClientCertificate(context.Context, *protos.VerifyClientCertificateRequest) (*protos.VerifyClientCertificateReply, error) {
	return nil, h.noTLS()
}

func (h *seedHandler) VerifyServerCertificate(context.Context, *protos.VerifyServerCertificateRequest) (*protos.VerifyServerCertificateReply, error) {
	return nil, h.noTLS()
}

func (h *seedHandler) noTLS() error {
	h.deployer.t.Error("a weavelet asks about certificates, without Mtls")
	return errors.ErrUnsupported
}

// TestSeedJourney makes the recorded visit to the shop.
func TestSeedJourney(t *testing.T) {
	t.Parallel()
	conf := shopConfig(t)
	want := journey(t, alone(t, "shop", conf))
	d, url := seed(t, "shop", conf)
	if got := journey(t, url); !slices.Equal(got, want) {
		t.Errorf("not as alone: %s", difference(want, got))
	}
	if !poll(t, d.ordered.Load) {
		t.Error("no log entry tells of an order")
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if len(d.handlers) != 11 {
		t.Errorf("%d processes, want one for each of 11 components", len(d.handlers))
	}
	for component, h := range d.handlers {
		if got := h.envelope.GetHealth(); got != protos.HealthStatus_HEALTHY {
			t.Errorf("%s is %v", component, got)
		}
		if info := h.envelope.WeaveletInfo(); info.Features != nil {
			t.Errorf("%s sends the features %q, and was sent none", component, info.Features)
		}
	}
}

// TestSeedTrace follows one request over three processes.
func TestSeedTrace(t *testing.T) {
	t.Parallel()
	d, url := seed(t, "testapp", "")
	body, err := page(t.Context(), url+"/chain?n=0")
	if err != nil || body != "A B" {
		t.Fatalf("page %q, %v", body, err)
	}
	want := []string{"HTTP chain", "testapp.A.Chain client", "testapp.A.Chain server",
		"testapp.B.Chain client", "testapp.B.Chain server"}
	count := func() (n int) {
		for _, spans := range d.spans.traces() {
			n += len(spans)
		}
		return n
	}
	if !poll(t, func() bool { return count() >= len(want) }) || len(d.spans.traces()) != 1 {
		t.Fatalf("one request has not one trace of %d spans: %v", len(want), d.spans.traces())
	}
	for _, spans := range d.spans.traces() {
		if got := line(t, spans); !slices.Equal(got, want) {
			t.Errorf("the spans are, each a child of the one before: %q, want %q", got, want)
		}
		processes := map[string]bool{}
		for _, s := range spans {
			processes[prototext.Format(s.Resource)] = true
		}
		if len(processes) != 3 {
			t.Errorf("the spans are of the processes %v, want 3", processes)
		}
	}
}

// TestSeedPipes converses with a weavelet that has nothing but its pipes, message by message.
func TestSeedPipes(t *testing.T) {
	t.Parallel()
	weaveletReader, envelopeWriter, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer envelopeWriter.Close()
	envelopeReader, weaveletWriter, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer envelopeReader.Close()
	cmd := exec.CommandContext(t.Context(), binary(t, "testapp"))
	cmd.ExtraFiles = []*os.File{weaveletReader, weaveletWriter}
	cmd.Env = []string{"ENVELOPE_TO_WEAVELET_FD=3", "WEAVELET_TO_ENVELOPE_FD=4"}
	if err := errors.Join(cmd.Start(), weaveletReader.Close(), weaveletWriter.Close()); err != nil {
		t.Fatal(err)
	}
	defer cmd.Wait()
	defer cmd.Process.Kill()
	// exchange sends a message, and returns the first that comes with an id, as text.
	exchange := func(send *protos.EnvelopeMsg, id int64) string {
		if err := errors.Join(envelopeReader.SetReadDeadline(time.Now().Add(patience)),
			protomsg.Write(envelopeWriter, send)); err != nil {
			t.Fatal(err)
		}
		for {
			var reply protos.WeaveletMsg
			if err := protomsg.Read(envelopeReader, &reply); err != nil {
				t.Fatal(err)
			}
			if reply.Id == id {
				return prototext.Format(&reply)
			}
		}
	}
	got := exchange(&protos.EnvelopeMsg{EnvelopeInfo: &protos.EnvelopeInfo{
		App: "app", DeploymentId: rand.Text(), Id: rand.Text(), SingleProcess: false, SingleMachine: true, RunMain: true,
	}}, 0)
	want := fmt.Sprintf(`^weavelet_info: {
  dial_addr: "tcp://127\.0\.0\.1:\d+"
  pid: %d
  version: {
    minor: 20
  }
}
$`, cmd.Process.Pid)
	if !regexp.MustCompile(want).MatchString(got) {
		t.Errorf("the handshake is\n%swant\n%s", got, want)
	}
	got = exchange(&protos.EnvelopeMsg{Id: 42, GetHealthRequest: &protos.GetHealthRequest{}}, -42)
	if got != "id: -42\nget_health_reply: {\n  status: HEALTHY\n}\n" {
		t.Errorf("the answer is\n%s", got)
	}
}
