package process

import (
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/divisi-go/divisi/envelope"
	"github.com/divisi-go/divisi/envelope/protos"
	"github.com/divisi-go/divisi/internal/inherit"
	"github.com/divisi-go/divisi/internal/weavelet"
)

// plainHandler is a deployer of v0.20 with one weavelet, to which it sends the calls of B.
type plainHandler struct {
	envelope.EnvelopeHandler // the methods that are not expected
	e                        *envelope.Envelope
	serving                  sync.WaitGroup // until the conversation is over

	mu    sync.Mutex // guards what follows
	spans []*protos.Span
	logs  []*protos.LogEntry
}

func (h *plainHandler) ActivateComponent(_ context.Context, r *protos.ActivateComponentRequest) (
	*protos.ActivateComponentReply, error) {
	info := &protos.RoutingInfo{Component: r.Component, Local: r.Component == "t/p/A"}
	if !info.Local {
		info.Replicas = []string{h.e.WeaveletInfo().DialAddr}
		info.Assignment = &protos.Assignment{
			Version: 7, Slices: []*protos.Assignment_Slice{{Replicas: info.Replicas}},
		}
	}
	return &protos.ActivateComponentReply{}, h.e.UpdateRoutingInfo(info)
}

func (h *plainHandler) HandleTraceSpans(_ context.Context, spans *protos.TraceSpans) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.spans = append(h.spans, spans.Span...)
	return nil
}

func (h *plainHandler) HandleLogEntry(_ context.Context, entry *protos.LogEntry) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.logs = append(h.logs, entry)
	return nil
}

// calls is how many calls of B the test makes, with as many keys.
const calls = 5

// TestPlainDeployer: a deployer that lists no features, as those of v0.20, gets metrics, loads,
// profiles, spans and log entries all the same.
func TestPlainDeployer(t *testing.T) {
	w := newWorld(t, map[string]*behaviour{
		"A": {Refs: []string{"B"}, Do: forward("B")},
		"B": {Routed: true, Do: func(ctx context.Context, n self, words []string) ([]string, error) {
			n.Host.Logger(ctx).Info("called with " + words[0])
			return words, nil
		}},
		"C": {Routed: true},
	})
	called, release := make(chan error, 1), make(chan struct{})
	body := func(ctx context.Context, app *weavelet.Weavelet) error {
		a := client[a](t, app)
		for i := range calls {
			key := fmt.Sprint("key ", i)
			if got, err := a.Do(ctx, []string{key}); err != nil || !slices.Equal(got, []string{key}) {
				called <- fmt.Errorf("call %d returns %q, %w", i, got, err)
			}
		}
		close(called)
		select {
		case <-release:
		case <-ctx.Done():
		}
		return nil
	}
	h, ended := plain(t, w.app, body)
	if features := h.e.WeaveletInfo().Features; len(features) != 0 {
		t.Errorf("the weavelet lists %q", features)
	}
	served := make(chan error, 1)
	go func() { served <- h.e.Serve(h) }()
	if err := h.e.UpdateComponents([]string{"t/p/A", "t/p/B", "t/p/C"}); err != nil {
		t.Fatal(err)
	}
	if err := <-called; err != nil {
		t.Error(err)
	}
	// C is here, and nobody here uses it.
	info := &protos.RoutingInfo{Component: "t/p/C", Assignment: &protos.Assignment{Version: 1}}
	if err := h.e.UpdateRoutingInfo(info); err != nil {
		t.Error(err)
	}
	info.Component = "t/p/D"
	wantError(t, h.e.UpdateRoutingInfo(info), nil, "nothing in this weavelet uses t/p/D")
	if reply, err := h.e.Health(t.Context()); err != nil || reply.Status != protos.HealthStatus_HEALTHY ||
		reply.Ready || len(reply.HealthyComponents) != 0 {
		t.Errorf("health %+v, %v", reply, err)
	}
	t.Run("metrics", h.checkMetrics)
	t.Run("metrics again", h.checkMetrics)
	t.Run("load", h.checkLoad)
	t.Run("profile", h.checkProfile)
	if err := h.e.Drain(t.Context(), 0); !errors.Is(err, errors.ErrUnsupported) {
		t.Errorf("Drain: %v", err)
	}
	close(release)
	if err := <-ended; err != nil {
		t.Errorf("the weavelet ends with %v", err)
	}
	<-served
	t.Run("spans", h.checkSpans)
	t.Run("logs", h.checkLogs)
}

// plain starts a weavelet, and the conversation with it.
func plain(t *testing.T, app weavelet.Application, body func(context.Context, *weavelet.Weavelet) error) (*plainHandler, <-chan error) {
	t.Helper()
	in, toWeavelet, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	fromWeavelet, out, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() {
		ended <- Embed(context.WithoutCancel(t.Context()), app, Embedding{Files: inherit.Files{In: in, Out: out}, Body: body})
	}()
	e, err := envelope.Attach(t.Context(), fromWeavelet, toWeavelet, &protos.EnvelopeInfo{
		App: "app", DeploymentId: "v1", Id: "w1", RunMain: true, InternalAddress: "localhost:0",
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { e.Close() })
	return &plainHandler{e: e}, ended
}

func (h *plainHandler) checkMetrics(t *testing.T) {
	got, err := h.e.GetMetrics()
	if err != nil {
		t.Fatal(err)
	}
	values := map[string]float64{}
	for _, m := range got {
		if !strings.HasPrefix(m.Name, "divisi_method_") {
			continue
		}
		if m.Labels["caller"] != "t/p/A" || m.Labels["component"] != "t/p/B" || m.Labels["method"] != "Do" ||
			m.Labels["remote"] != "true" {
			t.Errorf("%s has the labels %v", m.Name, m.Labels)
		}
		values[m.Name] = m.Value
		if len(m.Counts) > 0 {
			values[m.Name] = 0
			for _, n := range m.Counts {
				values[m.Name] += float64(n)
			}
		}
	}
	for name, want := range map[string]float64{
		"divisi_method_count": calls, "divisi_method_error_count": 0, "divisi_method_failure_count": 0,
		"divisi_method_latency_micros": calls,
	} {
		if value, ok := values[name]; !ok || value != want {
			t.Errorf("%s is %v, want %v", name, value, want)
		}
	}
	if values["divisi_method_bytes_request"] == 0 || values["divisi_method_bytes_reply"] == 0 {
		t.Errorf("the calls had no bytes: %v", values)
	}
}

func (h *plainHandler) checkLoad(t *testing.T) {
	report, err := h.e.GetLoad()
	if err != nil {
		t.Fatal(err)
	}
	load := report.Loads["t/p/B"]
	if load == nil || len(report.Loads) != 1 {
		t.Fatalf("loads %v", report.Loads)
	}
	if load.Version != 7 {
		t.Errorf("it is of version %d of the assignment, want 7", load.Version)
	}
	keys := uint64(0)
	for i, s := range load.Load {
		if keys += s.Size; s.Load <= 0 || s.Size == 0 || s.Start >= s.End {
			t.Errorf("slice %+v", s)
		}
		if i > 0 && s.Start < load.Load[i-1].End {
			t.Errorf("slices overlap: %+v %+v", load.Load[i-1], s)
		}
	}
	if keys != calls {
		t.Errorf("%d keys, want %d", keys, calls)
	}
}

func (h *plainHandler) checkProfile(t *testing.T) {
	over := make(chan struct{})
	var burning sync.WaitGroup
	burning.Go(func() {
		for n := uint64(1); n != 0; n = burn(n) {
			select {
			case <-over:
				return
			default:
			}
		}
	})
	defer burning.Wait()
	defer close(over)
	for want, request := range map[string]*protos.GetProfileRequest{
		"alloc_objects": {ProfileType: protos.ProfileType_Heap},
		"process.burn":  {ProfileType: protos.ProfileType_CPU, CpuDurationNs: (200 * time.Millisecond).Nanoseconds()},
	} {
		// On a busy machine one profile may find nobody at work.
		var text []byte
		for range 50 {
			data, err := h.e.GetProfile(request)
			if err != nil {
				t.Fatal(err)
			}
			unzip, err := gzip.NewReader(bytes.NewReader(data))
			if err != nil {
				t.Fatal(err)
			}
			if text, err = io.ReadAll(unzip); err != nil {
				t.Fatal(err)
			}
			if bytes.Contains(text, []byte(want)) {
				break
			}
		}
		if !bytes.Contains(text, []byte(want)) {
			t.Errorf("%d bytes of a profile lack %q", len(text), want)
		}
	}
}

// burn is the function that a profile must name.
//
//go:noinline
func burn(n uint64) uint64 {
	for range 100_000 {
		n ^= n << 13
		n ^= n >> 7
		n ^= n << 17
	}
	return n
}

// checkSpans: the first call is a trace, of which both ends tell.
func (h *plainHandler) checkSpans(t *testing.T) {
	h.mu.Lock()
	defer h.mu.Unlock()
	byKind := map[protos.Span_Kind]*protos.Span{}
	for _, s := range h.spans {
		if byKind[s.Kind] == nil || s.StartMicros < byKind[s.Kind].StartMicros {
			byKind[s.Kind] = s
		}
		app := s.Resource != nil && slices.ContainsFunc(s.Resource.Attributes, func(a *protos.Span_Attribute) bool {
			return a.Key == "service.name" && a.Value.Str == "app"
		})
		if s.Name != "p.B.Do" || s.StartMicros == 0 || s.EndMicros < s.StartMicros || !app {
			t.Errorf("span %+v", s)
		}
	}
	client, server := byKind[protos.Span_CLIENT], byKind[protos.Span_SERVER]
	if client == nil || server == nil || len(byKind) != 2 {
		t.Fatalf("%d spans of the kinds %v", len(h.spans), byKind)
	}
	if !bytes.Equal(client.TraceId, server.TraceId) || !bytes.Equal(client.SpanId, server.ParentSpanId) ||
		len(client.ParentSpanId) != 0 {
		t.Errorf("the caller's span is %+v, the callee's %+v", client, server)
	}
}

func (h *plainHandler) checkLogs(t *testing.T) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for i := range calls {
		want := fmt.Sprint("called with key ", i)
		if !slices.ContainsFunc(h.logs, func(e *protos.LogEntry) bool { return e.Msg == want && e.App == "app" }) {
			t.Errorf("no log entry %q", want)
		}
	}
}
