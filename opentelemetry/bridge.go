// Package opentelemetry joins Divisi's spans with OpenTelemetry's.
//
//	if err := divisi.Run(opentelemetry.Context(context.Background()), app); err != nil {
//		log.Fatal(err)
//	}
//
// From then on both are one trace: a span that the application starts with the OpenTelemetry API is
// a child of the request or call that it belongs to, and the calls made under it are its children.
// Under a deployer all spans go there, and the deployer exports them. In a single process they are
// exported by this package, as the standard environment variables say:
//
//	OTEL_EXPORTER_OTLP_ENDPOINT=http://localhost:4318 go run .
package opentelemetry

import (
	"context"
	"fmt"
	"os"
	"strconv"
	"sync"

	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/propagation"
	sdk "go.opentelemetry.io/otel/sdk/trace"
	api "go.opentelemetry.io/otel/trace"

	"github.com/divisi-go/divisi/envelope/protos"
	"github.com/divisi-go/divisi/internal/process"
	"github.com/divisi-go/divisi/internal/trace"
)

// Context returns a context for divisi.Run, which then joins its spans with those of OpenTelemetry,
// and sets OpenTelemetry's global tracer provider and propagator. An application with a provider of
// its own sets that inside of its main component's function; its spans then go where it says, but
// still belong to the same traces.
//
// OTEL_TRACES_SAMPLER decides about traces that begin here. Without it, traces that OpenTelemetry
// begins are all recorded, and those that Divisi begins once in a second.
func Context(ctx context.Context) context.Context {
	var b bridge
	return process.WithBridge(ctx, &process.Bridge{
		From:     spanOf,
		Into:     withSpan,
		Sample:   sampler(os.Getenv("OTEL_TRACES_SAMPLER"), os.Getenv("OTEL_TRACES_SAMPLER_ARG")),
		Start:    b.start,
		Shutdown: b.shutdown,
	})
}

// spanOf returns the current span of OpenTelemetry.
func spanOf(ctx context.Context) (trace.SpanContext, bool) {
	c := api.SpanContextFromContext(ctx)
	return trace.SpanContext{
		TraceID: trace.TraceID(c.TraceID()), SpanID: trace.SpanID(c.SpanID()), Flags: byte(c.TraceFlags()),
	}, c.IsValid()
}

// withSpan makes a span of ours OpenTelemetry's current one.
func withSpan(ctx context.Context, s trace.SpanContext) context.Context {
	return api.ContextWithSpanContext(ctx, api.NewSpanContext(api.SpanContextConfig{
		TraceID: api.TraceID(s.TraceID), SpanID: api.SpanID(s.SpanID), TraceFlags: api.TraceFlags(s.Flags),
		Remote: true,
	}))
}

// sampler returns what decides about the traces that begin here; nil leaves it to Divisi. Names
// that OpenTelemetry does not know are reported by its provider, which reads them too.
func sampler(name, arg string) func(trace.TraceID) bool {
	var s sdk.Sampler
	switch name {
	case "always_on", "parentbased_always_on":
		s = sdk.AlwaysSample()
	case "always_off", "parentbased_always_off":
		s = sdk.NeverSample()
	case "traceidratio", "parentbased_traceidratio":
		fraction, err := strconv.ParseFloat(arg, 64)
		if err != nil {
			fraction = 1
		}
		s = sdk.TraceIDRatioBased(fraction)
	default:
		return nil
	}
	return func(id trace.TraceID) bool {
		result := s.ShouldSample(sdk.SamplingParameters{ParentContext: context.Background(), TraceID: api.TraceID(id)})
		return result.Decision == sdk.RecordAndSample
	}
}

// bridge is what runs as long as the weavelet.
type bridge struct {
	mu       sync.Mutex // guards provider
	provider *sdk.TracerProvider
}

func (b *bridge) start(ctx context.Context, of *protos.Span_Resource, send func(*protos.TraceSpans) error) (
	func(*protos.TraceSpans) error, error) {
	var processor sdk.SpanProcessor
	var export func(*protos.TraceSpans) error
	switch {
	case send != nil:
		processor = sdk.NewBatchSpanProcessor(sender(send))
	case Wanted(os.Getenv):
		e, err := NewExporter(ctx)
		if err != nil {
			return nil, err
		}
		processor, export = e.processor, func(spans *protos.TraceSpans) error { e.Export(spans); return nil }
	default:
		return nil, nil
	}
	provider := sdk.NewTracerProvider(sdk.WithSpanProcessor(processor), sdk.WithResource(withEnvironment(resourceOf(of))))
	b.mu.Lock()
	b.provider = provider
	b.mu.Unlock()
	otel.SetTracerProvider(provider)
	otel.SetTextMapPropagator(propagation.NewCompositeTextMapPropagator(propagation.TraceContext{}, propagation.Baggage{}))
	return export, nil
}

func (b *bridge) shutdown(ctx context.Context) {
	b.mu.Lock()
	provider := b.provider
	b.mu.Unlock()
	if provider == nil {
		return
	}
	if err := provider.Shutdown(ctx); err != nil {
		otel.Handle(fmt.Errorf("the last spans are lost: %w", err))
	}
}

// sender is an exporter that hands spans to a deployer.
type sender func(*protos.TraceSpans) error

func (s sender) ExportSpans(_ context.Context, spans []sdk.ReadOnlySpan) error {
	message := &protos.TraceSpans{}
	for _, span := range spans {
		message.Span = append(message.Span, fromSDK(span))
	}
	return s(message)
}

func (sender) Shutdown(context.Context) error { return nil }
