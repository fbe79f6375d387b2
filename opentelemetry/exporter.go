package opentelemetry

import (
	"cmp"
	"context"
	"fmt"
	"os"

	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracegrpc"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracehttp"
	sdk "go.opentelemetry.io/otel/sdk/trace"

	"github.com/divisi-go/divisi/envelope/protos"
)

// Wanted reports whether the environment asks for spans to be exported: one of
// OTEL_TRACES_EXPORTER, OTEL_EXPORTER_OTLP_ENDPOINT and OTEL_EXPORTER_OTLP_TRACES_ENDPOINT is set,
// the first one not to "none", and OTEL_SDK_DISABLED is not "true".
func Wanted(getenv func(string) string) bool {
	exporter := getenv("OTEL_TRACES_EXPORTER")
	if getenv("OTEL_SDK_DISABLED") == "true" || exporter == "none" {
		return false
	}
	return cmp.Or(exporter, getenv("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT"), getenv("OTEL_EXPORTER_OTLP_ENDPOINT")) != ""
}

// Exporter sends spans to a collector by OTLP. A deployer gives it what weavelets send.
type Exporter struct {
	processor sdk.SpanProcessor
}

// NewExporter returns an exporter that does what the standard environment variables say, those of
// the batch span processor (OTEL_BSP_...) included. It does not wait for the collector: what cannot
// be sent is reported to OpenTelemetry's error handler and dropped.
func NewExporter(ctx context.Context) (*Exporter, error) {
	if name := os.Getenv("OTEL_TRACES_EXPORTER"); name != "" && name != "otlp" {
		return nil, fmt.Errorf("OTEL_TRACES_EXPORTER is %q: write otlp or none", name)
	}
	protocol := cmp.Or(os.Getenv("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL"), os.Getenv("OTEL_EXPORTER_OTLP_PROTOCOL"),
		"http/protobuf")
	var exporter sdk.SpanExporter
	var err error
	switch protocol {
	case "http/protobuf":
		exporter, err = otlptracehttp.New(ctx)
	case "grpc":
		exporter, err = otlptracegrpc.New(ctx)
	default:
		err = fmt.Errorf("OTEL_EXPORTER_OTLP_PROTOCOL is %q: write http/protobuf or grpc", protocol)
	}
	if err != nil {
		return nil, fmt.Errorf("cannot export spans: %w", err)
	}
	return &Exporter{processor: sdk.NewBatchSpanProcessor(exporter)}, nil
}

// Export queues spans to be sent. It does not wait: if the collector is too slow, spans are dropped.
// What OTEL_SERVICE_NAME and OTEL_RESOURCE_ATTRIBUTES say goes before the resources of the spans.
func (e *Exporter) Export(spans *protos.TraceSpans) {
	for _, s := range spans.Span {
		e.processor.OnEnd(toSDK(s))
	}
}

// Shutdown sends what is queued, and waits until that is done or ctx ends.
func (e *Exporter) Shutdown(ctx context.Context) error { return e.processor.Shutdown(ctx) }
