package conformance

import (
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/ServiceWeaver/weaver/runtime/envelope"
	"github.com/ServiceWeaver/weaver/runtime/metrics"
	"github.com/ServiceWeaver/weaver/runtime/protos"
	"google.golang.org/protobuf/proto"
)

// soakVariable is the environment variable that makes the test go on for a time, such as 10m.
const soakVariable = "DIVISI_SOAK"

// rounds are how often everything is asked where nobody wants more.
const rounds = 10

// TestServiceWeaver moves the application of Service Weaver's tutorial by divisi migrate, and runs it under a deployer
// that uses Service Weaver v0.20.0 itself.
func TestServiceWeaver(t *testing.T) {
	d := &deployment{t: t, program: moved(t), weavelets: map[string]*weavelet{}, listening: make(chan string, 1)}
	d.start(mainComponent)

	var address string
	select {
	case address = <-d.listening:
	case <-time.After(time.Minute):
		t.Fatal("the application does not listen")
	}
	if got := get(t, address, "/debug/weaver/healthz"); got != "OK" {
		t.Errorf("the health page says %q", got)
	}

	soak, err := time.ParseDuration(os.Getenv(soakVariable))
	if err != nil && os.Getenv(soakVariable) != "" {
		t.Fatalf("%s: %v", soakVariable, err)
	}
	end := time.Now().Add(soak)
	n := 0
	for ; n < rounds || time.Now().Before(end); n++ {
		if got, want := get(t, address, fmt.Sprint("/hello?name=n", n)), "Hello, "+reversed(n)+"n!\n"; got != want {
			t.Fatalf("the application says %q, want %q", got, want)
		}
		for _, w := range d.all() {
			w.ask(t, n)
		}
		if t.Failed() {
			t.FailNow()
		}
	}
	t.Logf("%d rounds", n)

	d.checkMetrics(n)
	d.checkLogs(n, address)
}

func reversed(n int) string {
	digits := []byte(fmt.Sprint(n))
	slices.Reverse(digits)
	return string(digits)
}

// moved returns the path of the program.
func moved(t *testing.T) string {
	t.Helper()
	root, err := filepath.Abs("..")
	if err != nil {
		t.Fatal(err)
	}
	dir := filepath.Join(t.TempDir(), "hello")
	if err := os.CopyFS(dir, os.DirFS("testdata/hello")); err != nil {
		t.Fatal(err)
	}
	divisi := filepath.Join(t.TempDir(), "divisi")
	build := exec.CommandContext(t.Context(), "go", "build", "-o", divisi, "./cmd/divisi")
	build.Dir = root
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	run(t, dir, divisi, "migrate", "--replace", root)
	run(t, dir, "go", "build", "-o", "hello", ".")
	return filepath.Join(dir, "hello")
}

func run(t *testing.T, dir, program string, args ...string) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), program, args...)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "GOWORK=off")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%s %s: %v\n%s", program, strings.Join(args, " "), err, out)
	}
}

func get(t *testing.T, address, path string) string {
	t.Helper()
	reply, err := http.Get("http://" + address + path)
	if err != nil {
		t.Fatal(err)
	}
	defer reply.Body.Close()
	text, err := io.ReadAll(reply.Body)
	if err != nil || reply.StatusCode != http.StatusOK {
		t.Fatalf("%s: status %d, %q, %v", path, reply.StatusCode, text, err)
	}
	return string(text)
}

// The names of the components.
const (
	mainComponent = "github.com/ServiceWeaver/weaver/Main"
	reverser      = "hello/Reverser"
)

// deployment is a deployer with a process for each component.
type deployment struct {
	t         *testing.T
	program   string
	listening chan string

	mu        sync.Mutex // guards what follows
	weavelets map[string]*weavelet
	logs      []*protos.LogEntry
}

// weavelet is the process of one component.
type weavelet struct {
	envelope.EnvelopeHandler // the methods that are not expected
	d                        *deployment
	component                string
	envelope                 *envelope.Envelope
	snapshot                 []*metrics.MetricSnapshot // the latest one
}

var _ envelope.EnvelopeHandler = (*weavelet)(nil)

// start starts the process of a component, unless it runs.
func (d *deployment) start(component string) *weavelet {
	d.mu.Lock()
	defer d.mu.Unlock()
	if w, ok := d.weavelets[component]; ok {
		return w
	}
	ctx, cancel := context.WithCancel(context.WithoutCancel(d.t.Context()))
	info := &protos.EnvelopeInfo{
		App: "hello", DeploymentId: "v1", Id: component, RunMain: component == mainComponent,
		InternalAddress: "localhost:0",
	}
	e, err := envelope.NewEnvelope(ctx, info, &protos.AppConfig{Name: "hello", Binary: d.program})
	if err != nil {
		cancel()
		d.t.Errorf("cannot start %s: %v", component, err)
		return nil
	}
	w := &weavelet{d: d, component: component, envelope: e}
	d.weavelets[component] = w

	served := make(chan struct{})
	go func() {
		defer close(served)
		if err := e.Serve(w); ctx.Err() == nil {
			d.t.Errorf("%s has ended: %v", component, err)
		}
	}()
	d.t.Cleanup(func() { cancel(); <-served })
	go func() {
		if err := e.UpdateComponents([]string{component}); err != nil && ctx.Err() == nil {
			d.t.Errorf("UpdateComponents of %s: %v", component, err)
		}
	}()
	return w
}

func (d *deployment) all() []*weavelet {
	d.mu.Lock()
	defer d.mu.Unlock()
	var all []*weavelet
	for _, w := range d.weavelets {
		all = append(all, w)
	}
	return all
}

func (w *weavelet) ActivateComponent(_ context.Context, r *protos.ActivateComponentRequest) (
	*protos.ActivateComponentReply, error) {
	host := w.d.start(r.Component)
	if host == nil {
		return nil, errors.New("it cannot be started")
	}
	routing := &protos.RoutingInfo{
		Component: r.Component, Replicas: []string{host.envelope.WeaveletInfo().DialAddr},
	}
	if r.Routed {
		routing.Assignment = &protos.Assignment{
			Version: 1, Slices: []*protos.Assignment_Slice{{Replicas: routing.Replicas}},
		}
	}
	for _, to := range []*weavelet{w, host} {
		if err := to.envelope.UpdateRoutingInfo(routing); err != nil {
			return nil, err
		}
	}
	return &protos.ActivateComponentReply{}, nil
}

func (w *weavelet) GetListenerAddress(context.Context, *protos.GetListenerAddressRequest) (
	*protos.GetListenerAddressReply, error) {
	return &protos.GetListenerAddressReply{Address: "localhost:0"}, nil
}

func (w *weavelet) ExportListener(_ context.Context, r *protos.ExportListenerRequest) (
	*protos.ExportListenerReply, error) {
	if r.Listener != "hello" {
		return nil, fmt.Errorf("the listener is called %s", r.Listener)
	}
	w.d.listening <- r.Address
	return &protos.ExportListenerReply{}, nil
}

func (w *weavelet) HandleLogEntry(_ context.Context, entry *protos.LogEntry) error {
	w.d.mu.Lock()
	defer w.d.mu.Unlock()
	w.d.logs = append(w.d.logs, proto.Clone(entry).(*protos.LogEntry)) // it is used again for the next one
	return nil
}

func (w *weavelet) HandleTraceSpans(context.Context, *protos.TraceSpans) error { return nil }

// ask asks a weavelet for everything that may be asked repeatedly.
func (w *weavelet) ask(t *testing.T, round int) {
	if status := w.envelope.GetHealth(); status != protos.HealthStatus_HEALTHY {
		t.Errorf("round %d: %s is %v", round, w.component, status)
	}

	var err error
	if w.snapshot, err = w.envelope.GetMetrics(); err != nil {
		t.Errorf("round %d: metrics of %s: %v", round, w.component, err)
	}

	load, err := w.envelope.GetLoad()
	if err != nil {
		t.Errorf("round %d: load of %s: %v", round, w.component, err)
	}
	if w.component == reverser {
		if l := load.GetLoads()[reverser]; l.GetVersion() != 1 || len(l.GetLoad()) == 0 {
			t.Errorf("round %d: the load of %s is %v", round, w.component, load)
		}
	}

	for _, r := range []*protos.GetProfileRequest{
		{ProfileType: protos.ProfileType_Heap},
		{ProfileType: protos.ProfileType_CPU, CpuDurationNs: int64(20 * time.Millisecond)},
	} {
		data, err := w.envelope.GetProfile(r)
		if err == nil {
			_, err = gzip.NewReader(bytes.NewReader(data))
		}
		if err != nil {
			t.Errorf("round %d: %v profile of %s: %v", round, r.ProfileType, w.component, err)
		}
	}
}

// checkMetrics: what the deployer's own importer has added up is what was done.
func (d *deployment) checkMetrics(calls int) {
	t := d.t
	callers, lengths := 0.0, uint64(0)
	for _, w := range d.all() {
		for _, m := range w.snapshot {
			switch {
			case m.Name == "divisi_method_count" && m.Labels["component"] == reverser:
				callers += m.Value
				if m.Labels["caller"] != mainComponent {
					t.Errorf("the caller is called %q", m.Labels["caller"])
				}
			case m.Name == "lengths" && w.component == reverser:
				for _, n := range m.Counts {
					lengths += n
				}
				if last := m.Bounds[len(m.Bounds)-1]; math.Abs(last-5e19) > 1 || len(m.Counts) != len(m.Bounds)+1 {
					t.Errorf("%d bounds, the last one %v, and %d counts", len(m.Bounds), last, len(m.Counts))
				}
			}
		}
	}
	if callers != float64(calls) || lengths != uint64(calls) {
		t.Errorf("%v calls and %d lengths were counted, want %d", callers, lengths, calls)
	}
}

// checkLogs: entries have the form of v0.20, and come in all levels.
func (d *deployment) checkLogs(calls int, address string) {
	t := d.t
	d.mu.Lock()
	defer d.mu.Unlock()
	debug, printed := 0, false
	for _, e := range d.logs {
		switch e.Msg {
		case "reverse":
			debug++
			if e.Component != reverser || e.Level != "DEBUG" || !strings.HasSuffix(e.File, "/reverser.go") ||
				e.Line == 0 || len(e.Attrs) < 2 || e.App != "hello" || e.Version != "v1" || e.Node != reverser {
				t.Errorf("the log entry is %v", e)
			}
		case "hello listener available on " + address:
			printed = e.Level == "stdout"
		}
	}
	// The last entry may be on its way.
	if debug < calls-1 || !printed {
		t.Errorf("%d entries of %d, and the listener printed: %v", debug, calls, printed)
	}
}
