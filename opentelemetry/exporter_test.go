package opentelemetry

import (
	"strings"
	"testing"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/sdk/instrumentation"
	"go.opentelemetry.io/otel/sdk/resource"
	sdk "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	api "go.opentelemetry.io/otel/trace"

	"github.com/divisi-go/divisi/envelope/protos"
)

// stub is a span with everything in it that a span can have.
func stub() tracetest.SpanStub {
	context := func(trace, span byte) api.SpanContext {
		return api.NewSpanContext(api.SpanContextConfig{
			TraceID: api.TraceID{trace, 1}, SpanID: api.SpanID{span, 2}, TraceFlags: api.FlagsSampled,
		})
	}
	at := time.UnixMicro(1_800_000_000_000_001)
	return tracetest.SpanStub{
		Name: "weigh", SpanContext: context(1, 2), Parent: context(1, 3), SpanKind: api.SpanKindProducer,
		StartTime: at, EndTime: at.Add(time.Millisecond),
		Attributes: []attribute.KeyValue{
			attribute.Bool("bool", true), attribute.Int64("int", -5), attribute.Float64("float", 2.5),
			attribute.String("string", "s"), attribute.BoolSlice("bools", []bool{true, false}),
			attribute.Int64Slice("ints", []int64{-1, 2}), attribute.Float64Slice("floats", []float64{0.5}),
			attribute.StringSlice("strings", []string{"a", ""}),
		},
		Links: []sdk.Link{{SpanContext: context(4, 5), Attributes: []attribute.KeyValue{attribute.Int("n", 1)},
			DroppedAttributeCount: 1}},
		Events: []sdk.Event{{Name: "settled", Time: at, Attributes: []attribute.KeyValue{attribute.Int("n", 2)},
			DroppedAttributeCount: 2}},
		Status:            sdk.Status{Code: codes.Error, Description: "too light"},
		DroppedAttributes: 3, DroppedLinks: 4, DroppedEvents: 5, ChildSpanCount: 6,
		Resource:             resource.NewSchemaless(attribute.String("service.name", "scale")),
		InstrumentationScope: instrumentation.Scope{Name: "testapp", Version: "v1", SchemaURL: "http://s"},
	}
}

// TestConversion: nothing of a span is lost between the SDK and the envelope protocol.
func TestConversion(t *testing.T) {
	m := fromSDK(stub().Snapshot())
	if again := fromSDK(toSDK(m)); string(protos.Marshal(again)) != string(protos.Marshal(m)) {
		t.Errorf("%+v becomes %+v", m, again)
	}
	if m.Status.Code != protos.Span_Status_ERROR || m.Kind != protos.Span_PRODUCER || len(m.Attributes) != 8 ||
		len(m.Links) != 1 || len(m.Events) != 1 || m.Scope.Version != "v1" {
		t.Errorf("the message is %+v", m)
	}
	ok := stub()
	ok.Status = sdk.Status{Code: codes.Ok}
	if got := fromSDK(ok.Snapshot()).Status.Code; got != protos.Span_Status_OK {
		t.Errorf("success is %v", got)
	}
}

// TestHostileSpans: whatever a weavelet sends, exporting does not fail.
func TestHostileSpans(t *testing.T) {
	for _, s := range []*protos.Span{
		{}, {TraceId: []byte{1}, SpanId: make([]byte, 99), ParentSpanId: []byte{1}},
		{Attributes: []*protos.Span_Attribute{{Key: "none"}, {Key: "lists", Value: &protos.Span_Attribute_Value{
			Type: protos.Span_Attribute_Value_INT64LIST}}, {Value: &protos.Span_Attribute_Value{
			Type: protos.Span_Attribute_Value_STRINGLIST}}, {Value: &protos.Span_Attribute_Value{Type: 99}}}},
		{Links: []*protos.Span_Link{{}}, Events: []*protos.Span_Event{{}}, Status: &protos.Span_Status{Code: 99}},
	} {
		if got := toSDK(s); got.SpanContext().IsValid() {
			t.Errorf("%+v has the ids %v", s, got.SpanContext())
		}
	}
}

func TestExport(t *testing.T) {
	for protocol, serve := range map[string]func(*testing.T) (*spans, string){
		"http/protobuf": serveHTTP, "grpc": serveGRPC,
	} {
		t.Run(protocol, func(t *testing.T) {
			collector, address := serve(t)
			t.Setenv("OTEL_EXPORTER_OTLP_ENDPOINT", address)
			t.Setenv("OTEL_EXPORTER_OTLP_PROTOCOL", protocol)
			t.Setenv("OTEL_RESOURCE_ATTRIBUTES", "deployment.environment=test")
			e, err := NewExporter(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			e.Export(&protos.TraceSpans{Span: []*protos.Span{fromSDK(stub().Snapshot())}})
			if err := e.Shutdown(t.Context()); err != nil {
				t.Fatal(err)
			}
			s, ok := collector.named()["weigh"]
			if !ok || s.scope != "testapp" || s.Status.GetMessage() != "too light" ||
				s.resource["service.name"] != "scale" || s.resource["deployment.environment"] != "test" {
				t.Errorf("got %v about %v by %s", s.Span, s.resource, s.scope)
			}
		})
	}
}

func TestEnvironment(t *testing.T) {
	for _, tc := range []struct {
		env  string // NAME=value, separated by spaces
		want bool
		text string // in the error
	}{
		{"", false, ""},
		{"OTEL_EXPORTER_OTLP_ENDPOINT=http://localhost:1", true, ""},
		{"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT=http://localhost:1", true, ""},
		{"OTEL_TRACES_EXPORTER=otlp", true, ""},
		{"OTEL_TRACES_EXPORTER=none OTEL_EXPORTER_OTLP_ENDPOINT=http://localhost:1", false, ""},
		{"OTEL_SDK_DISABLED=true OTEL_EXPORTER_OTLP_ENDPOINT=http://localhost:1", false, ""},
		{"OTEL_TRACES_EXPORTER=zipkin", true, `OTEL_TRACES_EXPORTER is "zipkin": write otlp or none`},
		{"OTEL_TRACES_EXPORTER=otlp OTEL_EXPORTER_OTLP_PROTOCOL=http/json", true,
			`OTEL_EXPORTER_OTLP_PROTOCOL is "http/json": write http/protobuf or grpc`},
	} {
		t.Run(tc.env, func(t *testing.T) {
			env := map[string]string{}
			for _, field := range strings.Fields(tc.env) {
				name, value, _ := strings.Cut(field, "=")
				env[name] = value
				t.Setenv(name, value)
			}
			if got := Wanted(func(name string) string { return env[name] }); got != tc.want {
				t.Errorf("wanted: %v", got)
			}
			if !tc.want {
				return
			}
			e, err := NewExporter(t.Context())
			if (err != nil) != (tc.text != "") || err != nil && !strings.Contains(err.Error(), tc.text) {
				t.Errorf("error %v, want %q", err, tc.text)
			}
			if e != nil {
				e.Shutdown(t.Context())
			}
		})
	}
}

func TestSampler(t *testing.T) {
	for _, tc := range []struct {
		name, arg string
		want      string
	}{
		{"", "", "left"}, {"jaeger_remote", "", "left"},
		{"always_on", "", "all"}, {"parentbased_always_on", "", "all"},
		{"always_off", "", "none"}, {"parentbased_always_off", "", "none"},
		{"traceidratio", "0.5", "some"}, {"parentbased_traceidratio", "0", "none"}, {"traceidratio", "x", "all"},
	} {
		sample := sampler(tc.name, tc.arg)
		got := "left"
		if sample != nil {
			n := 0
			for i := range 256 {
				if sample([16]byte{8: byte(i), 15: 1}) {
					n++
				}
			}
			got = map[int]string{0: "none", 256: "all"}[n]
			if n > 100 && n < 156 {
				got = "some"
			}
		}
		if got != tc.want {
			t.Errorf("%s %s: %s of the traces, want %s", tc.name, tc.arg, got, tc.want)
		}
	}
}
